"""The calling thread's network namespace: interfaces, sockets that wait, neighbours, routes. Blocking calls of microseconds."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address

from engine.host import rtnetlink
from engine.host.netlink import ask, attribute, attributes, number
from engine.host.rtnetlink import RTA_DST, RTA_GATEWAY, RTA_OIF, RTA_PREFSRC, RTM_GETROUTE, RTMSG
from engine.host.sight import Interface, Listener, Route, Sight

SOCKETS = "/proc/thread-self/net/"
WAITING = {"tcp": "0A", "udp": "07"}
"""States of sockets that wait for others (`enum` of TCP states in <net/tcp_states.h>): LISTEN, and of UDP unconnected."""

NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EADDRNOTAVAIL)
"""What the kernel says to a destination without a route, or with one that says unreachable, prohibit, blackhole."""


def look() -> Sight:
    links = rtnetlink.links()
    names = {link.index: link.name for link in links}
    addresses: dict[int, list[str]] = {}
    for address in rtnetlink.addresses():
        addresses.setdefault(address.index, []).append(address.address)
    return Sight(
        interfaces={
            link.name: Interface(
                name=link.name,
                up=link.up,
                carrier=link.running or link.kind != "veth",
                bridge=names.get(link.master, ""),
                addresses=tuple(addresses.get(link.index, ())),
            )
            for link in links
        },
        listeners=tuple(listener for protocol in WAITING for listener in _listeners(protocol)),
        neighbours={neighbour.address: neighbour.state for neighbour in rtnetlink.neighbours()},
    )


def route(address: str) -> Route | None:
    """Where a packet to this address would go (ip-route(8), `get`). None: the kernel knows no way."""
    family = rtnetlink.family_of(address)
    packed = socket.inet_pton(family, address)
    request = RTMSG.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_DST, packed)
    try:
        (answer,) = ask(RTM_GETROUTE, request)
    except OSError as error:
        if error.errno in NO_WAY:
            return None
        raise
    found = attributes(answer, RTMSG.size)

    def told(kind: int) -> str:
        return socket.inet_ntop(family, found[kind]) if kind in found else ""

    return Route(
        interface=socket.if_indextoname(number(found, RTA_OIF)), gateway=told(RTA_GATEWAY), source=told(RTA_PREFSRC) or address
    )


def forwards(interface: str, family: int) -> bool:
    """Does the host forward what comes in by this interface (ip-sysctl.rst)? An interface that is gone forwards nothing."""
    switches = ("forwarding",) if family == 4 else ("forwarding", "force_forwarding")
    return any(_switch(f"/proc/sys/net/ipv{family}/conf/{interface}/{switch}") for switch in switches)


def _switch(path: str) -> bool:
    try:
        with open(path) as file:
            return file.read().strip() != "0"
    except FileNotFoundError:
        return False


def _listeners(protocol: str) -> Iterator[Listener]:
    """As proc_net_tcp.rst and proc_pid_net(5) tell them."""
    for table in (protocol, f"{protocol}6"):
        path = SOCKETS + table
        if not os.path.exists(path):  # a kernel without IPv6
            continue
        with open(path) as file:
            for line in file.readlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == WAITING[protocol]:
                    address, _, port = local.partition(":")
                    yield Listener(protocol=protocol, address=read_address(address), port=int(port, 16))


def read_address(text: str) -> str:
    """Words of 32 bits, each in the order of this machine's bytes. An IPv4 address in an IPv6 one is an IPv4 address."""
    packed = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    return str(IPv6Address(packed).ipv4_mapped or socket.inet_ntop(socket.AF_INET6, packed))
