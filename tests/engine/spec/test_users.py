"""Who `Config.User` is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.host import User
from engine.model.errors import EngineError
from engine.spec.users import find_user

PASSWD = "# people\nroot:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/:\n\nbroken\nodd:x:many:1::/:\n12:x:500:501::/:\n"
GROUP = "root:x:0:\nwheel:x:10:root,web\nwww:x:44:\nadm:x:4:web\nhalf:x\n"


@pytest.mark.parametrize(
    ("asked", "extra", "expected"),
    [
        ("", (), User(uid=0, gid=0, groups=(0, 10))),
        ("root", (), User(uid=0, gid=0, groups=(0, 10))),
        ("web", (), User(uid=33, gid=44, groups=(44, 10, 4))),
        ("33", (), User(uid=33, gid=44, groups=(44, 10, 4))),
        ("web:adm", (), User(uid=33, gid=4, groups=(4,))),
        ("web:77", (), User(uid=33, gid=77, groups=(77,))),
        ("1000", (), User(uid=1000, gid=0, groups=(0,))),
        ("1000:1001", ("wheel", "7"), User(uid=1000, gid=1001, groups=(1001, 10, 7))),
        (":adm", (), User(uid=0, gid=4, groups=(4,))),
        ("web", ("adm",), User(uid=33, gid=44, groups=(44, 10, 4))),
        ("12", (), User(uid=500, gid=501, groups=(501,))),
    ],
)
def test_names_and_numbers(asked: str, extra: tuple[str, ...], expected: User) -> None:
    assert find_user(asked, extra, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("asked", "extra", "message"),
    [
        ("nobody", (), "unable to find user nobody: no matching entries in passwd file"),
        ("odd", (), "unable to find user odd: no matching entries in passwd file"),
        ("-1", (), "unable to find user -1: no matching entries in passwd file"),
        ("web:none", (), "unable to find group none: no matching entries in group file"),
        ("web", ("none",), "unable to find group none: no matching entries in group file"),
        ("2147483648", (), "between 0 and 2147483647, not 2147483648"),
        ("web:2147483648", (), "between 0 and 2147483647, not 2147483648"),
    ],
)
def test_what_is_nowhere_is_said(asked: str, extra: tuple[str, ...], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        find_user(asked, extra, PASSWD, GROUP)
    assert caught.value.status == 500


def test_without_account_files_root_and_numbers_still_work() -> None:
    assert find_user("", (), "", "") == User(groups=(0,))
    assert find_user("5:6", (), "", "") == User(uid=5, gid=6, groups=(6,))


@given(st.text(), st.text())
def test_whatever_the_container_wrote_there_is_an_answer(passwd: str, group: str) -> None:
    try:
        found = find_user("web", (), passwd, group)
    except EngineError as error:
        assert "web" in error.message or "ids" in error.message
    else:
        assert found.groups[0] == found.gid
