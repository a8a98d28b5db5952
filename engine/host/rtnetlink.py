"""The part of rtnetlink(7) that belongs on a thread: tables, single links, and all that happens inside a namespace.

A dump of 300 links takes 6 ms here; building a library's object of every message takes 130 ms of the event loop, and these
tables are read all day. Taking a link down or away lasts up to 50 ms inside the very system call (the kernel waits until no
processor uses it any more). A cable, its address and its route take 1 ms from a thread, 5 ms of the event loop through a
library. Bridges are made through pyroute2 (`links.py`).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Interface

from msgspec import Struct

from engine.host.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Attributes,
    aligned,
    ask,
    attribute,
    attributes,
    dump,
    nested,
    number,
    order,
    text,
)
from engine.host.things import Traffic

# <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>, <linux/neighbour.h>
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE, RTM_GETNEIGH = 24, 25, 26, 30
IFINFO = struct.Struct("=BxHiII")
IFADDR = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
NDMSG = struct.Struct("=BxxxiHBB")
NEXTHOP = struct.Struct("=HBBi")
IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_OPERSTATE = 1, 3, 4, 5, 10, 16
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_STATS64 = 18, 20, 23
IFLA_NET_NS_FD, VETH_INFO_PEER = 28, 1
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33
IF_OPER_UP = 6
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_PROTO = 1, 2, 4, 11
IFA_F_NODAD = 0x2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_MULTIPATH, RTA_TABLE = 1, 4, 5, 6, 7, 9, 15
RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RT_SCOPE_UNIVERSE, RT_SCOPE_NOWHERE = 0, 255
RTPROT_BOOT, RTN_UNICAST = 3, 1
NDA_DST, NDA_LLADDR = 1, 2
NUD = {1: "incomplete", 2: "reachable", 4: "stale", 8: "delay", 16: "probe", 32: "failed", 128: "permanent"}

OURS = 0x4C
"""IFA_PROTO of an address on a bridge that a person has made: it goes with the network. Kernels before 5.18 know none."""

ANY = IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)


class Link(Struct, frozen=True):
    index: int
    name: str
    kind: str
    """`bridge`, `veth`; empty for hardware and `lo`."""
    up: bool
    """Switched on, with or without a carrier."""
    running: bool
    """RFC 2863's operational state is up: of a veth, the other end is switched on too."""
    master: int
    """Index of the bridge it is a port of, or 0."""
    isolated: bool
    """Of a bridge's port: it exchanges nothing with the others that are isolated."""
    peer: int
    """Of a veth: the other end's index, in its own namespace."""
    alias: str
    mac: str
    mtu: int


class Address(Struct, frozen=True):
    index: int
    address: str
    prefix: int
    protocol: int = 0

    @property
    def family(self) -> int:
        return family_of(self.address)

    @property
    def link_local(self) -> bool:
        """IPv6's, which every link has by itself (fe80::/10; the kernel makes only fe80::/64)."""
        return self.address.startswith("fe80:")

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


class Route(Struct, frozen=True):
    destination: str
    """With prefix length; `0.0.0.0/0` and `::/0` are default routes."""
    gateway: str
    links: tuple[int, ...]
    """Indexes of the links it leaves by: several for a multipath route."""
    table: int
    metric: int = 0
    source: str = ""

    @property
    def family(self) -> int:
        return family_of(self.destination.partition("/")[0])

    @property
    def default(self) -> bool:
        return self.destination.endswith("/0")


class Neighbour(Struct, frozen=True):
    index: int
    address: str
    mac: str
    state: str


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# Reading


def links() -> list[Link]:
    """Every link of the calling thread's namespace."""
    return dump(RTM_GETLINK, ANY, _link)


def link(name: str) -> Link | None:
    found = look(name)
    return found and found[0]


def look(name: str) -> tuple[Link, Traffic] | None:
    """One link and what it has counted; None when there is none of that name."""
    try:
        (payload,) = ask(RTM_GETLINK, ANY + attribute(IFLA_IFNAME, name.encode() + b"\0"))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return _link(payload), Traffic(*struct.unpack_from("=8Q", attributes(payload, IFINFO.size)[IFLA_STATS64]))


def addresses() -> list[Address]:
    """Every address of both families."""
    return dump(RTM_GETADDR, IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0), _address)


def routes() -> list[Route]:
    """Every route of both families but the kernel's own of the table `local`."""
    found = dump(RTM_GETROUTE, RTMSG.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), _route)
    if ipv6():
        found += dump(RTM_GETROUTE, RTMSG.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0), _route)
    return [route for route in found if route.table != RT_TABLE_LOCAL]


