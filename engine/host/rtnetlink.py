"""The part of rtnetlink(7) that belongs on a thread: reading whole tables, and taking things away. Blocking calls.

A dump of 300 links takes 6 ms here; building a library's object of every message takes 130 ms of the event loop, and these
tables are read all day. Taking a link down or away lasts up to 50 ms inside the very system call (the kernel waits until no
processor uses it any more). What is made goes through pyroute2 (`links.py`).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec import Struct

from engine.host.things import Traffic

T = TypeVar("T")
Attributes = dict[int, bytes]

# <linux/netlink.h>
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_DUMP_INTR = 0x10
NLM_F_REQUEST = 0x1
NLM_F_REQUEST_DUMP = 0x301
NLM_F_REQUEST_ACK = 0x5
HEADER = struct.Struct("=IHHII")

# <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_DELADDR, RTM_GETADDR, RTM_GETROUTE = 16, 17, 18, 21, 22, 26
RTMGRP_LINK = 1
IFINFO = struct.Struct("=BxHiII")
IFADDR = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
NEXTHOP = struct.Struct("=HBBi")
IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_STATS64 = 1, 3, 4, 10, 18, 20, 23
IFLA_INFO_KIND = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_TABLE = 1, 4, 5, 9, 15
TABLE_MAIN, TABLE_LOCAL = 254, 255

RECEIVE = 1 << 18
"""Bytes of one read. The kernel fills at most 32 KiB of a dump into one message."""


class Link(Struct, frozen=True):
    index: int
    name: str
    kind: str
    """`bridge`, `veth`; empty for hardware and `lo`."""
    up: bool
    master: int
    """Index of the bridge it is a port of, or 0."""
    alias: str
    mac: str
    mtu: int


class Address(Struct, frozen=True):
    index: int
    address: str
    prefix: int


class Route(Struct, frozen=True):
    destination: str
    """With prefix length; `0.0.0.0/0` is the default route."""
    gateway: str
    links: tuple[int, ...]
    """Indexes of the links it leaves by: several for a multipath route."""
    table: int


def links() -> list[Link]:
    """Every link of the calling thread's namespace."""
    return _dump(RTM_GETLINK, IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0), parse_link)


def addresses() -> list[Address]:
    """Every IPv4 address."""
    return _dump(RTM_GETADDR, IFADDR.pack(socket.AF_INET, 0, 0, 0, 0), _address)


def routes() -> list[Route]:
    """Every IPv4 route but the kernel's own of the table `local`."""
    found = _dump(RTM_GETROUTE, RTMSG.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), _route)
    return [route for route in found if route.table != TABLE_LOCAL]


def traffic(name: str) -> Traffic | None:
    """What one link has counted; None when there is no such link."""
    wanted = name.encode() + b"\0"
    request = IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + struct.pack("=HH", 4 + len(wanted), IFLA_IFNAME) + wanted
    try:
        (payload,) = _ask(RTM_GETLINK, NLM_F_REQUEST, request)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return Traffic(*struct.unpack_from("=8Q", _attributes(payload, IFINFO.size)[IFLA_STATS64]))


def delete_link(index: int) -> None:
    """Delete a link. One that is gone is fine: somebody was faster."""
    try:
        _order(RTM_DELLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def take_down(index: int) -> None:
    """Switch a link off; its routes go with that."""
    _order(RTM_NEWLINK, IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, IFF_UP))


