import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from engine.spec.capabilities import ALL, DEFAULT, check, normal, resolve


def test_the_table_is_the_kernels() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert len(ALL) >= int(file.read()) + 1
    assert (ALL[0], ALL[21], ALL[40]) == ("CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE")
    assert len(DEFAULT) == 14


@pytest.mark.parametrize("name", ["net_admin", "NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin"])
def test_spelling_does_not_matter(name: str) -> None:
    assert normal(name) == "CAP_NET_ADMIN"


@pytest.mark.parametrize(
    ("add", "drop", "held"),
    [
        ((), (), DEFAULT),
        (("net_admin",), (), DEFAULT | {"CAP_NET_ADMIN"}),
        ((), ("CHOWN",), DEFAULT - {"CAP_CHOWN"}),
        (("ALL",), (), set(ALL)),
        (("ALL",), ("SYS_ADMIN",), set(ALL) - {"CAP_SYS_ADMIN"}),
        ((), ("all",), set()),
        (("CHOWN",), ("ALL",), {"CAP_CHOWN"}),
        (("CHOWN",), ("CHOWN",), DEFAULT),
    ],
)
def test_resolve(add: tuple[str, ...], drop: tuple[str, ...], held: set[str]) -> None:
    assert set(resolve(add, drop, ALL)) == held


NAMES = st.lists(st.sampled_from([*ALL, "ALL"]), max_size=5)


@given(NAMES, NAMES, st.sets(st.sampled_from(ALL)))
def test_never_more_than_the_engine_has(add: list[str], drop: list[str], available: set[str]) -> None:
    held = resolve(add, drop, available)
    assert set(held) <= available
    assert list(held) == sorted(held, key=ALL.index)


def test_unknown_and_unavailable_names() -> None:
    check(("all", "CHOWN"), ("SYS_RESOURCE", "ALL"), ("CAP_CHOWN",))
    with pytest.raises(Invalid, match="CapAdd names 'FLY'"):
        check(("FLY",), (), ALL)
    with pytest.raises(Invalid, match="CapDrop names 'FLY'"):
        check((), ("FLY",), ALL)
    with pytest.raises(Invalid, match="CAP_SYS_RESOURCE, which the engine does not have"):
        check(("sys_resource",), (), ("CAP_CHOWN",))
