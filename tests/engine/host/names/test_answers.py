"""What is answered, without a network."""

from __future__ import annotations

import struct
from typing import Any

import dns.flags
import dns.message
import dns.reversename
import dns.tsig
import pytest
from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st

from engine.host.names.answers import LARGEST_UDP, answer, failure
from engine.host.names.query import HEADER, Unanswerable, parse
from tests.engine.host.names.conftest import DIRECTORY
from tests.engine.host.names.kit import question, said

KINDS = ("A", "AAAA", "MX", "PTR", "SRV", "TXT", "ANY", "HTTPS")
SIZES = (0, 12, 512, 1232, 65535)

queries = st.builds(
    lambda name, kind, edns, size: question(name, kind, use_edns=edns, payload=size) if edns >= 0 else question(name, kind),
    st.sampled_from(["db", "many", "stranger.example", "2.0.30.172.in-addr.arpa", "x.ip6.arpa", "."]),
    st.sampled_from(KINDS),
    st.sampled_from([-1, 0, 1]),
    st.sampled_from(SIZES),
)


def reply(name: str, kind: str = "A", *, tcp: bool = False, **more: Any) -> Message | None:
    wire = answer(parse(question(name, kind, **more)), DIRECTORY.get, tcp=tcp)
    return None if wire is None else dns.message.from_wire(wire)


def known(name: str, kind: str = "A", **more: Any) -> Message:
    found = reply(name, kind, **more)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["db", "DB", "dB.", "db."])
def test_a_name_has_its_addresses_of_the_family_asked_for(name: str) -> None:
    found = known(name)
    assert said(found) == {"172.30.0.2", "172.30.0.3"}
    assert said(known(name, "AAAA")) == {"fd00::2"}
    assert {records.ttl for records in found.answer} == {600}
    assert str(found.question[0].name) == name.removesuffix(".") + "."  # as it was asked: some clients compare the case
    assert found.flags & dns.flags.RA and found.rcode() == Rcode.NOERROR


@pytest.mark.parametrize(("name", "kind"), [("old", "AAAA"), ("old", "MX"), ("db", "MX")])
def test_a_name_of_ours_without_such_records_is_no_unknown_name(name: str, kind: str) -> None:
    found = known(name, kind)
    assert (found.rcode(), found.answer) == (Rcode.NOERROR, [])


@pytest.mark.parametrize("address", ["172.30.0.2", "fd00::2"])
def test_an_address_of_ours_has_its_names_as_far_as_dns_can_say_them(address: str) -> None:
    assert said(known(str(dns.reversename.from_address(address)), "PTR")) == {"db.backend."}
    assert said(known(str(dns.reversename.from_address(address)).upper(), "PTR")) == {"db.backend."}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("example.org", "A"),
        ("example.org", "MX"),
        ("db", "TXT"),
        ("db", "SRV"),
        ("db", "PTR"),
        ("172.30.0.2", "A"),
        ("9.9.9.9.in-addr.arpa", "PTR"),
        ("30.172.in-addr.arpa", "PTR"),
        ("999.0.30.172.in-addr.arpa", "PTR"),
        ("2.ip6.arpa", "PTR"),
    ],
)
def test_all_else_is_for_others_to_say(name: str, kind: str) -> None:
    assert reply(name, kind) is None


def test_another_class_than_internet_is_for_others_to_say() -> None:
    wire = dns.message.make_query("db", "A", "CH").to_wire()
    assert answer(parse(wire), DIRECTORY.get, tcp=False) is None


def test_addresses_are_shuffled() -> None:
    orders = {tuple(str(records[0]) for records in known("db").answer) for _ in range(64)}
    assert len(orders) == 2


@pytest.mark.parametrize(
    ("more", "most"), [({}, 512), ({"use_edns": 0, "payload": 1232}, 1232), ({"use_edns": 0, "payload": 100}, 512)]
)
def test_a_long_answer_by_udp_is_cut_to_what_the_client_takes(more: dict[str, Any], most: int) -> None:
    wire = answer(parse(question("many", **more)), DIRECTORY.get, tcp=False)
    assert wire and most - 16 <= len(wire) <= most
    found = dns.message.from_wire(wire)
    assert found.flags & dns.flags.TC
    assert said(found) < set(DIRECTORY["many"])


