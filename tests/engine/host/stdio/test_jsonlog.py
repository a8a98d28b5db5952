"""Docker's json-file format: exact bytes, and properties over any input."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.host.stdio.jsonlog import LONGEST, decode, encode, format_time, read, tail
from engine.host.stdio.records import PART, Begun, Encoded

NOW = datetime(2026, 1, 2, 3, 4, 5, 120000, tzinfo=UTC)

PIECE = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
    st.sampled_from([b"\n", b"\r\n", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", "\u2028".encode(), b"\0"]),
)
LONG = st.tuples(st.sampled_from([b"x", "é".encode()]), st.sampled_from([PART // 2, PART - 1, PART, PART + 1]))
OUTPUT = st.lists(st.tuples(PIECE, st.sampled_from([1, 1, 2, 30])) | LONG, max_size=8)
"""Pieces, and how often each is repeated."""


def joined(output: list[tuple[bytes, int]]) -> bytes:
    return b"".join(piece * times for piece, times in output)


def replaced(data: bytes) -> bytes:
    """What Go's decoder makes of bytes: the longest valid rune, or U+FFFD for one byte."""
    out, at = bytearray(), 0
    while at < len(data):
        rune = next((data[at : at + size] for size in (len(data), 4, 3, 2, 1) if is_utf8(data[at : at + size])), b"")
        out += rune or "\ufffd".encode()
        at += len(rune) or 1
    return bytes(out)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def parts(data: bytes) -> list[bytes]:
    """The records' contents by the letter: lines, cut at 16 KiB without a newline."""
    out = []
    while data:
        end = data.find(b"\n", 0, PART) + 1 or PART
        out.append(data[:end])
        data = data[end:]
    return out


def test_the_bytes_are_dockers() -> None:
    said = b'say "hi" <b>&\\\t\x01\x7f\r\n\n'
    rest = '","stream":"stdout","time":"2026-01-02T03:04:05.12Z"}\n'
    first = r'{"log":"say \"hi\" \u003cb\u003e\u0026\\\u0009\u0001' + "\x7f" + r"\r\n" + rest
    second = r'{"log":"\n' + rest
    assert encode(said, "stdout", NOW) == Encoded(f"{first}{second}".encode(), len(said), None)


def test_bytes_that_are_not_utf8_become_the_replacement_character_one_by_one() -> None:
    got = encode(b"a\xff\xe2\x82b \xe2\x82\xac\n", "stderr", NOW)
    assert got.records == '{"log":"a\\ufffd\\ufffd\\ufffdb €\\n","stream":"stderr","time":"2026-01-02T03:04:05.12Z"}\n'.encode()


@pytest.mark.parametrize(
    ("microsecond", "text"),
    [(0, "2026-01-02T03:04:05Z"), (100, "2026-01-02T03:04:05.0001Z"), (123456, "2026-01-02T03:04:05.123456Z")],
)
def test_time_has_its_trailing_zeros_trimmed(microsecond: int, text: str) -> None:
    assert format_time(NOW.replace(microsecond=microsecond)) == text


def test_the_parts_of_a_long_line_have_its_first_time_and_only_the_last_its_newline() -> None:
    first = encode(b"x" * (PART + 5), "stdout", NOW)
    assert (first.used, first.begun) == (PART, Begun(NOW))
    later = NOW + timedelta(seconds=9)
    rest = encode(b"x" * 5 + b"\nnext\n", "stdout", later, begun=first.begun)
    lines = decode(first.records + rest.records)
    assert [line.log for line in lines] == [b"x" * PART, b"xxxxx\n", b"next\n"]
    assert [line.time for line in lines] == [NOW, NOW, later]
    assert rest.begun is None


def test_the_beginning_of_a_line_waits_for_its_end_until_there_is_none() -> None:
    assert encode(b"half", "stdout", NOW) == Encoded(b"", 0, None)
    assert [line.log for line in decode(encode(b"half", "stdout", NOW, last=True).records)] == [b"half"]


