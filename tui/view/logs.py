"""Logs: what containers say, kept within bounds, merged in time order, and laid out in rows.

`Book` keeps, `Page` lays out what is looked at, `Look` says how. All pure; only the rows that are asked for are styled.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from operator import attrgetter
from typing import overload

from msgspec import Struct
from rich.cells import cell_len

from engine.model.interface import LogLine
from tui.view import ansi
from tui.view.breaking import breaks, cut, marked, reach, width_over
from tui.view.text import Line, Span, pad, width_of

LINES = 10_000
BYTES = 8 << 20
"""What is kept of all that was said: so many lines, and not more bytes than this."""
OLDEST = 50_000
"""Lines kept at most while a person reads back into the past."""
RECORD = 16 << 10
"""Bytes at which the engine cuts a long line (`LogLine.log`)."""
WHOLE = 4 * RECORD
"""Bytes up to which the parts of one long line are joined again."""

WINDOWS = (None, *(timedelta(minutes=m) for m in (1, 5, 15, 60, 360, 1440)))
WINDOW_NAMES = ("", "1 min", "5 min", "15 min", "1 h", "6 h", "1 day")

TIMES = ("", "%H:%M:%S", "%Y-%m-%d %H:%M:%S")
"""How timestamps are shown: not, the time, the date too. In the local time zone."""

NAME_TONES = ("code", "accent", "good", "cold", "warn", "strong")
NAME_WIDTH = 16
LEAST_TEXT = 20
"""Cells for the text itself; where there is less, times and names go."""

NOTE = "note"
"""The stream of lines that no container has said: marks, and what the tab itself has to tell."""

_by_time = attrgetter("time")


class Entry:
    """One line of a container, or a note."""

    __slots__ = ("_rows", "_text", "log", "source", "stream", "time")

    def __init__(self, source: int, stream: str, time: datetime, log: bytes) -> None:
        self.source, self.stream, self.time, self.log = source, stream, time, log
        self._text: str | None = None
        self._rows: tuple[int, tuple[int, ...]] | None = None

    @property
    def raw(self) -> str:
        return self.log.decode(errors="replace").rstrip("\r\n")

    @property
    def text(self) -> str:
        """Its characters as shown, without colours."""
        if self._text is None:
            self._text = ansi.plain(self.raw)
        return self._text

    @property
    def records(self) -> int:
        """About how many records of the engine's log it came in."""
        return 1 + len(self.log) // RECORD

    @property
    def ended(self) -> bool:
        return self.log.endswith(b"\n") or self.stream == NOTE

    def grow(self, log: bytes) -> None:
        """The next part of the same line."""
        self.log += log
        self._text = self._rows = None

    def rows(self, width: int) -> tuple[int, ...]:
        """Where in the text each row of at most `width` cells begins."""
        if self._rows is None or self._rows[0] != width:
            self._rows = (width, breaks(self.text, width))
        return self._rows[1]


class Book:
    """All that is kept of what was said, oldest first. Bounded in lines and bytes."""

    def __init__(self, limit: int = LINES) -> None:
        self.entries: list[Entry] = []
        self.limit = limit
        self._waiting: list[Entry] = []
        self._open: dict[tuple[int, str], Entry] = {}

    @property
    def room(self) -> int:
        """How many more lines it takes before the oldest go."""
        return self.limit - len(self.entries) - len(self._waiting)

    def add(self, source: int, said: LogLine) -> None:
        key = (source, said.stream)
        begun = self._open.get(key)
        if begun and len(begun.log) < WHOLE:
            begun.grow(said.log)
        else:
            begun = Entry(source, said.stream, said.time, said.log)
            self._waiting.append(begun)
            if len(self._waiting) >= 2 * self.limit:
                self._order(self._waiting)
                del self._waiting[: -self.limit]
        if begun.ended:
            self._open.pop(key, None)
        else:
            self._open[key] = begun

    def note(self, text: str, time: datetime, source: int = -1) -> None:
        self._waiting.append(Entry(source, NOTE, time, text.encode()))

    def before(self, older: Sequence[Entry]) -> None:
        """Put what was said earlier in front."""
        self.limit = min(self.limit + len(older), OLDEST)
        self.entries = [*older, *self.entries]
        self._order(self.entries)

    def fold(self) -> list[Entry]:
        """Take in what has come since; it is also returned, in order."""
        fresh, self._waiting = self._waiting, []
        if fresh:
            self._order(fresh)
            self.entries += fresh
            self._order(self.entries)
        self._trim()
        return fresh

    def _order(self, entries: list[Entry]) -> None:
        """By time, where several containers talk; one alone keeps its own order, also when the clock was set back."""
        if any(entry.source > 0 for entry in entries):
            entries.sort(key=_by_time)

    def _trim(self) -> None:
        entries, size = self.entries, 0
        excess = max(0, len(entries) - self.limit)
        for index in range(len(entries) - 1, excess - 1, -1):
            size += len(entries[index].log)
            if size > BYTES and index < len(entries) - 1:
                excess = index + 1
                break
        if excess:
            del entries[:excess]


