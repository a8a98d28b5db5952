"""What is answered to a query about names and addresses of ours.

Written here and not by a library, which takes 60 us for each of perhaps hundreds of addresses, on the event loop.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.name
import dns.reversename
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from engine.host.names.query import HEADER, Query, header

Lookup = Callable[[str], "tuple[str, ...] | None"]
"""Addresses of a name, names of an address; None: not one of ours."""

TTL = 600
"""Seconds. Docker's."""
SMALLEST_UDP, LARGEST_UDP = 512, 4096
"""Bytes of an answer by UDP: what every client takes, and what we send at most to one that takes more."""
LARGEST_TCP = 65535

RECORD = struct.Struct("!HHHIH")
NAME_OF_THE_QUESTION = 0xC000 | HEADER.size
"""A pointer to it (RFC 1035, 4.1.4)."""
OPT = struct.pack("!xHHIH", RdataType.OPT, LARGEST_UDP, 0, 0)


def answer(query: Query, lookup: Lookup, *, tcp: bool) -> bytes | None:
    """The answer when the question is about something of ours. None: ask further."""
    records = _find(query, lookup)
    return None if records is None else _render(query, records, LARGEST_TCP if tcp else _limit(query))


def failure(query: Query, rcode: Rcode) -> bytes:
    """An answer that says why there is none."""
    return _render(query, [], SMALLEST_UDP, rcode)


def _find(query: Query, lookup: Lookup) -> list[bytes] | None:
    """The records asked for, as they are sent: none where a name of ours has none of this type. None: not ours."""
    if query.rdclass != RdataClass.IN:
        return None
    if query.kind == RdataType.PTR:
        names = lookup(address) if (address := _address(query.name)) else None
        return None if names is None else [wire for name in names if (wire := _name(name))]
    if query.kind not in (RdataType.A, RdataType.AAAA, RdataType.MX):
        return None
    name = query.name.to_text(omit_final_dot=True).lower()
    addresses = None if _is_address(name) else lookup(name)
    if addresses is None:
        return None
    if query.kind == RdataType.A:
        found = [socket.inet_pton(socket.AF_INET, address) for address in addresses if ":" not in address]
    elif query.kind == RdataType.AAAA:
        found = [socket.inet_pton(socket.AF_INET6, address) for address in addresses if ":" in address]
    else:
        found = []
    random.shuffle(found)
    return found


def _render(query: Query, records: list[bytes], limit: int, rcode: Rcode = Rcode.NOERROR) -> bytes:
    """As many of the records as there is room for."""
    opt = OPT if query.payload is not None else b""
    room = limit - HEADER.size - len(query.question) - len(opt)
    written, count = bytearray(), 0
    for record in records:
        if len(written) + RECORD.size + len(record) > room:
            break
        written += RECORD.pack(NAME_OF_THE_QUESTION, query.kind, RdataClass.IN, TTL, len(record)) + record
        count += 1
    truncated = dns.flags.TC if count < len(records) else 0
    return header(query.wire, rcode, truncated, 1, count, 0, bool(opt)) + query.question + written + opt


def _is_address(name: str) -> bool:
    """Somebody asks for the address of an address: `lookup` would take it for a reverse lookup."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _address(name: dns.name.Name) -> str:
    """The address that a name below `in-addr.arpa` or `ip6.arpa` stands for; empty when it stands for none."""
    try:
        return dns.reversename.to_address(name)
    except (dns.exception.DNSException, ValueError):
        return ""


def _name(text: str) -> bytes:
    """Empty for what DNS cannot carry: a container's name may be longer than a label's 63 bytes."""
    try:
        return dns.name.from_text(text).to_wire() or b""
    except dns.exception.DNSException:
        return b""


def _limit(query: Query) -> int:
    return min(max(query.payload or 0, SMALLEST_UDP), LARGEST_UDP)
