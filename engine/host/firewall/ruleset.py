"""Our nft table as text: rules that never change, and sets and maps that say whom they concern. Pure.

A network or a container is nothing but elements of these sets; an element's comment names its owner. So a change is a
transaction of a few elements, whatever else there is, and all that an engine forgot can be read back from the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, ip_address, ip_network
from typing import NamedTuple

from engine.model.errors import Invalid
from engine.model.network import HOST_IPV4, Endpoint, Network, Published, Target

BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""A link's name that is also a plain word for nft and iptables (a trailing `*` or `+` would match other links)."""

OWNER = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""What fits into an element's comment (NFTNL_UDATA_COMMENT_MAX_LEN) and needs no quoting."""

PROTOCOLS = ("tcp", "udp", "sctp")

IPV6_LOOPBACK = "::1"
"""Cannot be led to another address: the kernel lets no packet from or to it leave the loopback. The relay serves it."""

MAIN = """\
table inet {table} {{
  set ours {{ type ifname; }}
  set internal {{ type ifname; }}
  set within {{ type ifname . ifname; counter; }}
  set closed {{ type ifname; }}
  set own4 {{ type ipv4_addr . ifname; flags interval; counter; }}
  set own6 {{ type ipv6_addr . ifname; flags interval; counter; }}
  set out4 {{ type ipv4_addr; flags interval; counter; }}
  set out6 {{ type ipv6_addr; flags interval; counter; }}
  map snat4 {{ type ipv4_addr : ipv4_addr; flags interval; counter; }}
  map any4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; counter; }}
  map any6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; counter; }}
  map bound4 {{ type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; counter; }}
  map bound6 {{ type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; counter; }}
  chain spoofed {{
    type filter hook prerouting priority raw
    iifname @ours ip daddr 127.0.0.0/8 counter drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat
    iifname @closed meta l4proto {{ tcp, udp }} return
    fib daddr type local jump published
  }}
  chain output {{
    type nat hook output priority -100
    ip6 daddr ::1 return
    fib daddr type local jump published
  }}
  chain published {{
    dnat ip to meta l4proto . ip daddr . th dport map @bound4
    dnat ip to meta l4proto . th dport map @any4
    dnat ip6 to meta l4proto . ip6 daddr . th dport map @bound6
    dnat ip6 to meta l4proto . th dport map @any6
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    ip saddr 127.0.0.0/8 oifname @ours counter masquerade
    ct status dnat ip saddr . oifname @own4 counter masquerade
    ct status dnat ip6 saddr . oifname @own6 counter masquerade
    ip saddr . oifname @own4 return
    ip6 saddr . oifname @own6 return
    snat ip to ip saddr map @snat4
    ip saddr @out4 masquerade
    ip6 saddr @out6 masquerade
  }}
  chain forward {{
    type filter hook forward priority filter - 1
    ct state established,related counter accept
    iifname != @ours oifname != @ours accept
    iifname . oifname @within accept
    iifname @internal counter drop
    oifname @internal counter drop
    oifname @ours ct status dnat counter accept
    oifname @ours counter drop
  }}
}}
"""
"""Read from the top of each chain:

- `spoofed`: `route_localnet` lets the host's 127.0.0.0/8 be published; a container may not address it all the same.
- `prerouting`: where ports are isolated, published ones are left to the relay. Where `bridge-nf-call-iptables` is on, the
  bridge itself would carry what is led to a neighbour, or not, as the ports are isolated.
- `published`: an address by name goes before every address.
- `postrouting`: what a container or the host sends to a published port comes back by where it went out (hairpin);
  else a container keeps its address within its network, and loses it to the outside.
- `forward`: strangers among themselves are none of our business, and nobody gets in but by a published port.
"""

SETS = frozenset(re.findall(r"^  (?:set|map) (\S+)", MAIN, re.MULTILINE))


class Place(NamedTuple):
    """A key in one of the sets; it can be there once."""

    set: str
    key: str

    @property
    def published(self) -> bool:
        return self.set.startswith(("any", "bound"))


class Element(NamedTuple):
    owner: str
    """A network's bridge, or a container's id."""
    value: str = ""
    """What a map says of the key."""


Elements = dict[Place, Element]


class Listing(NamedTuple):
    """Our table, as nft(8) shows it."""

    elements: Elements
    chains: str
    """With all rules, word by word."""


def check_bridge(name: str) -> None:
    if not BRIDGE.fullmatch(name):
        raise Invalid(f"invalid bridge name {name!r}", "use at most 15 letters, digits, '_', '.' and '-'")


def ours(bridge: str) -> Place:
    """The one element that every network has."""
    return Place("ours", f'"{bridge}"')


def of_network(network: Network) -> Elements:
    """What makes the rules apply to a network. Raises `Invalid`."""
    check_bridge(network.bridge)
    return {place: Element(network.bridge, value) for place, value in _of_network(network)}


