"""A query as it came (RFC 1035, 4.1). No more of it is read than its question and the size of answers its client takes.

Containers are strangers, and a message may be 64 KiB: read as a whole by a library, it keeps the event loop for 100 ms.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import dns.exception
import dns.name
from dns.opcode import Opcode
from dns.rcode import Rcode
from dns.rdatatype import RdataType

HEADER = struct.Struct("!HHHHHH")
TYPE_CLASS = struct.Struct("!HH")
RECORD = struct.Struct("!HHIH")
"""What follows a record's name: type, class, TTL, length."""

IS_ANSWER = 0x8000
RECURSION_DESIRED = 0x0100
RECURSION_AVAILABLE = 0x0080


class Unanswerable(Exception):
    """This is no query. `reply` says so; empty: better say nothing."""

    def __init__(self, reply: bytes = b"") -> None:
        super().__init__(reply)
        self.reply = reply


class Query(NamedTuple):
    wire: bytes
    name: dns.name.Name
    kind: int
    rdclass: int
    end: int
    """Where the question ends."""
    payload: int | None
    """Bytes of an answer by UDP that the client takes, when it says so (RFC 6891)."""

    @property
    def question(self) -> bytes:
        return self.wire[HEADER.size : self.end]


def parse(wire: bytes) -> Query:
    """The query with its one question. Raises `Unanswerable`."""
    if len(wire) < HEADER.size:
        raise Unanswerable
    _, flags, questions, *records = HEADER.unpack_from(wire)
    if flags & IS_ANSWER:  # an answer to an answer would go round for ever
        raise Unanswerable
    if flags >> 11 & 0xF != Opcode.QUERY:
        raise Unanswerable(header(wire, Rcode.NOTIMP))
    try:
        if questions != 1:
            raise ValueError
        name, length = dns.name.from_wire(wire, HEADER.size)
        end = HEADER.size + length + TYPE_CLASS.size
        kind, rdclass = TYPE_CLASS.unpack_from(wire, HEADER.size + length)
        return Query(wire, name, kind, rdclass, end, _payload(wire, end, sum(records)))
    except (dns.exception.DNSException, ValueError, IndexError, struct.error) as error:
        raise Unanswerable(header(wire, Rcode.FORMERR)) from error


def header(wire: bytes, rcode: Rcode, flags: int = 0, *counts: int) -> bytes:
    """The header of the answer to `wire`: the same id, opcode and RD. `counts`: of questions, answers, others; else none."""
    id, asked = struct.unpack_from("!HH", wire)
    said = IS_ANSWER | RECURSION_AVAILABLE | asked & (0x7800 | RECURSION_DESIRED) | flags | rcode
    return HEADER.pack(id, said, *(counts or (0, 0, 0, 0)))


def _payload(wire: bytes, at: int, records: int) -> int | None:
    """What the record OPT says, which is somewhere behind the question, if at all."""
    found = None
    for _ in range(records):
        at = _skip_name(wire, at)
        kind, size, _, length = RECORD.unpack_from(wire, at)
        at += RECORD.size + length
        if kind == RdataType.OPT:
            found = size
    if at != len(wire):
        raise ValueError
    return found


def _skip_name(wire: bytes, at: int) -> int:
    while length := wire[at]:
        if length >= 0xC0:  # a pointer ends a name
            return at + 2
        at += 1 + length
    return at + 1