def delete_address(address: Address) -> None:
    local = struct.pack("=HH", 8, IFA_LOCAL) + socket.inet_aton(address.address)
    _order(RTM_DELADDR, IFADDR.pack(socket.AF_INET, address.prefix, 0, 0, address.index) + local)


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and payload of each message of one datagram."""
    at = 0
    while at < len(data):
        length, kind, flags, _, _ = HEADER.unpack_from(data, at)
        yield kind, flags, data[at + HEADER.size : at + length]
        at += _aligned(length)


def parse_link(payload: bytes) -> Link:
    _, _, index, flags, _ = IFINFO.unpack_from(payload)
    found = _attributes(payload, IFINFO.size)
    return Link(
        index=index,
        name=_text(found, IFLA_IFNAME),
        kind=_text(_attributes(found.get(IFLA_LINKINFO, b""), 0), IFLA_INFO_KIND),
        up=bool(flags & IFF_UP),
        master=_number(found, IFLA_MASTER),
        alias=_text(found, IFLA_IFALIAS),
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=_number(found, IFLA_MTU),
    )


def _address(payload: bytes) -> Address:
    _, prefix, _, _, index = IFADDR.unpack_from(payload)
    found = _attributes(payload, IFADDR.size)
    # On a point-to-point link IFA_ADDRESS is the other side.
    return Address(index, socket.inet_ntoa(found.get(IFA_LOCAL) or found[IFA_ADDRESS]), prefix)


def _route(payload: bytes) -> Route:
    _, prefix, _, _, table, _, _, _, _ = RTMSG.unpack_from(payload)
    found = _attributes(payload, RTMSG.size)
    gateway = found.get(RTA_GATEWAY)
    hops = _nexthops(found[RTA_MULTIPATH]) if RTA_MULTIPATH in found else (_number(found, RTA_OIF),)
    return Route(
        destination=f"{socket.inet_ntoa(found.get(RTA_DST, bytes(4)))}/{prefix}",
        gateway=socket.inet_ntoa(gateway) if gateway else "",
        links=tuple(hop for hop in hops if hop),
        table=_number(found, RTA_TABLE) or table,
    )


def _nexthops(data: bytes) -> tuple[int, ...]:
    hops, at = [], 0
    while at < len(data):
        length, _, _, index = NEXTHOP.unpack_from(data, at)
        hops.append(index)
        at += _aligned(length)
    return tuple(hops)


def _order(kind: int, payload: bytes) -> None:
    """Ask for one change and wait for the answer. Raises `OSError` with the kernel's number."""
    _ask(kind, NLM_F_REQUEST_ACK, payload)


def _ask(kind: int, flags: int, payload: bytes) -> list[bytes]:
    """Ask once; the messages of the answer. Raises `OSError` with the kernel's number."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.send(HEADER.pack(HEADER.size + len(payload), kind, flags, 1, 0) + payload)
        answers = []
        for got, _, data in messages(kernel.recv(RECEIVE)):
            if got == NLMSG_ERROR:
                _check(data)
            answers.append(data)
        return answers


def _check(data: bytes) -> None:
    """struct nlmsgerr: a negative errno, or 0 for an acknowledgement."""
    number = -struct.unpack_from("=i", data)[0]
    if number:
        raise OSError(number, os.strerror(number))


def _dump(kind: int, payload: bytes, parse: Callable[[bytes], T]) -> list[T]:
    """One table. Asked again while the kernel says that it changed under the dump, at most a few times."""
    for _ in range(5):
        found, whole = _dump_once(kind, payload, parse)
        if whole:
            break
    return found


def _dump_once(kind: int, payload: bytes, parse: Callable[[bytes], T]) -> tuple[list[T], bool]:
    found: list[T] = []
    whole = True
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.send(HEADER.pack(HEADER.size + len(payload), kind, NLM_F_REQUEST_DUMP, 1, 0) + payload)
        while True:
            for got, flags, data in messages(kernel.recv(RECEIVE)):
                whole = whole and not flags & NLM_F_DUMP_INTR
                if got == NLMSG_DONE:
                    return found, whole
                if got == NLMSG_ERROR:
                    _check(data)
                found.append(parse(data))


def _attributes(data: bytes, at: int) -> Attributes:
    found: Attributes = {}
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]  # without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER
        at += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _number(found: Attributes, kind: int) -> int:
    return int(struct.unpack_from("=i", found[kind])[0]) if kind in found else 0


def _text(found: Attributes, kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")
