"""Flows of UDP that the kernel tracks, forgotten when a port begins or ceases to lead somewhere.

A flow keeps the destination that its first packet was given, and has no end that the kernel could see: a client that goes on
talking would never reach the new container, or go on talking to the one that left. Messages of ctnetlink
(<linux/netfilter/nfnetlink_conntrack.h>). Blocking calls of microseconds to milliseconds.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from engine.host.bell import NETLINK_NETFILTER
from engine.host.netlink import Attributes, attribute, attributes, dump, nested, order
from engine.host.nfnetlink import NFGENMSG

CT_GET, CT_DELETE = 1 << 8 | 1, 1 << 8 | 2
"""IPCTNL_MSG_CT_GET and _DELETE of the subsystem NFNL_SUBSYS_CTNETLINK."""
CTA_TUPLE_ORIG, CTA_ID, CTA_FILTER = 1, 12, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_DST, CTA_IP_V6_DST = 2, 4
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3
CTA_FILTER_ORIG_FLAGS = 1
F_PROTO_NUM, F_PROTO_DST_PORT = 1 << 3, 1 << 5

FAMILIES = {4: (socket.AF_INET, CTA_IP_V4_DST), 6: (socket.AF_INET6, CTA_IP_V6_DST)}


class Port(NamedTuple):
    """A UDP port of the host."""

    version: int
    """Of IP: 4 or 6."""
    address: str
    """Empty: every address of the host."""
    number: int


def forget(ports: Iterable[Port]) -> None:
    """Forget the flows from anywhere to these ports of this host. Raises `OSError`."""
    wanted = set(ports)
    for version, (family, destination) in FAMILIES.items():
        numbers = {port.number for port in wanted if port.version == version}
        if not numbers:
            continue
        head = NFGENMSG.pack(family, 0, 0)
        for flow in dump(CT_GET, head + _filter(numbers), _parse, NETLINK_NETFILTER):
            tuple_ = attributes(flow[CTA_TUPLE_ORIG])
            proto = attributes(tuple_[CTA_TUPLE_PROTO])
            number = int.from_bytes(proto.get(CTA_PROTO_DST_PORT, b""), "big")
            if proto[CTA_PROTO_NUM][0] != socket.IPPROTO_UDP or number not in numbers:
                continue
            address = socket.inet_ntop(family, attributes(tuple_[CTA_TUPLE_IP])[destination])
            named = Port(version, address, number) in wanted
            if named or (Port(version, "", number) in wanted and _is_local(family, address)):
                _delete(head, flow)


def _filter(ports: set[int]) -> bytes:
    """All flows of UDP, or those to the one port: the kernel chooses (since 5.8; before, it sends all there are)."""
    proto, flags = attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP])), F_PROTO_NUM
    if len(ports) == 1:
        proto += attribute(CTA_PROTO_DST_PORT, struct.pack(">H", *ports))
        flags |= F_PROTO_DST_PORT
    wanted = nested(CTA_TUPLE_ORIG, nested(CTA_TUPLE_PROTO, proto))
    return wanted + nested(CTA_FILTER, attribute(CTA_FILTER_ORIG_FLAGS, struct.pack("=I", flags)))


def _parse(data: bytes) -> Attributes:
    return attributes(data, NFGENMSG.size)


def _delete(head: bytes, flow: Attributes) -> None:
    """One that has ended meanwhile is fine."""
    try:
        name = nested(CTA_TUPLE_ORIG, flow[CTA_TUPLE_ORIG]) + attribute(CTA_ID, flow[CTA_ID])
        order(CT_DELETE, head + name, protocol=NETLINK_NETFILTER)
    except FileNotFoundError:
        return


def _is_local(family: int, address: str) -> bool:
    """Is it one of the host's own? One can bind to no other."""
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            # EINVAL: link-local, which needs its link to be named, and is nobody else's.
            return error.errno == errno.EINVAL
        return True