def test_a_long_answer_by_tcp_or_to_a_patient_client_is_whole() -> None:
    for found in (known("many", tcp=True), known("many", use_edns=0, payload=LARGEST_UDP)):
        assert not found.flags & dns.flags.TC
        assert said(found) == set(DIRECTORY["many"])


def test_thousands_of_addresses_are_cut_too() -> None:
    everybody = tuple(f"10.0.{high}.{low}" for high in range(40) for low in range(200))
    for tcp, most in ((False, LARGEST_UDP), (True, 65535)):
        wire = answer(parse(question("all", use_edns=0, payload=65535)), lambda _: everybody, tcp=tcp)
        assert wire and most - 16 <= len(wire) <= most
        assert dns.message.from_wire(wire).flags & dns.flags.TC


@given(queries)
def test_an_answer_is_one_that_a_client_can_read(wire: bytes) -> None:
    query = parse(wire)
    for found in (answer(query, DIRECTORY.get, tcp=False), failure(query, Rcode.SERVFAIL)):
        if found is not None:
            read, asked = dns.message.from_wire(found), dns.message.from_wire(wire)
            assert asked.is_response(read)
            assert (read.edns >= 0) == (asked.edns >= 0)


@given(st.binary(max_size=600) | st.builds(lambda wire, at, part: broken(wire, at, part), queries, st.integers(), st.binary()))
def test_whatever_comes_is_a_query_or_is_refused(wire: bytes) -> None:
    try:
        query = parse(wire)
    except Unanswerable as error:
        if error.reply:
            found = dns.message.from_wire(error.reply)
            assert found.id == int.from_bytes(wire[:2])
            assert found.flags & dns.flags.QR
            assert found.rcode() in (Rcode.FORMERR, Rcode.NOTIMP)
    else:
        for tcp in (False, True):
            answer(query, DIRECTORY.get, tcp=tcp)
        failure(query, Rcode.REFUSED)


def broken(wire: bytes, at: int, part: bytes) -> bytes:
    """A query with something else in the place of one byte."""
    place = at % len(wire)
    return wire[:place] + part + wire[place + 1 :]


def test_what_is_no_query_gets_no_answer_or_a_short_one() -> None:
    for silence in (b"", b"\0" * 11, known("db").to_wire()):
        with pytest.raises(Unanswerable) as refused:
            parse(silence)
        assert refused.value.reply == b""
    update = bytes.fromhex("abcd29000001000000000000")
    with pytest.raises(Unanswerable) as refused:
        parse(update)
    assert refused.value.reply == bytes.fromhex("abcda9840000000000000000")  # NOTIMP, with the opcode and RD given back
    nothing_asked = bytes.fromhex("abcd01000000000000000000")
    with pytest.raises(Unanswerable) as refused:
        parse(nothing_asked)
    assert refused.value.reply == bytes.fromhex("abcd81810000000000000000")  # FORMERR


def test_a_signed_query_is_passed_on_and_not_judged() -> None:
    """Whose key it is the server will know."""
    signed = dns.message.make_query("example.org", "A")
    signed.use_tsig(dns.tsig.Key("key.", "c2VjcmV0"))
    assert answer(parse(signed.to_wire()), DIRECTORY.get, tcp=False) is None


def test_what_a_query_carries_beside_its_question_is_not_read() -> None:
    """Names of 8,000 pointers to pointers: a reader that follows them has much to do."""
    head = HEADER.pack(1, 0, 1, 0, 0, 2001) + question("old")[HEADER.size :]
    first = len(head) + 1 + 10  # where the content of the first record begins
    pointers = [first, *(first + 1 + 2 * step for step in range(8000))]
    chain = b"\0" + struct.pack("!8000H", *(0xC000 | pointer for pointer in pointers[:-1]))
    carrier = b"\0" + struct.pack("!HHIH", RdataType.NULL, 1, 0, len(chain)) + chain
    wire = head + carrier + struct.pack("!HHHIH", 0xC000 | pointers[-1], RdataType.NULL, 1, 0, 0) * 2000
    assert len(wire) < 65536
    assert said(dns.message.from_wire(answer(parse(wire), DIRECTORY.get, tcp=True) or b"")) == {"172.30.0.9"}
