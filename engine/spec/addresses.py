"""Choose addresses and ranges that collide with nothing, of either family. Pure: what is taken is given.

The order is Docker's: the lowest free address of a range, the first free range of the pools after the one handed out last.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Network, NetmaskValueError, ip_address, ip_network

from engine.model.errors import EngineError, Forbidden, Invalid, NotFound
from engine.model.network import Subnet

Net = IPv4Network | IPv6Network

SHORTEST_PREFIX = 8
"""A route to more than a /8 is a default route in pieces (VPNs take 0.0.0.0/1 and 128.0.0.0/1), not a range in use."""


def network(subnet: str) -> Net:
    """Parse a range. Host bits may be set (`10.0.0.1/24` is 10.0.0.0/24). Raises `Invalid`."""
    try:
        return ip_network(subnet, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise Invalid(f"invalid subnet {subnet!r}: {error}", "give a range such as 172.30.0.0/16 or fd00:30::/64") from error


def lowest_free(subnet: str, taken: Iterable[str], within: str = "") -> str:
    """The lowest host address of `subnet`, inside the part `within` if given, that is not taken.

    The network's own and the broadcast address are never handed out. Raises `EngineError` when none is left.
    """
    net = network(subnet)
    first, last = _hosts(net)
    if within:
        part = network(within)
        first, last = max(first, int(part.network_address)), min(last, int(part.broadcast_address))
    used = {int(address) for address in map(ip_address, taken) if address.version == net.version}
    free = next((number for number in range(first, last + 1) if number not in used), None)
    if free is None:
        raise EngineError(f"no free address left in {within or net}", "remove a container or use a network with a larger range")
    return str(type(net.network_address)(free))


def choose(own: Subnet, wanted: str, taken: Iterable[str]) -> str:
    """An address in a network: the one that is wanted, else the lowest free one. `taken`: of other containers.

    Raises `Invalid` where it does not lie there, `Forbidden` where somebody has it, `EngineError` where none is left.
    """
    taken = {own.gateway, *own.aux.values(), *taken} - {""}
    if not wanted:
        return lowest_free(own.subnet, taken, own.ip_range)
    if not own.asked:
        raise Invalid(
            f"cannot give {wanted}: user specified IP address is supported only when connecting to networks with user "
            "configured subnets",
            "create the network with --subnet",
        )
    address = ip_address(wanted)
    first, last = _hosts(network(own.subnet))
    if address.version != network(own.subnet).version or not first <= int(address) <= last:
        raise EngineError(f"cannot give {wanted}: it is no host address of {own.subnet}", "choose one that is")
    if address in set(map(ip_address, taken)):
        raise Forbidden(f"cannot give {wanted}: Address already in use", "choose another one")
    return str(address)


def choose_subnet(pools: Iterable[tuple[str, int]], used: Iterable[str], last: str = "") -> str:
    """The first range of the pools, each a base cut into pieces of a prefix length, that overlaps nothing used.

    `used` are ranges or single addresses, whatever holds them (routes, interfaces, name servers, networks of ours). The search
    begins behind `last`, the one handed out last, and goes round. Raises `NotFound` when none is left, as Docker does, and
    `Invalid` for a pool that cannot be cut.
    """
    busy = [net for net in map(network, used) if isinstance(net, IPv4Network) and net.prefixlen >= SHORTEST_PREFIX]
    early: str | None = None
    passed = not last
    for base, size in pools:
        pool = network(base)
        if not isinstance(pool, IPv4Network) or not pool.prefixlen <= size <= 30:
            raise Invalid(f"invalid address pool {base} of size {size}", f"the size lies between {pool.prefixlen} and 30")
        for candidate in pool.subnets(new_prefix=size):
            free = not any(candidate.overlaps(net) for net in busy)
            if free and passed:
                return str(candidate)
            if free and early is None:
                early = str(candidate)
            passed = passed or str(candidate) == last
    if early is None:
        raise NotFound(
            "could not find an available, non-overlapping IPv4 address range",
            "give one that is free with --subnet, --bip or --default-address-pool",
        )
    return early


def unique_local() -> str:
    """A range of IPv6 addresses nobody else has, as likely as 40 random bits can make it (RFC 4193)."""
    return str(IPv6Network((int.from_bytes(b"\xfd" + secrets.token_bytes(5) + bytes(10)), 64)))


def check_range(own: Subnet, others: Iterable[str]) -> None:
    """Raises `Forbidden` where a range overlaps another network's, or its parts lie outside it (reference 9.2)."""
    net = network(own.subnet)
    for other in map(network, others):
        if other.version == net.version and other.overlaps(net):
            raise Forbidden(
                f"cannot use {net}: Pool overlaps with other one on this address space, {other}", "choose another --subnet"
            )
    if own.ip_range and not _inside(network(own.ip_range), net):
        raise Invalid(f"the range {own.ip_range} does not lie in {net}", "choose an --ip-range inside the --subnet")
    for name, address in {"gateway": own.gateway, **own.aux}.items():
        if address and not (_is_ip(address) and ip_address(address) in net):
            raise Forbidden(f"{name} {address} does not lie in {net}", "choose an address inside the --subnet")


def _inside(part: Net, whole: Net) -> bool:
    if isinstance(part, IPv4Network) and isinstance(whole, IPv4Network):
        return part.subnet_of(whole)
    return isinstance(part, IPv6Network) and isinstance(whole, IPv6Network) and part.subnet_of(whole)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _hosts(net: Net) -> tuple[int, int]:
    """First and last host address. A /31 has two (RFC 3021) and a /32 one; IPv6 has no broadcast address."""
    first, last = int(net.network_address), int(net.broadcast_address)
    if net.num_addresses <= 2:
        return first, last
    return first + 1, last - 1 if net.version == 4 else last


def mac(address: str) -> str:
    """The MAC address that Docker gives to the owner of an IPv4 address."""
    return "02:42:" + IPv4Address(address).packed.hex(":")
