"""One bridge and what it needs: addresses, sysctls, uplinks. Blocking calls of microseconds."""

from __future__ import annotations

import socket

from msgspec.structs import replace

from engine.host import forwarding, rtnetlink
from engine.host.forwarding import ALIAS
from engine.host.netns import configure
from engine.host.rtnetlink import OURS, Address, Link, Route
from engine.model.network import NAME, Network

EVERY_LINK_HAS = ("fe80::/64", "ff00::/8")
"""Routes that lead nowhere in particular."""


def is_ours(link: Link, network: Network) -> bool:
    return link.kind == "bridge" and link.mac == network.mac.lower()


def is_usable(link: Link, network: Network) -> bool:
    """Has a person made this bridge, and asked to use it?"""
    return NAME in network.options and link.kind == "bridge" and not link.alias.startswith(ALIAS)


def naming(network: Network) -> str:
    """The option that gave the bridge its name."""
    return f"-o {NAME}" if NAME in network.options else "--bridge"


def set_up(link: Link, network: Network, addresses: list[Address]) -> None:
    """Sysctls, addresses, MTU, up. A person's bridge is given the addresses it lacks and nothing else."""
    wanted = _gateways(network, link.index)
    there = [address for address in addresses if address.index == link.index]
    if is_ours(link, network):
        # No container may configure the host by router advertisements. Nobody else has our MAC, so neither the link-local
        # address: until the kernel had made sure, for a second or two, it would not ask for who is behind the bridge.
        for setting, value in (("accept_ra", 0), ("accept_dad", 0), ("disable_ipv6", int(network.ipv6 is None))):
            configure("ipv6", link.name, setting, value)
        for kind in ("", "lo:", "6:") if network.internal else ():
            forwarding.write(kind + link.name, "0")  # a host that forwards passes that on to every new link
        rtnetlink.set_mtu(link.index, network.mtu)
        for old in there:  # `--bip` may have named others the last time
            if str(old) not in map(str, wanted) and not old.link_local:
                rtnetlink.delete_address(old)
        for address in wanted:
            rtnetlink.add_address(address)
    else:
        for address in wanted:
            if str(address) not in map(str, there):
                rtnetlink.add_address(replace(address, protocol=OURS))
    rtnetlink.switch(link.index, on=True)


def drop(link: Link, network: Network, addresses: list[Address]) -> None:
    """Our bridge away; a person's without the addresses that we gave it; anything else stays."""
    if is_ours(link, network):
        rtnetlink.delete_link(link.index)
    elif is_usable(link, network):
        for address in addresses:
            if address.index == link.index and address.protocol == OURS:
                rtnetlink.delete_address(address)


def switches(links: dict[str, Link], network: Network) -> list[str]:
    """What has to be on so that packets pass between the network and the uplinks."""
    if network.internal:
        return []
    routes = rtnetlink.routes()
    up4, up6 = (_uplinks(links, routes, family, network.bridge) for family in (socket.AF_INET, socket.AF_INET6))
    ipv4, ipv6 = network.ipv4 is not None, network.ipv6 is not None
    own = forwarding.bridge_switches(network.bridge, ipv4=ipv4, ipv6=ipv6)
    return own + forwarding.uplink_switches(up4 if ipv4 else (), up6 if ipv6 else ())


def other_aliases(links: dict[str, Link], bridge: str) -> list[str]:
    """What the other bridges of this host say, those of other engines too."""
    return [link.alias for link in links.values() if link.kind == "bridge" and link.name != bridge]


def strangers_use_ipv6(links: dict[str, Link], addresses: list[Address], bridge: str) -> bool:
    """Has another bridge, one that no engine of ours has made, an IPv6 address? Its owner wants the host to forward."""
    theirs = {
        link.index
        for link in links.values()
        if link.kind == "bridge" and link.name != bridge and not link.alias.startswith(ALIAS)
    }
    return any(a.index in theirs and a.family == socket.AF_INET6 and not a.link_local for a in addresses)


def _gateways(network: Network, index: int) -> list[Address]:
    families = (None if network.inhibit_ipv4 else network.ipv4, network.ipv6)
    return [Address(index, own.gateway, int(own.subnet.partition("/")[2])) for own in families if own and own.gateway]


def _uplinks(links: dict[str, Link], routes: list[Route], family: int, bridge: str) -> list[str]:
    """Links by which packets come back: those with a default route, and all others with a route that are no bridge.

    Other bridges belong to other engines and hypervisors, unless the host's own way out leads over one.
    """
    own = [route for route in routes if route.family == family and route.destination not in EVERY_LINK_HAS]
    routed = {index for route in own for index in route.links}
    default = {index for route in own if route.default for index in route.links}
    return [
        link.name
        for link in links.values()
        if link.name not in ("lo", bridge) and (link.index in default or (link.index in routed and link.kind != "bridge"))
    ]
