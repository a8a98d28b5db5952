"""What is answered to a query: RFC 1035, with the sizes of RFC 6891 (EDNS).

Queries are read, and failures written, by dnspython. Answers are written here: a name may have hundreds of addresses, and
the library takes 60 us for each, on the event loop.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.reversename
import dns.rrset
from dns.message import Message
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

Lookup = Callable[[str], "tuple[str, ...] | None"]
"""Addresses of a name, names of an address; None: not one of ours."""

TTL = 600
"""Seconds. Docker's."""
SMALLEST_UDP, LARGEST_UDP = 512, 4096
"""Bytes of an answer by UDP: what every client takes, and what we send at most to one that takes more."""
LARGEST_TCP = 65535

HEADER = struct.Struct("!HHHHHH")
RECORD = struct.Struct("!HHHIH")
OPT = struct.pack("!xHHIH", RdataType.OPT, LARGEST_UDP, 0, 0)
NAME_OF_THE_QUESTION = 0xC000 | HEADER.size
"""A pointer to it (RFC 1035, 4.1.4)."""


class Unanswerable(Exception):
    """This is no query. `reply` says so; empty: better say nothing."""

    def __init__(self, reply: bytes = b"") -> None:
        super().__init__(reply)
        self.reply = reply


def parse(wire: bytes) -> Message:
    """The query with its one question. Raises `Unanswerable`."""
    if len(wire) < HEADER.size or wire[2] >> 7:  # an answer to an answer would go round for ever
        raise Unanswerable
    if wire[2] >> 3 & 0xF != dns.opcode.QUERY:
        raise Unanswerable(_bare(wire, Rcode.NOTIMP))
    try:
        query = dns.message.from_wire(wire, keyring=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise Unanswerable(_bare(wire, Rcode.FORMERR)) from error
    if len(query.question) != 1:
        raise Unanswerable(_bare(wire, Rcode.FORMERR))
    return query


def answer(query: Message, lookup: Lookup, *, tcp: bool) -> bytes | None:
    """The answer when the question is about something of ours. None: ask further."""
    records = _find(query.question[0], lookup)
    return None if records is None else _render(query, records, LARGEST_TCP if tcp else _limit(query))


def failure(query: Message, rcode: Rcode) -> bytes:
    """An answer that says why there is none."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP)
    response.set_rcode(rcode)
    return response.to_wire()


def question_wire(query: Message) -> bytes:
    """The question as it stands behind the header."""
    asked = query.question[0]
    return (asked.name.to_wire() or b"") + struct.pack("!HH", asked.rdtype, asked.rdclass)


def _find(question: dns.rrset.RRset, lookup: Lookup) -> list[bytes] | None:
    """The records asked for, as they are sent: none where a name of ours has none of this type. None: not ours."""
    if question.rdclass != RdataClass.IN:
        return None
    if question.rdtype == RdataType.PTR:
        names = lookup(address) if (address := _address(question.name)) else None
        return None if names is None else [wire for name in names if (wire := _name(name))]
    if question.rdtype not in (RdataType.A, RdataType.AAAA, RdataType.MX):
        return None
    name = question.name.to_text(omit_final_dot=True).lower()
    addresses = None if _is_address(name) else lookup(name)
    if addresses is None:
        return None
    if question.rdtype == RdataType.A:
        found = [socket.inet_pton(socket.AF_INET, address) for address in addresses if ":" not in address]
    elif question.rdtype == RdataType.AAAA:
        found = [socket.inet_pton(socket.AF_INET6, address) for address in addresses if ":" in address]
    else:
        found = []
    random.shuffle(found)
    return found


def _render(query: Message, records: list[bytes], limit: int) -> bytes:
    """As many of the records as there is room for."""
    asked = question_wire(query)
    opt = OPT if query.edns >= 0 else b""
    room = limit - HEADER.size - len(asked) - len(opt)
    kind, flags = query.question[0].rdtype, dns.flags.QR | dns.flags.RA | query.flags & dns.flags.RD
    written = bytearray()
    count = 0
    for record in records:
        if len(written) + RECORD.size + len(record) > room:
            flags |= dns.flags.TC
            break
        written += RECORD.pack(NAME_OF_THE_QUESTION, kind, RdataClass.IN, TTL, len(record)) + record
        count += 1
    return HEADER.pack(query.id, flags, 1, count, 0, bool(opt)) + asked + written + opt


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


def _limit(query: Message) -> int:
    return min(max(query.payload, SMALLEST_UDP), LARGEST_UDP) if query.edns >= 0 else SMALLEST_UDP


def _bare(wire: bytes, rcode: Rcode) -> bytes:
    """A header alone, for what could not be read: the same id, opcode and RD."""
    return wire[:2] + bytes((0x80 | wire[2] & 0x79, 0x80 | rcode)) + bytes(8)
