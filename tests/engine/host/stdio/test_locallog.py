"""Docker's `local` format: held against a real protobuf library, and properties over any input."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.host.stdio.locallog import LONGEST, decode, encode, read, tail, whole
from engine.host.stdio.records import PART
from engine.model.errors import HostFailed
from engine.model.interface import LogLine

NOW = datetime(2026, 1, 2, 3, 4, 5, 120000, tzinfo=UTC)
MESSAGES = {
    "LogAttr": (("key", 9), ("value", 9)),
    "PartialLogEntryMetadata": (("last", 8), ("id", 9), ("ordinal", 5)),
    "LogEntry": (
        ("source", 9), ("time_nano", 3), ("line", 12), ("partial", 8),
        ("partial_log_metadata", ".PartialLogEntryMetadata"), ("attrs", ".LogAttr"),
    ),
}  # fmt: skip
"""Docker's entry.proto: names in order of their numbers, with protobuf's own numbers of types."""

PIECE = st.one_of(st.binary(max_size=40), st.sampled_from([b"\n", b"\0", b"x" * PART, b"y" * (PART - 1)]))
OUTPUT = st.lists(PIECE, max_size=12).map(b"".join)
ATTRS = st.dictionaries(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5), max_size=3)


def entry_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="entry.proto", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, start=1):
            message.field.add(
                name=field,
                number=number,
                label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED if field == "attrs" else None,
                type=11 if isinstance(kind, str) else kind,
                type_name=kind if isinstance(kind, str) else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("LogEntry"))


Entry = entry_class()


def entries(records: bytes) -> list[Any]:
    found = []
    while records:
        (length,) = struct.unpack_from(">I", records)
        assert records[4 + length : 8 + length] == records[:4]
        found.append(Entry.FromString(records[4 : 4 + length]))
        records = records[8 + length :]
    return found


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("log")
    yield fd
    os.close(fd)


def read_all(fd: int) -> list[LogLine]:
    lines: list[LogLine] = []
    offset = 0
    while more := read(fd, offset):
        if more[1] == offset:
            return lines
        lines, offset = lines + more[0], more[1]
    return lines


@settings(deadline=None, max_examples=60)
@given(OUTPUT, ATTRS)
def test_what_is_written_is_protobuf_as_docker_means_it(output: bytes, attrs: dict[str, str]) -> None:
    got = encode(output, "stderr", NOW, attrs=attrs, last=True)
    said, ends = b"", True
    ordinals: list[int] = []
    for entry in entries(got.records):
        assert (entry.source, entry.time_nano) == ("stderr", int(NOW.timestamp() * 1_000_000) * 1000)
        assert {attr.key: attr.value for attr in entry.attrs} == attrs
        assert entry.HasField("partial_log_metadata") == entry.partial
        part = entry.partial_log_metadata
        ordinals = [*ordinals, part.ordinal] if entry.partial and not ends else [part.ordinal] * entry.partial
        assert ordinals == list(range(1, len(ordinals) + 1))
        ends = not entry.partial or part.last
        said += entry.line + b"\n" * ends
    assert said == output
    assert got.used == len(output)


@settings(deadline=None, max_examples=60)
@given(OUTPUT, ATTRS, st.integers(1, 2000))
def test_reading_gives_what_was_written_in_however_many_files(output: bytes, attrs: dict[str, str], room: int) -> None:
    at, begun, lines = 0, None, []
    while at < len(output):
        got = encode(output[at:], "stdout", NOW, attrs=attrs, begun=begun, last=True, room=room)
        at, begun = at + got.used, got.begun
        fd = os.memfd_create("log")
        try:
            os.write(fd, got.records)
            lines += read_all(fd)
            assert len(got.records) >= room or at == len(output)
        finally:
            os.close(fd)
    assert b"".join(line.log for line in lines) == output
    assert all((line.stream, line.time, line.attrs) == ("stdout", NOW, attrs) for line in lines)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=300), max_size=12), st.integers(0, 14), st.integers(0, 30))
def test_the_tail_and_the_whole_are_found_also_behind_half_a_record(lines: list[bytes], count: int, torn: int) -> None:
    lines = [line.replace(b"\n", b" ") for line in lines]
    records = [encode(line + b"\n", "stdout", NOW).records for line in lines]
    fd = os.memfd_create("log")
    try:
        os.write(fd, b"".join(records) + encode(b"the next one\n", "stdout", NOW).records[:torn])
        assert whole(fd) == sum(map(len, records))
        offset, found = tail(fd, count)
        assert found == min(count, len(lines))
        assert offset == sum(map(len, records[: len(lines) - found]))
    finally:
        os.close(fd)


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_entry_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except (ValueError, IndexError, OverflowError):
        return


def test_the_end_of_a_long_line_has_the_time_and_the_name_of_its_beginning() -> None:
    first = encode(b"x" * (PART + 5), "stdout", NOW)
    rest = encode(b"x" * 5 + b"\n\n", "stdout", NOW + timedelta(seconds=9), begun=first.begun)
    long, end, empty = entries(first.records + rest.records)
    assert long.time_nano == end.time_nano < empty.time_nano
    assert long.partial_log_metadata.id == end.partial_log_metadata.id != ""
    assert (end.partial_log_metadata.last, empty.partial, empty.line) == (True, False, b"")


def test_zeros_of_a_power_loss_are_no_records_and_stop_a_reader_with_a_sentence(fd: int) -> None:
    records = encode(b"kept\n", "stdout", NOW).records
    os.write(fd, records + bytes(64))
    assert whole(fd) == len(records)
    lines, offset = read(fd, 0)
    assert [line.log for line in lines] == [b"kept\n"]
    with pytest.raises(HostFailed, match=f"damaged at byte {len(records)}: a record of 0 bytes"):
        read(fd, offset)


def test_a_record_as_long_as_they_may_be_is_read(fd: int) -> None:
    entry = Entry(source="stdout", line=b"z" * (LONGEST - 64)).SerializeToString()
    length = struct.pack(">I", len(entry))
    os.write(fd, length + entry + length)
    assert [len(line.log) for line in read_all(fd)] == [LONGEST - 63]
