"""Choose IPv4 addresses and ranges that collide with nothing. Pure: what is taken is given.

The order is Docker's: the lowest free address of a subnet, the first free range of the pools.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from engine.model.errors import EngineError, Invalid, NotFound

SHORTEST_PREFIX = 8
"""A route to more than a /8 is a default route in pieces (VPNs take 0.0.0.0/1 and 128.0.0.0/1), not a range in use."""


def network(subnet: str) -> IPv4Network:
    """Parse a range. Host bits may be set (`10.0.0.1/24` is 10.0.0.0/24). Raises `Invalid`."""
    try:
        return IPv4Network(subnet, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise Invalid(f"invalid subnet {subnet!r}: {error}", "give an IPv4 range such as 172.30.0.0/16") from error


def lowest_free(subnet: str, taken: Iterable[str]) -> str:
    """The lowest host address of `subnet` that is not taken. The network and broadcast addresses are never handed out.

    Raises `EngineError` when none is left.
    """
    net = network(subnet)
    used = {int(IPv4Address(address)) for address in taken}
    first, last = _hosts(net)
    free = next((number for number in range(first, last + 1) if number not in used), None)
    if free is None:
        raise EngineError(f"no free address left in {net}", "remove a container or use a network with a larger range")
    return str(IPv4Address(free))


def choose_subnet(pools: Iterable[tuple[str, int]], used: Iterable[str]) -> str:
    """The first range of the pools, each a base cut into pieces of a prefix length, that overlaps nothing used.

    `used` are ranges or single addresses, whatever holds them (routes, interfaces, name servers, networks of ours).
    Raises `NotFound` when none is left, as Docker does, and `Invalid` for a pool that cannot be cut.
    """
    busy = [net for net in map(network, used) if net.prefixlen >= SHORTEST_PREFIX]
    for base, size in pools:
        pool = network(base)
        if not pool.prefixlen <= size <= 30:
            raise Invalid(f"invalid address pool {base} of size {size}", f"the size lies between {pool.prefixlen} and 30")
        for candidate in pool.subnets(new_prefix=size):
            if not any(candidate.overlaps(net) for net in busy):
                return str(candidate)
    raise NotFound(
        "could not find an available, non-overlapping IPv4 address range",
        "give one that is free with --bip or --default-address-pool",
    )


def _hosts(net: IPv4Network) -> tuple[int, int]:
    """First and last host address. A /31 has two (RFC 3021) and a /32 one."""
    first, last = int(net.network_address), int(net.broadcast_address)
    return (first, last) if net.prefixlen >= 31 else (first + 1, last - 1)
