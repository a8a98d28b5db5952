"""Lines that keep every character: where they break into rows, and which part of them is seen. Widths are terminal cells."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.cells import cell_len

from tui.view.text import Line, Span

JOINER, EMOJI = "\u200d", "\ufe0f"
"""Zero width joiner, and variation selector 16, which may make the character before it wide."""


def breaks(text: str, width: int) -> tuple[int, ...]:
    """Where rows of at most `width` cells begin: after a blank, or in a word wider than a row after a sign, or anywhere.

    A blank that no longer fits hangs over the edge.
    """
    if len(text) <= (width if text.isascii() else width // 2):
        return (0,)
    starts, at = [0], 0
    while (end := reach(text, at, width)) < len(text):
        at = _break(text, at, end)
        if at >= len(text):
            break
        starts.append(at)
    return tuple(starts)


_SIGNS = re.compile(r".*[/:,;=_.&?@-](?=.)", re.DOTALL)


def _break(text: str, start: int, end: int) -> int:
    blank = text.rfind(" ", start + 1, end + 1)
    if blank > 0 and text[start:blank].strip():
        return blank + 1
    sign = _SIGNS.match(text, start, end)
    return sign.end() if sign else end


def reach(text: str, start: int, width: int) -> int:
    """The index up to which text from `start` fits into `width` cells; at least one character further.

    Joined characters are measured one by one, as a terminal shows them that cannot join, but are not parted.
    """
    piece = text[start : start + width + 1]
    if piece.isascii():
        return start + min(len(piece), max(1, width))
    used, end = 0, start
    for index in range(start, len(text)):
        char = text[index]
        cells = 1 if char == EMOJI else cell_len(char)
        if cells and char != EMOJI and text[index - 1 : index] != JOINER:
            end = index
        used += cells
        if used > width:
            return max(end, start + 1)
    return len(text)


def width_over(text: str, start: int, end: int, width: int) -> bool:
    """Does a blank hang over the edge?"""
    return end - start > width // 2 and text[end - 1 : end] == " " and cell_len(text[start:end]) > width


def cut(line: Line, start: int, end: int) -> Line:
    """The characters of a line from `start` up to `end`."""
    parts: list[Span] = []
    at = 0
    for text, tone in line:
        if at < end and at + len(text) > start:
            parts.append(Span(text[max(0, start - at) : end - at], tone))
        at += len(text)
    return tuple(parts)


def marked(line: Line, ranges: Iterable[tuple[int, int]]) -> Line:
    """The line with the tone `found` in these ranges of characters."""
    parts: list[Span] = []
    at, length = 0, sum(len(span.text) for span in line)
    for start, end in ranges:
        start, end = max(at, start), min(end, length)
        if start < end:
            found = "".join(span.text for span in cut(line, start, end))
            parts += [*cut(line, at, start), Span(found, "found")]
            at = end
    return (*parts, *cut(line, at, length))