@settings(deadline=None, max_examples=50)
@given(OUTPUT)
def test_reading_gives_what_was_written(output: list[tuple[bytes, int]]) -> None:
    data = joined(output)
    got = encode(data, "stdout", NOW, last=True)
    lines = decode(got.records)
    assert got.used == len(data)
    assert [line.log for line in lines] == [replaced(part) for part in parts(data)]
    for raw in got.records.splitlines():
        assert len(raw) < LONGEST
        assert list(json.loads(raw)) == ["log", "stream", "time"]


@settings(deadline=None, max_examples=50)
@given(OUTPUT, st.lists(st.integers(0, 5 * PART)))
def test_it_does_not_matter_in_which_pieces_the_bytes_come(output: list[tuple[bytes, int]], cuts: list[int]) -> None:
    data = joined(output)
    records, at, begun = b"", 0, None
    ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for end in ends:
        got = encode(data[at:end], "stdout", NOW, begun=begun, last=end is ends[-1])
        records, at, begun = records + got.records, at + got.used, got.begun
    assert records == encode(data, "stdout", NOW, last=True).records


@settings(deadline=None, max_examples=50)
@given(OUTPUT, st.integers(1, 3000))
def test_a_full_file_ends_with_the_record_that_fills_it(output: list[tuple[bytes, int]], room: int) -> None:
    data = joined(output)
    whole = encode(data, "stdout", NOW, last=True).records
    files, at, begun = [], 0, None
    while at < len(data):
        got = encode(data[at:], "stdout", NOW, begun=begun, last=True, room=room)
        files.append(got.records)
        at, begun = at + got.used, got.begun
    assert b"".join(files) == whole
    assert all(len(file) >= room and file.rfind(b"\n", 0, -1) + 1 < room for file in files[:-1])


def test_attributes_come_before_the_time_with_sorted_keys() -> None:
    attrs = {"tier": "front\n", "app": '<"x">'}
    got = encode(b"a\nb\n", "stdout", NOW, attrs=attrs).records
    rest = r'"stream":"stdout","attrs":{"app":"\u003c\"x\"\u003e","tier":"front\n"},"time":"2026-01-02T03:04:05.12Z"}' + "\n"
    assert got.decode() == r'{"log":"a\n",' + rest + r'{"log":"b\n",' + rest
    assert [line.attrs for line in decode(got)] == [attrs, attrs]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 70_000), max_size=12), st.integers(0, 14), st.booleans())
def test_the_tail_is_found_from_the_end(lengths: list[int], count: int, torn: bool) -> None:
    records = [b"r" * length for length in lengths]
    fd = os.memfd_create("log")
    try:
        os.write(fd, b"".join(record + b"\n" for record in records) + b"torn" * torn)
        wanted = b"".join(record + b"\n" for record in records[max(0, len(records) - count) :])
        offset, found = tail(fd, count)
        assert found == min(count, len(records))
        assert os.pread(fd, 10**6, offset) == wanted + b"torn" * torn
    finally:
        os.close(fd)


def test_reading_stops_before_half_a_record_and_goes_on_when_it_is_whole(tmp_path: Path) -> None:
    records = encode(b"one\ntwo\n", "stdout", NOW).records
    path = tmp_path / "log"
    path.write_bytes(records[:-3])
    fd = os.open(path, os.O_RDONLY)
    try:
        lines, offset = read(fd, 0)
        assert [line.log for line in lines] == [b"one\n"]
        assert read(fd, offset) == ([], offset)
        path.write_bytes(records)
        lines, offset = read(fd, offset)
        assert [line.log for line in lines] == [b"two\n"]
        assert offset == len(records)
    finally:
        os.close(fd)


def test_a_record_longer_than_ours_and_one_that_is_none_do_not_stop_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "log"
    long = json.dumps({"log": "y" * 3 * LONGEST, "stream": "stdout", "time": "2026-01-02T03:04:05.123456789Z"}).encode()
    path.write_bytes(long + b"\n\0\0\0\n" + encode(b"after\n", "stdout", NOW).records)
    fd = os.open(path, os.O_RDONLY)
    try:
        lines, offset = read(fd, 0)
        more, _ = read(fd, offset)
        assert [line.log for line in lines + more] == [b"y" * 3 * LONGEST, b"after\n"]
    finally:
        os.close(fd)
