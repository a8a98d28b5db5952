"""What is answered to a query: RFC 1035, with the sizes of RFC 6891 (EDNS)."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdata
import dns.reversename
import dns.rrset
from dns.message import Message
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

Lookup = Callable[[str], "tuple[str, ...] | None"]
"""Addresses of a name, names of an address; None: not one of ours."""

TTL = 600
"""Seconds. Docker's."""
HEADER = 12
LARGEST_UDP = 4096
"""Bytes of an answer by UDP, however much the client says it takes."""
LARGEST_TCP = 65535
SMALLEST_RECORD = 12


class Unanswerable(Exception):
    """This is no query. `reply` says so; empty: better say nothing."""

    def __init__(self, reply: bytes = b"") -> None:
        super().__init__(reply)
        self.reply = reply


def parse(wire: bytes) -> Message:
    """The query with its one question. Raises `Unanswerable`."""
    if len(wire) < HEADER or wire[2] >> 7:  # an answer to an answer would go round for ever
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
    if records is None:
        return None
    limit = LARGEST_TCP if tcp else _limit(query)
    response = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP)
    # One record at a time: of a set that is too long the client gets what there is room for.
    name = query.question[0].name
    response.answer = [dns.rrset.from_rdata(name, TTL, record) for record in records[: limit // SMALLEST_RECORD]]
    return response.to_wire(max_size=limit, prefer_truncation=True)


def failure(query: Message, rcode: Rcode) -> bytes:
    """An answer that says why there is none."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP)
    response.set_rcode(rcode)
    return response.to_wire()


def _find(question: dns.rrset.RRset, lookup: Lookup) -> list[dns.rdata.Rdata] | None:
    """The records asked for: none where a name of ours has none of this type. None: not ours."""
    if question.rdclass != RdataClass.IN:
        return None
    if question.rdtype == RdataType.PTR:
        names = lookup(address) if (address := _address(question.name)) else None
        return None if names is None else [_pointer(n) for n in map(_name, names) if n]
    if question.rdtype not in (RdataType.A, RdataType.AAAA, RdataType.MX):
        return None
    name = question.name.to_text(omit_final_dot=True).lower()
    addresses = None if _is_address(name) else lookup(name)
    if addresses is None:
        return None
    chosen = [address for address in addresses if _type(address) == question.rdtype]
    random.shuffle(chosen)
    kind = A if question.rdtype == RdataType.A else AAAA
    return [kind(RdataClass.IN, question.rdtype, address) for address in chosen]


def _pointer(name: dns.name.Name) -> dns.rdata.Rdata:
    return PTR(RdataClass.IN, RdataType.PTR, name)  # type: ignore[no-untyped-call]


def _type(address: str) -> RdataType:
    return RdataType.AAAA if ":" in address else RdataType.A


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


def _name(text: str) -> dns.name.Name | None:
    """None for what DNS cannot carry: a container's name may be longer than a label's 63 bytes."""
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException:
        return None


def _limit(query: Message) -> int:
    return min(max(query.payload, 512), LARGEST_UDP) if query.edns >= 0 else 512


def _bare(wire: bytes, rcode: Rcode) -> bytes:
    """A header alone, for what could not be read: the same id, opcode and RD."""
    return wire[:2] + bytes((0x80 | wire[2] & 0x79, 0x80 | rcode)) + bytes(8)
