"""What programs write for a terminal, as spans that are safe to show: colours stay, everything else a terminal would obey goes.

A line stands for itself: neither a colour nor an unfinished sequence goes on into the next. Sequences are those of ECMA-48
and xterm (XTerm Control Sequences: C1, CSI, OSC, DCS). Of an unfinished one only the beginning is dropped, so that nobody can
hide the rest of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len

from tui.view.text import Span

SGR = "sgr "
"""Begins the tone of coloured foreign text; a style definition of rich follows: `sgr bold color(1) on #102030`."""

TAB = 8

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)([0-?]*)([ -/]*)([@-~])"  # CSI parameters, intermediates, final
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC: titles, links, the clipboard
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x90\x98\x9c-\x9f]*(?:\x1b\\|\x9c)"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*"  # a CSI that does not end
    r"|\x1b[ -/]*[0-~]?"  # every other, and a lone ESC
)
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_OVERPRINTS = re.compile(r"[\r\b]|(?:\x1b\[|\x9b)[12]K")
"""What changes what stands further left; a plain erase to the right does so only after one of these."""

_SPACES = dict.fromkeys(map(ord, "\n\v\f\x85"), " ")
_DROPPED = dict.fromkeys(n for n in (*range(32), *range(127, 160)) if chr(n) not in "\t\n\v\f\x85")
_FORBIDDEN = dict.fromkeys((0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}")
"""Line separators, and the controls that make text run the other way: a line must not paint over its neighbours."""
_CLEAN = {**_SPACES, **_DROPPED, **_FORBIDDEN}
_OVERPRINTING = {code: to for code, to in _CLEAN.items() if chr(code) not in "\r\b"}

_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse", 9: "strike", 21: "underline"}
"""Not here, on purpose: blinking (5, 6), which never rests, and concealing (8), which hides."""
_OFF = {22: {"bold", "dim"}, 23: {"italic"}, 24: {"underline"}, 27: {"reverse"}, 29: {"strike"}}


class Sgr(NamedTuple):
    """Select Graphic Rendition: the colours and attributes of what follows."""

    on: frozenset[str] = frozenset()
    fg: str = ""
    bg: str = ""

    @property
    def tone(self) -> str:
        words = [*sorted(self.on), *([self.fg] if self.fg else []), *([f"on {self.bg}"] if self.bg else [])]
        return SGR + " ".join(words) if words else ""

    def after(self, parameters: str) -> Sgr:
        """The state after `CSI parameters m`. What is unknown changes nothing."""
        if not re.fullmatch("[0-9;:]*", parameters):
            return self  # private: other than colours, such as xterm's key modes
        state, codes = self, iter(parameters.split(";"))
        for code in codes:
            state = state._one(code, codes)
        return state

    def _one(self, code: str, more: Iterator[str]) -> Sgr:
        first, _, rest = code.partition(":")
        number = int(first[:4] or 0)
        if number == 0:
            return Sgr()
        if number == 4 and rest == "0":
            return self._replace(on=self.on - {"underline"})
        if number in _ON:
            return self._replace(on=self.on | {_ON[number]})
        if number in _OFF:
            return self._replace(on=self.on - _OFF[number])
        if number in (38, 48):
            colour = _extended(rest.split(":")) if rest else _extended_list(more)
            if not colour:
                return self
            return self._replace(fg=colour) if number == 38 else self._replace(bg=colour)
        return self._basic(number)

    def _basic(self, number: int) -> Sgr:
        match number:
            case 39:
                return self._replace(fg="")
            case 49:
                return self._replace(bg="")
            case _ if 30 <= number <= 37 or 90 <= number <= 97:
                return self._replace(fg=_sixteen(number))
            case _ if 40 <= number <= 47 or 100 <= number <= 107:
                return self._replace(bg=_sixteen(number - 10))
            case _:
                return self


def _sixteen(number: int) -> str:
    return f"color({number - 30 if number < 90 else number - 82})"


def _extended_list(more: Iterator[str]) -> str:
    """`5;n` or `2;r;g;b`, as most programs write it."""
    kind = next(more, "")
    return _extended([kind, *(next(more, "") for _ in range({"5": 1, "2": 3}.get(kind, 0)))])


def _extended(parts: list[str]) -> str:
    """`5:n`, `2:r:g:b`, or as the standard has it `2:colour space:r:g:b`; empty for nonsense."""
    numbers = [int(part[:4]) if part else 0 for part in parts]
    if numbers[0] == 5 and len(numbers) > 1 and numbers[1] < 256:
        return f"color({numbers[1]})"
    rgb = numbers[2:5] if len(numbers) > 4 else numbers[1:4]
    if numbers[0] == 2 and len(rgb) == 3 and max(rgb) < 256:
        return "#{:02x}{:02x}{:02x}".format(*rgb)
    return ""


_tone_after = lru_cache(1024)(Sgr.after)


def plain(text: str) -> str:
    """The characters of `spans(text)`, at less cost."""
    if text.isprintable():
        return text
    stripped = _COLOURS.sub("", text)
    if stripped.isprintable():
        return stripped
    return "".join(span.text for span in spans(text))


@lru_cache(1024)
def spans(text: str) -> tuple[Span, ...]:
    """One line of foreign text, without its line end. Text without controls comes back unchanged."""
    if text.isprintable():
        return (Span(text),) if text else ()
    pieces = _overprinted(text) if _OVERPRINTS.search(text) else _pieces(text)
    joined: list[Span] = []
    column = 0
    for piece, tone in pieces:
        if "\t" in piece:
            piece = _untabbed(piece, column)
        column += cell_len(piece)
        if joined and joined[-1].tone == tone:
            joined[-1] = Span(joined[-1].text + piece, tone)
        elif piece:
            joined.append(Span(piece, tone))
    return tuple(joined)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Text and tone, one after the other."""
    state, at = Sgr(), 0
    for match in _SEQUENCE.finditer(text):
        if match.start() > at:
            yield text[at : match.start()].translate(_CLEAN), state.tone
        at = match.end()
        parameters, between, final = match.groups()
        if final == "m" and not between:
            state = _tone_after(state, parameters)
    if at < len(text):
        yield text[at:].translate(_CLEAN), state.tone


