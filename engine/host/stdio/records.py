"""What the log formats have in common: how a stream is cut into records, and what a format can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from engine.model.interface import LogLine

PART: Final = 16 * 1024
"""Bytes of a line that one record holds at most."""

NO_ATTRS: Final[Mapping[str, str]] = MappingProxyType({})


class Begun(NamedTuple):
    """A line longer than `PART` whose end is still to come."""

    time: datetime
    """Of its first part; every part carries it."""
    parts: int = 1
    id: str = ""


class Encoded(NamedTuple):
    records: bytes
    used: int
    """Bytes of the input that the records cover. The rest is the beginning of a line, or did not fit."""
    begun: Begun | None


class Format(Protocol):
    """How a driver writes. `fd` is an open log file; a record lies in one file only."""

    def encode(
        self,
        data: bytes,
        stream: str,
        now: datetime,
        *,
        attrs: Mapping[str, str] = NO_ATTRS,
        begun: Begun | None = None,
        last: bool = False,
        room: int | None = None,
    ) -> Encoded:
        """Make records of what can be written of `data`, which begins where the last call's `used` ended.

        With `last` nothing more will come: the beginning of a line is written as well. The record that reaches `room` bytes
        is the last one.
        """

    def whole(self, fd: int) -> int:
        """Offset behind the last whole record."""

    def tail(self, fd: int, count: int) -> tuple[int, int]:
        """Offset of the last `count` whole records, found from the end, and how many of them there are."""

    def read(self, fd: int, offset: int) -> tuple[list[LogLine], int]:
        """Some records from `offset` on, and the offset behind them: the same when there is no further whole record."""


def pieces(data: bytes, *, begun: bool, last: bool) -> Iterator[bytes]:
    """Cut a stream: each piece is as many whole lines as a part holds, or one part of a line without a newline.

    The end of a line that has begun is a piece of its own.
    """
    at = 0
    while at < len(data):
        part = data[at : at + PART]
        end = (part.find(b"\n") if begun else part.rfind(b"\n")) + 1
        if not end and len(part) < PART and not last:
            return
        begun = not end
        at += end or len(part)
        yield part[: end or len(part)]
