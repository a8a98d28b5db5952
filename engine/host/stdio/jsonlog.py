"""Docker's json-file log: one JSON object a line, `{"log":"...","stream":"stdout","time":"..."}`, keys in this order.

Pure functions on bytes, and three on an open file. What is copied here is the format of dockerd's json-file driver:

- A record holds one line with its newline. Of a longer line the first 16 KiB are a record without a newline, and so on;
  every part carries the time of the first. What a process leaves without a newline at its end stays without one.
- `attrs`, an object of texts with sorted keys, comes before the time, where the container's log options ask for some.
- Time is RFC 3339 in UTC with trailing zeros trimmed (Go's RFC3339Nano). Ours has microseconds, as `LogLine` has, so that
  no reader shows another time than the file.
- Each byte that is not UTF-8 becomes U+FFFD, written `\\ufffd`; `<`, `>`, `&`, U+2028 and U+2029 are escaped too, and of the
  control characters only `\\n` and `\\r` have a short form.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from engine.host.stdio.records import NO_ATTRS, PART, Begun, Encoded, pieces
from engine.model.interface import LogLine

LONGEST: Final = 6 * PART + 256
"""Bytes of the longest record without attributes: every byte of a part may need six."""

_COMMON: Final = (
    ("\\", "\\\\"), ('"', '\\"'), ("\r", "\\r"), ("\t", "\\u0009"), ("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"),
)  # fmt: skip
_BROKEN: Final = re.compile("[\udc80-\udcff]")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\u2028\u2029]")
_CONTROLS: Final = tuple((chr(code), f"\\u{code:04x}") for code in (*range(9), 11, 12, *range(14, 32), 0x2028, 0x2029))


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
    extra = f',"attrs":{{{",".join(_member(*item) for item in sorted(attrs.items()))}}}' if attrs else ""
    done: list[bytes] = []
    used = size = 0
    for piece in pieces(data, begun=begun is not None, last=last):
        foot = f'","stream":"{stream}"{extra},"time":"{format_time(begun.time if begun else now)}"}}\n'
        records, covered = _records(piece, foot).encode(), len(piece)
        if room is not None:
            # All of `room` is filled by the record that has the first newline from there on.
            end = records.find(b"\n", max(0, room - size - 1)) + 1
            if 0 < end < len(records):
                covered = _lines_end(piece, records.count(b"\n", 0, end))
                records = records[:end]
        done.append(records)
        used += covered
        size += len(records)
        begun = None if piece.endswith(b"\n") else begun or Begun(now)
        if room is not None and size >= room:
            break
    return Encoded(b"".join(done), used, begun)


def _lines_end(piece: bytes, count: int) -> int:
    """Offset behind the first `count` lines."""
    end = 0
    for _ in range(count):
        end = piece.index(b"\n", end) + 1
    return end


def format_time(time: datetime) -> str:
    """Go's RFC3339Nano, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"


def _records(piece: bytes, foot: str) -> str:
    """Records for whole lines, or for one part without a newline."""
    head = '{"log":"'
    text = _escape(piece)
    if not text.endswith("\n"):
        return head + text + foot
    return head + text[:-1].replace("\n", "\\n" + foot + head) + "\\n" + foot


def _member(key: str, value: str) -> str:
    return ":".join('"' + _escape(text.encode("utf-8", "surrogatepass")).replace("\n", "\\n") + '"' for text in (key, value))


def _escape(piece: bytes) -> str:
    """The inside of a JSON string, newlines left as they are. Works on many lines at once: it runs for every byte."""
    text = piece.decode("utf-8", "surrogateescape")
    for character, escaped in _COMMON:
        text = text.replace(character, escaped)
    if _CONTROL.search(text):
        for character, escaped in _CONTROLS:
            text = text.replace(character, escaped)
    if _BROKEN.search(text):
        # The codec's own replacement is a question mark; real ones stand aside, as NUL, of which there is none left.
        marked = text.replace("?", "\0").encode("utf-8", "replace")
        text = marked.replace(b"?", b"\\ufffd").replace(b"\0", b"?").decode()
    return text


class _Record(msgspec.Struct):
    log: str
    stream: str
    time: datetime
    attrs: dict[str, str] = {}


_decoder = msgspec.json.Decoder(_Record)


def decode(block: bytes) -> list[LogLine]:
    """The lines of a block of whole records. What is no record is passed over: after a power loss a file may hold zeros."""
    lines = []
    for raw in block.split(b"\n")[:-1]:
        try:
            record = _decoder.decode(raw)
        except msgspec.DecodeError:
            continue
        log = record.log.encode("utf-8", "replace")
        lines.append(LogLine(stream=record.stream, time=record.time, log=log, attrs=record.attrs))
    return lines


def whole(fd: int) -> int:
    """See `Format.whole`."""
    return tail(fd, 0)[0]


def tail(fd: int, count: int) -> tuple[int, int]:
    """See `Format.tail`."""
    seen = 0
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - 64 * 1024)
        block = os.pread(fd, end - start, start)
        found = block.count(b"\n")
        if seen + found > count:  # the newline before the first of them is here
            at = len(block)
            for _ in range(count + 1 - seen):
                at = block.rindex(b"\n", 0, at)
            return start + at + 1, count
        seen += found
        end = start
    return 0, seen


def read(fd: int, offset: int) -> tuple[list[LogLine], int]:
    """See `Format.read`."""
    size = LONGEST
    while True:
        block = os.pread(fd, size, offset)
        end = block.rfind(b"\n") + 1
        if end or len(block) < size:
            return decode(block[:end]), offset + end
        size *= 2  # a record of somebody else, longer than any of ours
