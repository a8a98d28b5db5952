"""Docker's `local` log: binary records, smaller than JSON and quicker to skip, from both ends.

    length (4 bytes, big endian)   LogEntry (protobuf)   length again

    message LogEntry { string source = 1; int64 time_nano = 2; bytes line = 3; bool partial = 4;
                       PartialLogEntryMetadata partial_log_metadata = 5; repeated LogAttr attrs = 6; }
    message PartialLogEntryMetadata { bool last = 1; string id = 2; int32 ordinal = 3; }
    message LogAttr { string key = 1; string value = 2; }

The line is without its newline: a reader adds it, except to a part that is not the last of its line. Bytes stay as they are.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.host.stdio.records import NO_ATTRS, Begun, Encoded, pieces
from engine.model.errors import HostFailed
from engine.model.interface import LogLine

LENGTH: Final = struct.Struct(">I")
LONGEST: Final = 1_000_000
"""Bytes of the longest entry; a greater length is damage."""
BLOCK: Final = 64 * 1024

EPOCH: Final = datetime.fromtimestamp(0, UTC)

VARINT, BYTES = 0, 2
FIXED: Final = {1: 8, 5: 4}
"""Wire types (protobuf's encoding guide); of those with a fixed length: how many bytes."""


def encode(
    data: bytes,
    stream: str,
    now: datetime,
    *,
    attrs: Mapping[str, str] = NO_ATTRS,
    begun: Begun | None = None,
    last: bool = False,
    room: int | None = None,
) -> Encoded:
    """See `Format.encode`."""
    foot = b"".join(_bytes(6, _text(1, key) + _text(2, value)) for key, value in sorted(attrs.items()))
    done: list[bytes] = []
    used = size = 0
    for piece in pieces(data, begun=begun is not None, last=last):
        ends = piece.endswith(b"\n")
        if ends and begun is None:
            lines, middle = piece[:-1].split(b"\n"), b""
        else:
            begun = begun._replace(parts=begun.parts + 1) if begun else Begun(now, 1, secrets.token_hex(32))
            lines = [piece[:-1] if ends else piece]
            middle = _number(4, 1) + _bytes(5, _number(1, ends) + _text(2, begun.id) + _number(3, begun.parts))
        head = _text(1, stream) + _number(2, _nanoseconds(begun.time if begun else now))
        for line in lines:
            entry = head + _bytes(3, line) + middle + foot
            length = LENGTH.pack(len(entry))
            done.append(length + entry + length)
            used += len(line) + ends
            size += len(entry) + 2 * LENGTH.size
            if room is not None and size >= room:
                return Encoded(b"".join(done), used, None if ends else begun)
        if ends:
            begun = None
    return Encoded(b"".join(done), used, begun)


def _nanoseconds(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1) * 1000


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _number(field: int, value: int) -> bytes:
    return bytes((field << 3 | VARINT,)) + _varint(value) if value else b""  # a zero is not written


def _bytes(field: int, value: bytes) -> bytes:
    return bytes((field << 3 | BYTES,)) + _varint(len(value)) + value if value else b""


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode("utf-8", "replace"))


def decode(entry: bytes) -> LogLine:
    """Read one entry. Raises `ValueError` or `IndexError` when it is none; fields that we do not know are passed over."""
    stream, time, line, ends, attrs = "", 0, b"", True, {}
    for field, value in _fields(entry):
        match field, value:
            case 1, bytes():
                stream = value.decode()
            case 2, int():
                time = value
            case 3, bytes():
                line = value
            case 4, int():
                ends = not value
            case 5, bytes():
                ends = bool(dict(_fields(value)).get(1))
            case 6, bytes():
                pair = dict(_fields(value))
                attrs[bytes(pair.get(1, b"")).decode()] = bytes(pair.get(2, b"")).decode()
    at = EPOCH + timedelta(microseconds=time // 1000)
    return LogLine(stream=stream, time=at, log=line + b"\n" * ends, attrs=attrs)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        field, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield field, value
        elif kind == BYTES:
            length, at = _read_varint(data, at)
            if at + length > len(data):
                raise ValueError("a field is longer than its entry")
            yield field, data[at : at + length]
            at += length
        elif kind in FIXED:
            at += FIXED[kind]
        else:
            raise ValueError(f"there is no wire type {kind}")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number without an end")


def read(fd: int, offset: int) -> tuple[list[LogLine], int]:
    """See `Format.read`. Raises `HostFailed` where the file is damaged: without its length nobody finds the next record."""
    size = BLOCK
    while True:
        block = os.pread(fd, size, offset)
        lines: list[LogLine] = []
        at = 0
        try:
            while (end := _end(block, at)) is not None:
                lines.append(decode(block[at + LENGTH.size : end - LENGTH.size]))
                at = end
        except (ValueError, IndexError, OverflowError) as error:
            if not lines:
                raise HostFailed(f"the log is damaged at byte {offset}: {error}") from error
        if lines or len(block) < size:
            return lines, offset + at
        size = LONGEST + 2 * LENGTH.size


def _end(block: bytes, at: int) -> int | None:
    """Where the record that begins at `at` ends; None when it ends behind the block. Raises `ValueError` when none begins."""
    if at + LENGTH.size > len(block):
        return None
    (length,) = LENGTH.unpack_from(block, at)
    if not 0 < length <= LONGEST:
        raise ValueError(f"a record of {length} bytes")
    end = at + length + 2 * LENGTH.size
    if end > len(block):
        return None
    if block[at : at + LENGTH.size] != block[end - LENGTH.size : end]:
        raise ValueError("a record has two different lengths")
    return int(end)


def _length(fd: int, offset: int) -> int:
    """The length that stands there; 0 where none can stand."""
    data = os.pread(fd, LENGTH.size, offset) if offset >= 0 else b""
    (length,) = LENGTH.unpack(data) if len(data) == LENGTH.size else (0,)
    return length if length <= LONGEST else 0


def _start(fd: int, end: int) -> int | None:
    """Where the record that ends at `end` begins; None when none ends there."""
    length = _length(fd, end - LENGTH.size)
    start = end - length - 2 * LENGTH.size
    return start if length and start >= 0 and _length(fd, start) == length else None


def whole(fd: int) -> int:
    """See `Format.whole`."""
    end = os.fstat(fd).st_size
    if end == 0 or _start(fd, end) is not None:
        return end
    at = 0  # torn: only from the beginning on is it certain where records are
    while length := _length(fd, at):
        end = at + length + 2 * LENGTH.size
        if _length(fd, end - LENGTH.size) != length:
            break
        at = end
    return at


def tail(fd: int, count: int) -> tuple[int, int]:
    """See `Format.tail`."""
    at, found = whole(fd), 0
    while found < count and (start := _start(fd, at)) is not None:
        at, found = start, found + 1
    return at, found