def _of_network(network: Network) -> Iterator[tuple[Place, str]]:
    bridge = f'"{network.bridge}"'
    yield ours(network.bridge), ""
    if network.internal:
        yield Place("internal", bridge), ""
    if network.icc:
        yield Place("within", f"{bridge} . {bridge}"), ""
    else:
        yield Place("closed", bridge), ""
    for version, subnet in (4, network.ipv4), (6, network.ipv6):
        if subnet is None:
            continue
        net = str(ip_network(subnet.subnet))
        yield Place(f"own{version}", f"{net} . {bridge}"), ""
        if network.masquerade and not network.internal:
            source = network.options.get(HOST_IPV4, "") if version == 4 else ""
            yield Place("snat4" if source else f"out{version}", net), _ipv4(source) if source else ""


def of_ports(owner: str, target: Target, ports: Iterable[Published]) -> Elements:
    """What leads ports of the host to a container. None for those that only the relay can lead there. Raises `Invalid`."""
    if not OWNER.fullmatch(owner):
        raise Invalid(f"invalid owner of published ports {owner!r}")
    leads = {4: target.address, 6: target.address6}
    to = {version: str(ip_address(address)) for version, address in leads.items() if address}
    elements: Elements = {}
    for port in ports:
        if port.protocol not in PROTOCOLS:
            raise Invalid(f"invalid protocol {port.protocol!r}", f"use {', '.join(PROTOCOLS)}")
        version, address = _host(port.host_ip)
        if version in to and address != IPV6_LOOPBACK:
            kind, middle = ("bound", f" . {address}") if address else ("any", "")
            place = Place(f"{kind}{version}", f"{port.protocol}{middle} . {port.host_port}")
            elements[place] = Element(owner, f"{to[version]} . {port.port}")
    return elements


@lru_cache(256)
def _host(text: str) -> tuple[int, str]:
    """IP version and address, as nft writes it; empty: every address of the host."""
    address = ip_address(text)
    return address.version, "" if address.is_unspecified else str(address)


def skeleton(table: str) -> str:
    """The rules in place of any former ones. What the sets hold stays."""
    return f"add table inet {table}\nflush table inet {table}\n{MAIN.format(table=table)}"


def removal(table: str) -> str:
    """The table away, also where there is none."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def changes(table: str, gone: Iterable[Place], fresh: Elements) -> str:
    """Elements out of the sets and into them."""
    return _commands("delete", table, ((place, place.key) for place in gone)) + _commands(
        "add", table, ((place, _written(place, element)) for place, element in fresh.items())
    )


def _commands(verb: str, table: str, elements: Iterable[tuple[Place, str]]) -> str:
    by_set: dict[str, list[str]] = {}
    for place, text in elements:
        by_set.setdefault(place.set, []).append(text)
    return "".join(f"{verb} element inet {table} {name} {{ {', '.join(texts)} }}\n" for name, texts in by_set.items())


def _written(place: Place, element: Element) -> str:
    value = f" : {element.value}" if element.value else ""
    return f'{place.key} comment "{element.owner}"{value}'


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise Invalid(f"invalid value {text!r} of the option {HOST_IPV4}", "give one IPv4 address of the host") from None


# Reading nft's listing

SET = re.compile(r"^\t(?:set|map) (\S+) \{\n(?:\t\t.*\n)*?\t\telements = \{ ([^{}]*)\}\n\t\}$", re.MULTILINE)
ELEMENT = re.compile(
    r"(?P<key>[^,]+?)(?: (?P<counter>counter(?: packets \d+ bytes \d+)?))?"
    r' comment "(?P<owner>[^",]*)"(?: : (?P<value>[^,]+?))?\s*(?:,|$)'
)
CHAIN = re.compile(r"^\tchain (\S+) \{\n((?:\t\t.*\n)*)\t\}$", re.MULTILINE)
HOOK = re.compile(r"\s*type \S+ hook ")
REFERRED = re.compile(r"@(\S+)")


def parse(text: str) -> Listing:
    """Elements without an owner are not ours, and left out."""
    elements = {place: element for place, element, _ in _elements(text)}
    return Listing(elements, "\n".join(chain[0] for chain in CHAIN.finditer(text)))


def concerning(endpoint: Endpoint, text: str) -> tuple[str, ...]:
    """The lines of a listing that apply to one endpoint: its elements, and the rules that ask for these or for none."""
    addresses = [f"{address} . " for address in (endpoint.address, endpoint.address6) if address]
    elements = [
        (place, f"{place.set} {place.key}{counter and ' ' + counter}{element.value and ' : ' + element.value}")
        for place, element, counter in _elements(text)
        if element.owner == endpoint.bridge or element.value.startswith(tuple(addresses))
    ]
    sets = {place.set for place, _ in elements}
    rules = [
        f"{chain[1]} {rule.strip()}"
        for chain in CHAIN.finditer(text)
        for rule in chain[2].splitlines()
        if not HOOK.match(rule) and "!= @" not in rule and sets.issuperset(REFERRED.findall(rule))
    ]
    return (*(line for _, line in elements), *rules)


def _elements(text: str) -> Iterator[tuple[Place, Element, str]]:
    """With the counter, as it is written."""
    for name, held in SET.findall(text):
        for found in ELEMENT.finditer(held) if name in SETS else ():
            key = found["key"].strip()
            yield Place(name, key), Element(found["owner"], found["value"] or ""), found["counter"] or ""
