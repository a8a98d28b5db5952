"""Elements of the maps of published ports, into the kernel and out of it (<linux/netfilter/nf_tables.h>). Blocking calls.

What `nft add element` and `nft delete element` do, through netlink(7), since a container's start waits for it: 0.5 ms, where
nft(8) takes 5 ms to begin.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import islice

from engine.host.firewall.ruleset import Element, Elements, Place
from engine.host.netlink import NLM_F_CREATE, attribute, nested
from engine.host.nfnetlink import NFNL_SUBSYS_NFTABLES, message, text, transact

NFPROTO_INET = 1
NEWSETELEM, DELSETELEM = NFNL_SUBSYS_NFTABLES << 8 | 12, NFNL_SUBSYS_NFTABLES << 8 | 14
LIST_TABLE, LIST_SET, LIST_ELEMENTS, LIST_ELEM = 1, 2, 3, 1
ELEM_KEY, ELEM_DATA, ELEM_USERDATA, DATA_VALUE = 1, 2, 6, 1
COMMENT = 0
"""NFTNL_UDATA_SET_ELEM_COMMENT, of libnftnl: where nft(8) looks for a comment."""

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}

AT_ONCE = 256
"""Elements of one message: an attribute has at most 64 KiB, an element some 140 bytes."""


def change(table: str, gone: Iterable[Place], fresh: Elements) -> None:
    """Elements out of the maps and into them, all or none. Raises `OSError` with the kernel's number."""
    out = {place: _element(place) for place in gone}
    into = {place: _element(place, element) for place, element in fresh.items()}
    transact([*_messages(DELSETELEM, table, out), *_messages(NEWSETELEM, table, into)])


def _messages(kind: int, table: str, elements: dict[Place, bytes]) -> Iterator[bytes]:
    by_set: dict[str, list[bytes]] = {}
    for place, element in elements.items():
        by_set.setdefault(place.set, []).append(element)
    for name, encoded in by_set.items():
        rest = iter(encoded)
        while some := [*islice(rest, AT_ONCE)]:
            payload = text(LIST_TABLE, table) + text(LIST_SET, name) + nested(LIST_ELEMENTS, *some)
            yield message(kind, payload, NLM_F_CREATE if kind == NEWSETELEM else 0, NFPROTO_INET)


def _element(place: Place, element: Element | None = None) -> bytes:
    """Without its value, which does not matter to who takes it away, or with it."""
    key = nested(ELEM_KEY, attribute(DATA_VALUE, _packed(place.key)))
    if element is None:
        return nested(LIST_ELEM, key)
    comment = element.owner.encode() + b"\0"
    owner = attribute(ELEM_USERDATA, bytes((COMMENT, len(comment))) + comment)
    return nested(LIST_ELEM, key, nested(ELEM_DATA, attribute(DATA_VALUE, _packed(element.value))), owner)


def _packed(fields: str) -> bytes:
    """`tcp . 192.0.2.1 . 80` as the kernel concatenates it: in network byte order, each field filled up to 4 bytes."""
    return b"".join(map(_field, fields.split(" . ")))


def _field(field: str) -> bytes:
    if protocol := PROTOCOLS.get(field):
        return struct.pack("B3x", protocol)
    return struct.pack(">H2x", int(field)) if field.isdigit() else ip_address(field).packed
