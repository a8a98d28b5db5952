"""Docker's json-file log: one JSON object a line, `{"log":"...","stream":"stdout","time":"..."}`, keys in this order.

Pure functions on bytes, and two on an open file. What is copied here is the format of dockerd's json-file driver:

- A record holds one line with its newline. Of a longer line the first 16 KiB are a record without a newline, and so on;
  every part carries the time of the first. What a process leaves without a newline at its end stays without one.
- Time is RFC 3339 in UTC with trailing zeros trimmed (Go's RFC3339Nano). Ours has microseconds, as `LogLine` has, so that
  no reader shows another time than the file.
- Each byte that is not UTF-8 becomes U+FFFD, written `\\ufffd`; `<`, `>`, `&`, U+2028 and U+2029 are escaped too, and of the
  control characters only `\\n` and `\\r` have a short form.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from engine.model.interface import LogLine

PART: Final = 16 * 1024
"""Bytes of a line that one record holds at most."""

LONGEST: Final = 6 * PART + 256
"""Bytes of the longest record: every byte of a part may need six."""

_COMMON: Final = (
    ("\\", "\\\\"), ('"', '\\"'), ("\r", "\\r"), ("\t", "\\u0009"), ("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"),
)  # fmt: skip
_RARE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\u2028\u2029\udc80-\udcff]")


class Encoded(NamedTuple):
    records: bytes
    used: int
    """Bytes of the input that the records cover. The rest is the beginning of a line."""
    begun: str
    """Time of the first part of a long line whose end is still to come, else empty."""


def encode(data: bytes, stream: str, now: datetime, *, begun: str = "", last: bool = False) -> Encoded:
    """Make records of what can be written of `data`, which begins where the last call's `used` ended.

    With `last` nothing more will come: the beginning of a line is written as well.
    """
    stamp = format_time(now)
    records: list[str] = []
    used = 0
    while used < len(data):
        part = data[used : used + PART]
        # The line that ends a long one has its time; all other whole lines of the part are written at one go.
        end = (part.find(b"\n") if begun else part.rfind(b"\n")) + 1
        if not end and len(part) < PART and not last:
            break
        piece = part[:end] if end else part
        records.append(_records(piece, stream, begun or stamp))
        begun = "" if end else begun or stamp
        used += len(piece)
    return Encoded("".join(records).encode(), used, begun)


def format_time(time: datetime) -> str:
    """Go's RFC3339Nano, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"


def _records(piece: bytes, stream: str, time: str) -> str:
    """Records for whole lines, or for one part without a newline."""
    head, foot = '{"log":"', f'","stream":"{stream}","time":"{time}"}}\n'
    text = _escape(piece)
    if not text.endswith("\n"):
        return head + text + foot
    return head + text[:-1].replace("\n", "\\n" + foot + head) + "\\n" + foot


def _escape(piece: bytes) -> str:
    """The inside of a JSON string, newlines left as they are. Works on many lines at once: it runs for every byte."""
    text = piece.decode("utf-8", "surrogateescape")
    for character, escaped in _COMMON:
        text = text.replace(character, escaped)
    return _RARE.sub(_escape_rare, text)


def _escape_rare(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\\ufffd" if code >= 0xDC80 else f"\\u{code:04x}"


class _Record(msgspec.Struct):
    log: str
    stream: str
    time: datetime


_decoder = msgspec.json.Decoder(_Record)


def decode(block: bytes) -> list[LogLine]:
    """The lines of a block of whole records. What is no record is passed over: after a power loss a file may hold zeros."""
    lines = []
    for raw in block.split(b"\n")[:-1]:
        try:
            record = _decoder.decode(raw)
        except msgspec.DecodeError:
            continue
        lines.append(LogLine(stream=record.stream, time=record.time, log=record.log.encode("utf-8", "replace")))
    return lines


def tail_offset(fd: int, count: int) -> int:
    """Offset of the last `count` whole records of a log, found from its end; with 0: the end of the last whole record."""
    newlines = count + 1
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - 64 * 1024)
        block = os.pread(fd, end - start, start)
        found = block.count(b"\n")
        if found >= newlines:
            at = len(block)
            for _ in range(newlines):
                at = block.rindex(b"\n", 0, at)
            return start + at + 1
        newlines -= found
        end = start
    return 0


def read_records(fd: int, offset: int) -> tuple[list[LogLine], int]:
    """Some records from `offset` on, and the offset behind them: the same when there is no further whole record."""
    size = LONGEST
    while True:
        block = os.pread(fd, size, offset)
        end = block.rfind(b"\n") + 1
        if end or len(block) < size:
            return decode(block[:end]), offset + end
        size *= 2  # a record of somebody else, longer than any of ours