def _untabbed(text: str, column: int) -> str:
    parts: list[str] = []
    for number, part in enumerate(text.split("\t")):
        if number:
            gap = TAB - column % TAB
            parts.append(" " * gap)
            column += gap
        parts.append(part)
        column += cell_len(part)
    return "".join(parts)


class _Row:
    """One row of a terminal, for text that goes back over itself."""

    def __init__(self) -> None:
        self.cells: list[tuple[str, str]] = []
        """Character and tone; the second cell of a wide character holds an empty one."""
        self.at = 0

    def write(self, text: str, tone: str) -> None:
        for char in text:
            match char, cell_len(char):
                case "\r", _:
                    self.at = 0
                case "\b", _:
                    self.at = max(0, self.at - 1)
                case "\t", _:
                    self.at += TAB - self.at % TAB
                case _, 0:
                    if 0 < self.at <= len(self.cells):
                        base = self.at - (1 if self.cells[self.at - 1][0] or self.at == 1 else 2)
                        self.cells[base] = (self.cells[base][0] + char, self.cells[base][1])
                case _:
                    self._put(char, tone)

    def erase(self, how: str) -> None:
        """EL, erase in line: to the right, to the left (1), or all (2)."""
        if how == "1":
            self._put(" " * self.at, "", start=0)
        elif how == "2":
            self.cells = [(" ", "")] * self.at
        else:
            self._split(self.at)
            del self.cells[self.at :]

    def _put(self, text: str, tone: str, start: int | None = None) -> None:
        """Write characters that take room; what they cover goes."""
        at = self.at if start is None else start
        cells = [cell for char in text for cell in ((char, tone), *[("", tone)] * (cell_len(char) - 1))]
        self.cells += [(" ", "")] * (at - len(self.cells))
        self._split(at)
        self._split(at + len(cells))
        self.cells[at : at + len(cells)] = cells
        self.at = at + len(cells)

    def _split(self, at: int) -> None:
        """Half a wide character is none: before `at` and from `at` on, blanks take its place."""
        if 0 < at < len(self.cells) and not self.cells[at][0]:
            self.cells[at - 1] = self.cells[at] = (" ", "")


def _overprinted(text: str) -> Iterator[tuple[str, str]]:
    row, state, at = _Row(), Sgr(), 0
    for match in [*_SEQUENCE.finditer(text), None]:
        row.write(text[at : match.start() if match else None].translate(_OVERPRINTING), state.tone)
        if match is None:
            break
        at = match.end()
        parameters, between, final = match.groups()
        if final == "m" and not between:
            state = _tone_after(state, parameters)
        elif final == "K" and not between:
            row.erase(parameters)
    yield from row.cells
