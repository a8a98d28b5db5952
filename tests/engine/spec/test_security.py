import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid, NotBuilt
from engine.spec.security import Security, security

PROFILE = '{"defaultAction": "SCMP_ACT_ALLOW"}'


@pytest.mark.parametrize(
    ("options", "read"),
    [
        (None, Security()),
        (("no-new-privileges",), Security(no_new_privileges=True)),
        (("no-new-privileges=true",), Security(no_new_privileges=True)),
        (("no-new-privileges:1",), Security(no_new_privileges=True)),
        (("no-new-privileges=false",), Security()),
        (("seccomp=unconfined",), Security(seccomp="unconfined")),
        (("seccomp:unconfined",), Security(seccomp="unconfined")),
        (("seccomp=builtin", "no-new-privileges"), Security(no_new_privileges=True)),
        ((f"seccomp={PROFILE}",), Security(seccomp=PROFILE)),
        ((f"seccomp:{PROFILE}",), Security(seccomp=PROFILE)),
        (("disable", "label=disable", "label:disable", "apparmor=unconfined"), Security()),
    ],
)
def test_options(options: tuple[str, ...] | None, read: Security) -> None:
    assert security(options) == read


@pytest.mark.parametrize(
    "option", ["", "x", "seccomp", "seccomp=", "no-new-privileges=maybe", "seccomp={", "seccomp=/etc/x.json", "x=y"]
)
def test_no_options(option: str) -> None:
    with pytest.raises(Invalid, match=r"HostConfig\.SecurityOpt"):
        security((option,))


@pytest.mark.parametrize("option", ["label=type:x_t", "apparmor=docker-default", "label:user:u"])
def test_not_built(option: str) -> None:
    with pytest.raises(NotBuilt, match=r"HostConfig\.SecurityOpt"):
        security((option,))


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(option: str) -> None:
    try:
        security((option,))
    except (Invalid, NotBuilt) as error:
        assert error.hint