def matcher(text: str) -> re.Pattern[str] | None:
    """What a person types to look for: a regular expression, or plain text where it is none. All in small letters, it
    matches capitals too."""
    if not text:
        return None
    flags = re.IGNORECASE if text == text.lower() else 0
    try:
        return re.compile(text, flags)
    except re.error:
        return re.compile(re.escape(text), flags)


class Filter:
    """Only lines that match; with `!` in front only those that do not. Notes always stay."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._inverted = text.startswith("!")
        self._pattern = matcher(text.removeprefix("!"))

    def __call__(self, entries: Iterable[Entry]) -> list[Entry]:
        if self._pattern is None:
            return list(entries)
        search, wanted = self._pattern.search, not self._inverted
        return [entry for entry in entries if entry.stream == NOTE or bool(search(entry.text)) is wanted]


@dataclass(frozen=True)
class Look:
    """How entries are laid out."""

    width: int
    wrap: bool = True
    times: str = ""
    """A format of `strftime`; empty: none."""
    names: tuple[str, ...] = ()
    """Names of the containers, where there are several."""
    shift: int = 0
    """Cells that are scrolled out to the left, where lines are not wrapped."""

    @cached_property
    def name_width(self) -> int:
        return min(NAME_WIDTH, max((cell_len(name) for name in self.names), default=0))

    @cached_property
    def lead(self) -> int:
        """Cells in front of the text."""
        times = len(stamp(datetime.now(UTC), self.times)) + 1 if self.times else 0
        full = 2 + times + (self.name_width + 1 if self.names else 0)
        return full if self.width - full >= LEAST_TEXT else 2

    @cached_property
    def room(self) -> int:
        """Cells for the text."""
        return max(1, self.width - self.lead)

    def height(self, entry: Entry) -> int:
        return len(entry.rows(self.room)) if self.wrap else 1

    def line(self, entry: Entry, row: int, found: re.Pattern[str] | None = None, *, here: bool = False) -> Line:
        """One row of an entry. `here`: the person stands on it."""
        if entry.stream == NOTE:
            return self._note(entry, row)
        start, end = self._extent(entry, row)
        body = cut(ansi.spans(entry.raw), start, end)
        if found:
            body = marked(body, [(a - start, b - start) for a, b in found_in(found, entry.text)])
        lead = self._lead(entry, here) if row == 0 else (Span(" " * self.lead),)
        if self.wrap:
            return (*lead, *body)
        more = Span("›", "dim") if end < len(entry.text) else None
        return (*lead, *body, more) if more else (*lead, *body)

    def _extent(self, entry: Entry, row: int) -> tuple[int, int]:
        text = entry.text
        if self.wrap:
            starts = entry.rows(self.room)
            end = starts[row + 1] if row + 1 < len(starts) else len(text)
            return starts[row], end - 1 if width_over(text, starts[row], end, self.room) else end
        start = reach(text, 0, self.shift) if self.shift else 0
        end = reach(text, start, self.room)
        return start, end if end == len(text) else reach(text, start, self.room - 1)

    def _lead(self, entry: Entry, here: bool) -> Line:
        sign = Span("▸ ", "accent") if here else Span("! ", "warn") if entry.stream == "stderr" else Span("  ")
        if self.lead == 2:
            return (sign,)
        time = (Span(f"{stamp(entry.time, self.times)} ", "dim"),) if self.times else ()
        if not self.names:
            return (sign, *time)
        tone = NAME_TONES[entry.source % len(NAME_TONES)]
        return (sign, *time, Span(pad(self.names[entry.source], self.name_width) + " ", tone))

    def _note(self, entry: Entry, row: int) -> Line:
        starts = entry.rows(self.room) if self.wrap else (0,)
        text = entry.text[starts[row] : starts[row + 1] if row + 1 < len(starts) else None]
        head = "── " if row == 0 else "   "
        rule = "─" * (self.width - cell_len(head + text) - 1) if row == len(starts) - 1 else ""
        return (Span(head, "accent"), Span(f"{text} ", "strong"), Span(rule, "accent"))


class Page:
    """What is looked at: entries, and the rows they take."""

    def __init__(self, entries: Sequence[Entry], look: Look) -> None:
        self.entries, self.look = entries, look
        heights = map(look.height, entries) if look.wrap else [1] * len(entries)
        self.starts = [0, *accumulate(heights)]

    @property
    def height(self) -> int:
        return self.starts[-1]

    def at(self, y: int) -> tuple[int, int]:
        """Index of the entry in row `y`, and which of its rows that is."""
        index = bisect_right(self.starts, y) - 1
        return index, y - self.starts[index]

    def where(self, entry: Entry, row: int) -> int:
        """The row at which an entry's row stands now, or what comes after it where it is no longer shown."""
        try:
            index = self.entries.index(entry)
        except ValueError:
            index, row = next((n for n, other in enumerate(self.entries) if other.time >= entry.time), len(self.entries)), 0
        top = self.starts[index]
        return top + min(row, max(0, self.starts[min(index + 1, len(self.entries))] - top - 1))