def neighbours() -> list[Neighbour]:
    """Whom the kernel knows on its links, or looks for. Without what needs no asking (multicast)."""
    found = dump(RTM_GETNEIGH, NDMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0), _neighbour)
    return [neighbour for neighbour in found if neighbour.state]


def ipv6() -> bool:
    """Does this kernel speak IPv6 at all (`ipv6.disable=1` on its command line says no)?"""
    return os.path.exists("/proc/sys/net/ipv6")


# Changing


def delete_link(index: int) -> None:
    """Delete a link. One that is gone is fine: somebody was faster."""
    try:
        order(RTM_DELLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def switch(index: int, *, on: bool) -> None:
    """Switch a link on or off; with off its routes go."""
    order(RTM_NEWLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, IFF_UP if on else 0, IFF_UP))


def add_veth(name: str, master: int, peer: str, namespace: int, *, macs: tuple[str, str], mtu: int) -> None:
    """A pair of links, both down: one a port of the bridge `master`, its peer in another namespace, given as a descriptor."""

    def common(name: str, mac: str) -> bytes:
        address = attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        return attribute(IFLA_IFNAME, name.encode() + b"\0") + address + attribute(IFLA_MTU, struct.pack("=I", mtu))

    inner = ANY + common(peer, macs[1]) + attribute(IFLA_NET_NS_FD, struct.pack("=I", namespace))
    kind = attribute(IFLA_INFO_KIND, b"veth\0") + nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, inner))
    payload = ANY + common(name, macs[0]) + attribute(IFLA_MASTER, struct.pack("=I", master)) + nested(IFLA_LINKINFO, kind)
    order(RTM_NEWLINK, payload, NLM_F_CREATE | NLM_F_EXCL)


def join(index: int, bridge: int) -> None:
    """Make a link a port of a bridge."""
    order(RTM_NEWLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attribute(IFLA_MASTER, struct.pack("=I", bridge)))


def set_mtu(index: int, mtu: int) -> None:
    order(RTM_NEWLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attribute(IFLA_MTU, struct.pack("=I", mtu)))


def set_mac(index: int, mac: str) -> None:
    """Also where it has that MAC already: the kernel then announces its addresses, as `arp_notify` and `ndisc_notify` say."""
    packed = bytes.fromhex(mac.replace(":", ""))
    order(RTM_NEWLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attribute(IFLA_ADDRESS, packed))


def set_alias(index: int, alias: str) -> None:
    order(RTM_NEWLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attribute(IFLA_IFALIAS, alias.encode()))


def set_port(name: str, alias: str, *, isolated: bool) -> None:
    """A bridge's port as we want it: up, labelled, sending back what comes in by it and belongs there (hairpin mode).

    The kernel sets what concerns the port before it switches the link on: nothing passes before it is isolated.
    """
    modes = attribute(IFLA_BRPORT_MODE, b"\1") + attribute(IFLA_BRPORT_ISOLATED, bytes([isolated]))
    port = nested(IFLA_INFO_SLAVE_DATA, modes)
    payload = (
        IFINFO.pack(socket.AF_UNSPEC, 0, 0, IFF_UP, IFF_UP)
        + attribute(IFLA_IFNAME, name.encode() + b"\0")
        + attribute(IFLA_IFALIAS, alias.encode())
        + nested(IFLA_LINKINFO, attribute(IFLA_INFO_SLAVE_KIND, b"bridge\0"), port)
    )
    order(RTM_NEWLINK, payload)


def add_address(address: Address) -> None:
    """Give a link an address; one that is there is fine. Of IPv6 nobody is asked first whether he has it."""
    packed = socket.inet_pton(address.family, address.address)
    flags = IFA_F_NODAD if address.family == socket.AF_INET6 else 0
    payload = IFADDR.pack(address.family, address.prefix, flags, 0, address.index)
    payload += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    if address.family == socket.AF_INET and address.prefix < 31:  # RFC 3021: two hosts need no broadcast
        payload += attribute(IFA_BROADCAST, IPv4Interface(str(address)).network.broadcast_address.packed)
    if address.protocol:
        payload += attribute(IFA_PROTO, bytes([address.protocol]))
    order(RTM_NEWADDR, payload, NLM_F_CREATE | NLM_F_REPLACE)


def delete_address(address: Address) -> None:
    local = attribute(IFA_LOCAL, socket.inet_pton(address.family, address.address))
    order(RTM_DELADDR, IFADDR.pack(address.family, address.prefix, 0, 0, address.index) + local)


