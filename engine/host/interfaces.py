"""A container's interfaces, from inside: every call runs in a thread that has entered the namespace. Blocking, microseconds."""

from __future__ import annotations

import errno

from engine.host import rtnetlink
from engine.host.netns import configure
from engine.host.rtnetlink import Address, Link, Neighbour, Route
from engine.host.things import Traffic
from engine.model.network import Endpoint
from engine.model.wiring import Wire, WireEnd


def give_addresses(endpoint: Endpoint) -> None:
    """Addresses of both families, then up. Raises `OSError` where there is no such interface."""
    link = _own(endpoint.interface)
    # The kernel tells the neighbours: whoever knew an address's former owner learns of the new one.
    configure("ipv4", endpoint.interface, "arp_notify", 1)
    if endpoint.address6:
        configure("ipv6", endpoint.interface, "ndisc_notify", 1)
        # Its own router is the only one it has, and its MAC, so its link-local address too, is nobody else's.
        for setting in ("accept_ra", "accept_dad"):
            configure("ipv6", endpoint.interface, setting, 0)
        for interface in (endpoint.interface, "lo"):
            configure("ipv6", interface, "disable_ipv6", 0)
    for address in _addresses(endpoint, link.index):
        rtnetlink.add_address(address)
    rtnetlink.switch(link.index, on=True)
    rtnetlink.set_mac(link.index, link.mac)


def switch_on(interface: str) -> None:
    rtnetlink.switch(_own(interface).index, on=True)


def take_addresses(interface: str) -> None:
    """All addresses and routes away, link down. No link: nothing to do."""
    link = rtnetlink.link(interface)
    if link is None:
        return
    for address in rtnetlink.addresses():
        if address.index == link.index:
            rtnetlink.delete_address(address)
    rtnetlink.switch(link.index, on=False)


def look_addresses(endpoint: Endpoint) -> str | None:
    """None unless the link is up and has all addresses."""
    link = rtnetlink.link(endpoint.interface)
    if link is None or not link.up:
        return None
    there = {(address.index, str(address)) for address in rtnetlink.addresses()}
    wanted = _addresses(endpoint, link.index)
    if not all((link.index, str(address)) in there for address in wanted):
        return None
    return ", ".join((f"{link.name} up", *map(str, wanted), f"mac {link.mac}"))


def set_routes(endpoint: Endpoint | None) -> None:
    """The default routes lead by the endpoint; where it has no gateway, of that family there is none."""
    wanted = _gateways(endpoint)
    index = _own(endpoint.interface).index if endpoint and wanted else 0
    for gateway in wanted:
        rtnetlink.set_default(gateway, index)
    kept = {(gateway, (index,)) for gateway in wanted}
    for route in _defaults():
        if (route.gateway, route.links) not in kept:
            rtnetlink.delete_default(route)


def look_routes(endpoint: Endpoint | None) -> str | None:
    """The default routes, when they are exactly those of the endpoint."""
    wanted = _gateways(endpoint)
    names = {link.index: link.name for link in rtnetlink.links()}
    interface = endpoint.interface if endpoint else ""
    there = {(route.gateway, tuple(names.get(index, "") for index in route.links)) for route in _defaults()}
    if there != {(gateway, (interface,)) for gateway in wanted}:
        return None
    return ", ".join(f"default via {gateway} dev {interface}" for gateway in wanted) or "no default route"


def wire_inside(endpoint: Endpoint) -> Wire:
    """The inside half of a wire."""
    found = rtnetlink.look(endpoint.interface)
    names = {link.index: link.name for link in rtnetlink.links()}
    routes = tuple(_words(route, names) for route in rtnetlink.routes())
    if found is None:
        return Wire(routes=routes)
    index = found[0].index
    return Wire(
        inside=end(*found),
        addresses=tuple(str(address) for address in rtnetlink.addresses() if address.index == index),
        routes=routes,
        neighbours=tuple(_known(neighbour) for neighbour in rtnetlink.neighbours() if neighbour.index == index),
    )


def end(link: Link, traffic: Traffic) -> WireEnd:
    return WireEnd(
        name=link.name,
        index=link.index,
        state="down" if not link.up else "up" if link.running else "no carrier",
        mtu=link.mtu,
        mac=link.mac,
        rx_packets=traffic.rx_packets,
        tx_packets=traffic.tx_packets,
        rx_bytes=traffic.rx_bytes,
        tx_bytes=traffic.tx_bytes,
        rx_errors=traffic.rx_errors,
        tx_errors=traffic.tx_errors,
        rx_dropped=traffic.rx_dropped,
        tx_dropped=traffic.tx_dropped,
    )


def has_peer(host: Link) -> bool:
    """Is the other end of this cable here?"""
    return any(link.kind == "veth" and link.index == host.peer and link.peer == host.index for link in rtnetlink.links())


def _own(interface: str) -> Link:
    link = rtnetlink.link(interface)
    if link is None:
        raise OSError(errno.ENODEV, f"there is no link {interface}")
    return link


def _addresses(endpoint: Endpoint, index: int) -> list[Address]:
    wanted = ((endpoint.address, endpoint.prefix), (endpoint.address6, endpoint.prefix6))
    return [Address(index, address, prefix) for address, prefix in wanted if address]


def _gateways(endpoint: Endpoint | None) -> list[str]:
    return [gateway for gateway in (endpoint.gateway, endpoint.gateway6) if gateway] if endpoint else []


def _defaults() -> list[Route]:
    return [route for route in rtnetlink.routes() if route.default and route.table == rtnetlink.RT_TABLE_MAIN]


def _words(route: Route, names: dict[int, str]) -> str:
    """As ip(8) words it."""
    destination = "default" if route.default else route.destination
    via = f" via {route.gateway}" if route.gateway else ""
    links = "".join(f" dev {names.get(index, index)}" for index in route.links)
    source = f" src {route.source}" if route.source else ""
    return f"{destination}{via}{links}{source}"


def _known(neighbour: Neighbour) -> str:
    return " ".join(word for word in (neighbour.address, neighbour.mac, neighbour.state) if word)
