"""Addresses and ranges: lowest free, overlapping nothing."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import EngineError, Invalid, NotFound
from engine.spec.addresses import choose_subnet, lowest_free

POOLS = (("172.30.0.0/15", 16), ("10.200.0.0/16", 24))


def test_the_lowest_free_address_is_handed_out_and_a_released_one_again() -> None:
    assert lowest_free("172.30.0.0/16", ()) == "172.30.0.1"
    assert lowest_free("172.30.0.0/16", {"172.30.0.1", "172.30.0.3"}) == "172.30.0.2"
    assert lowest_free("172.30.0.0/16", {"172.30.0.1", "172.30.0.2", "9.9.9.9"}) == "172.30.0.3"


def test_network_and_broadcast_addresses_are_never_handed_out() -> None:
    assert lowest_free("192.0.2.0/30", {"192.0.2.1"}) == "192.0.2.2"
    with pytest.raises(EngineError, match=r"no free address left in 192\.0\.2\.0/30"):
        lowest_free("192.0.2.0/30", {"192.0.2.1", "192.0.2.2"})


@pytest.mark.parametrize(("subnet", "first"), [("192.0.2.4/31", "192.0.2.4"), ("192.0.2.7/32", "192.0.2.7")])
def test_ranges_too_small_for_a_broadcast_address_are_used_whole(subnet: str, first: str) -> None:
    assert lowest_free(subnet, ()) == first


@given(st.integers(24, 30), st.sets(st.integers(0, 255)))
def test_the_address_is_free_inside_and_nothing_below_it_is(prefix: int, numbers: set[int]) -> None:
    net = IPv4Network(f"198.51.100.0/{prefix}")
    taken = {str(IPv4Address("198.51.100.0") + number) for number in numbers}
    hosts = [str(host) for host in net.hosts()]
    free = [host for host in hosts if host not in taken]
    if free:
        assert lowest_free(str(net), taken) == free[0]
    else:
        with pytest.raises(EngineError):
            lowest_free(str(net), taken)


def test_ranges_in_use_are_stepped_over_whatever_their_size() -> None:
    assert choose_subnet(POOLS, ()) == "172.30.0.0/16"
    assert choose_subnet(POOLS, ("172.30.5.0/24",)) == "172.31.0.0/16"
    assert choose_subnet(POOLS, ("172.30.5.9", "172.31.0.0/16")) == "10.200.0.0/24"
    assert choose_subnet(POOLS, ("172.16.0.0/12", "10.200.0.0/25", "10.200.1.77")) == "10.200.2.0/24"


def test_a_default_route_in_halves_is_no_range_in_use() -> None:
    assert choose_subnet(POOLS, ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1")) == "172.30.0.0/16"
    assert choose_subnet(POOLS, ("172.0.0.0/8",)) == "10.200.0.0/24"


def test_no_range_left_says_what_to_do() -> None:
    with pytest.raises(NotFound, match="--bip"):
        choose_subnet((("10.200.0.0/16", 16),), ("10.200.200.0/24",))


@pytest.mark.parametrize("pool", [("10.0.0.0/16", 8), ("10.0.0.0/16", 31), ("10.0.0.0/99", 24), ("fd00::/8", 64)])
def test_a_pool_that_cannot_be_cut_is_refused(pool: tuple[str, int]) -> None:
    with pytest.raises(Invalid):
        choose_subnet((pool,), ())


ranges = st.builds(lambda number, prefix: f"{IPv4Address(number)}/{prefix}", st.integers(0, 2**32 - 1), st.integers(8, 32))
within_pool = st.builds(lambda host, prefix: f"10.200.{host}.0/{prefix}", st.integers(0, 255), st.integers(17, 32))


@given(st.lists(ranges | within_pool, max_size=40))
def test_what_is_chosen_overlaps_nothing(used: list[str]) -> None:
    try:
        chosen = IPv4Network(choose_subnet((("10.200.0.0/16", 24),), used))
    except NotFound:
        return
    assert chosen.subnet_of(IPv4Network("10.200.0.0/16"))
    assert not any(chosen.overlaps(IPv4Network(net, strict=False)) for net in used)