def set_default(gateway: str, index: int) -> None:
    """The default route leads by this gateway and link, in the place of the one with the kernel's usual metric."""
    family = family_of(gateway)
    payload = RTMSG.pack(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
    payload += attribute(RTA_GATEWAY, socket.inet_pton(family, gateway)) + attribute(RTA_OIF, struct.pack("=I", index))
    order(RTM_NEWROUTE, payload, NLM_F_CREATE | NLM_F_REPLACE)


def delete_default(route: Route) -> None:
    """Take a default route of the main table away, whoever made it, a multipath one as a whole; one that is gone is fine."""
    payload = RTMSG.pack(route.family, 0, 0, 0, RT_TABLE_MAIN, 0, RT_SCOPE_NOWHERE, 0, 0)  # 0 and `NOWHERE` match any
    payload += attribute(RTA_PRIORITY, struct.pack("=I", route.metric)) if route.metric else b""
    if len(route.links) == 1:
        payload += attribute(RTA_OIF, struct.pack("=I", route.links[0]))
        payload += attribute(RTA_GATEWAY, socket.inet_pton(route.family, route.gateway)) if route.gateway else b""
    try:
        order(RTM_DELROUTE, payload)
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


# What the kernel says


def _link(payload: bytes) -> Link:
    _, _, index, flags, _ = IFINFO.unpack_from(payload)
    found = attributes(payload, IFINFO.size)
    info = attributes(found.get(IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=text(found, IFLA_IFNAME),
        kind=text(info, IFLA_INFO_KIND),
        up=bool(flags & IFF_UP),
        running=found[IFLA_OPERSTATE][0] == IF_OPER_UP,
        master=number(found, IFLA_MASTER),
        isolated=_is_isolated(info),
        peer=number(found, IFLA_LINK),
        alias=text(found, IFLA_IFALIAS),
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=number(found, IFLA_MTU),
    )


def _is_isolated(info: Attributes) -> bool:
    """Ports of other masters (bonds) number what they say otherwise."""
    if text(info, IFLA_INFO_SLAVE_KIND) != "bridge":
        return False
    return attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")).get(IFLA_BRPORT_ISOLATED, b"\0") == b"\1"


def _address(payload: bytes) -> Address:
    family, prefix, _, _, index = IFADDR.unpack_from(payload)
    found = attributes(payload, IFADDR.size)
    # On a point-to-point link IFA_ADDRESS is the other side.
    own = socket.inet_ntop(family, found.get(IFA_LOCAL) or found[IFA_ADDRESS])
    return Address(index, own, prefix, found.get(IFA_PROTO, b"\0")[0])


def _route(payload: bytes) -> Route:
    family, prefix, _, _, table, _, _, _, _ = RTMSG.unpack_from(payload)
    found = attributes(payload, RTMSG.size)
    nowhere = bytes(16 if family == socket.AF_INET6 else 4)
    hops, gateway = _nexthops(found, family)
    return Route(
        destination=f"{socket.inet_ntop(family, found.get(RTA_DST, nowhere))}/{prefix}",
        gateway=gateway,
        links=hops,
        table=number(found, RTA_TABLE) or table,
        metric=number(found, RTA_PRIORITY),
        source=socket.inet_ntop(family, found[RTA_PREFSRC]) if RTA_PREFSRC in found else "",
    )


def _nexthops(found: Attributes, family: int) -> tuple[tuple[int, ...], str]:
    """The links a route leaves by, and its gateway, the first of several."""
    gateway = socket.inet_ntop(family, found[RTA_GATEWAY]) if RTA_GATEWAY in found else ""
    if RTA_MULTIPATH not in found:
        index = number(found, RTA_OIF)
        return (index,) if index else (), gateway
    hops, at, data = [], 0, found[RTA_MULTIPATH]
    while at < len(data):
        length, _, _, index = NEXTHOP.unpack_from(data, at)
        hops.append(index)
        hop = attributes(data[at : at + length], NEXTHOP.size)
        if not gateway and RTA_GATEWAY in hop:
            gateway = socket.inet_ntop(family, hop[RTA_GATEWAY])
        at += aligned(length)
    return tuple(hops), gateway


def _neighbour(payload: bytes) -> Neighbour:
    family, index, state, _, _ = NDMSG.unpack_from(payload)
    found = attributes(payload, NDMSG.size)
    address = socket.inet_ntop(family, found[NDA_DST]) if family in (socket.AF_INET, socket.AF_INET6) else ""
    return Neighbour(index, address, found.get(NDA_LLADDR, b"").hex(":"), NUD.get(state, "") if address else "")