class Rows(Sequence[Line]):
    """A page's lines and what stands below them, made when they are looked at."""

    def __init__(self, page: Page, found: re.Pattern[str] | None, here: Entry | None, after: Sequence[Line] = ()) -> None:
        self.page, self.found, self.here, self.after = page, found, here, after

    def __len__(self) -> int:
        return self.page.height + len(self.after)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        if index >= self.page.height:
            return self.after[index - self.page.height]
        number, row = self.page.at(index)
        entry = self.page.entries[number]
        return self.page.look.line(entry, row, self.found, here=entry is self.here)


def found_in(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Where it matches; matches of nothing are none."""
    return (match.span() for match in pattern.finditer(text) if match.end() > match.start())


def stamp(time: datetime, form: str) -> str:
    """Local time in this format, with milliseconds."""
    local = time.astimezone()
    return f"{local.strftime(form)}.{local.microsecond // 1000:03}"


def as_text(entries: Iterable[Entry], look: Look) -> str:
    """Entries as they are shown, unwrapped and without colours: to copy, and to keep in a file."""
    return "".join(f"{_text(entry, look)}\n" for entry in entries)


def _text(entry: Entry, look: Look) -> str:
    if entry.stream == NOTE:
        return f"-- {entry.text} --"
    time = f"{stamp(entry.time, look.times)} " if look.times else ""
    name = f"{look.names[entry.source]} " if look.names else ""
    return f"{time}{name}{entry.text}"


class State(Struct, frozen=True, kw_only=True):
    """What the last line of the tab tells."""

    following: bool = True
    below: int = 0
    """New lines below the view."""
    full: bool = False
    """There are more, not read yet."""
    wrap: bool = True
    times: str = ""
    window: int = 0
    search: str = ""
    matches: tuple[int, int] = (0, 0)
    """Which match the person stands on, counted from 1 (0: on none), and how many lines match."""
    filter: str = ""
    lines: int = 0
    of: int = 0
    containers: int = 1


def status(state: State, width: int) -> Line:
    """One line; what does not fit goes, the least important first."""
    parts = [Span("● follow", "good") if state.following else Span("◌ held", "warn")]
    if state.below:
        more = ", and more" if state.full else ""
        parts.append(Span(f"↓ {_count(state.below, 'new line')} below{more}", "accent"))
    if state.search:
        at, count = state.matches
        found = "not found" if not count else f"{at} of {count}" if at else f"in {_count(count, 'line')}"
        parts.append(Span(f"/{state.search}: {found}", "key"))
    if state.filter:
        parts.append(Span(f"&{state.filter}: {state.lines} of {state.of}", "key"))
    if state.window:
        parts.append(Span(f"last {WINDOW_NAMES[state.window]}", "key"))
    if state.containers > 1:
        parts.append(Span(f"{state.containers} containers"))
    if not state.filter:
        parts.append(Span(_count(state.of, "line"), "dim"))
    if not state.wrap:
        parts.append(Span("not wrapped", "dim"))
    while len(parts) > 1 and width_of(_joined(parts)) > width:
        parts.pop()
    return _joined(parts)


def _joined(parts: Sequence[Span]) -> Line:
    return tuple(span for n, part in enumerate(parts) for span in ((Span(" · ", "dim"), part) if n else (part,)))


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
