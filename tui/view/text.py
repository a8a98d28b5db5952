"""Lines of text with tones, and the few ways to fit them into a width. Widths are terminal cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size


class Span(NamedTuple):
    """Text in one tone. A tone is a meaning (`good`, `bad`, `cold`); the theme gives it a colour."""

    text: str
    tone: str = ""


Line = tuple[Span, ...]

TONES = ("dim", "good", "bad", "warn", "cold", "accent", "strong", "code", "key", "found")

GAP = Span("  ")
BLANK: Line = ()

_ESCAPES = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|\[[0-?]*[ -/]*[@-~]|[@-_])")
"""Terminal escape sequences: OSC, CSI and the two-character ones (ECMA-48, 5.3 and 5.4)."""
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_BREAKS = re.compile(r"(?<=[/:,=_.@-])(?=.)")


def clean(text: str) -> str:
    """Without what could steer the terminal: foreign text is shown, never obeyed."""
    return _ESCAPES.sub("", text).expandtabs().translate(_CONTROLS)


def line(text: str, tone: str = "") -> Line:
    return (Span(text, tone),)


def plain(spans: Line) -> str:
    return "".join(span.text for span in spans)


def width_of(spans: Line) -> int:
    return sum(cell_len(span.text) for span in spans)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells; `right` aligns to the right edge."""
    text = shorten(text, width)
    if right:
        return " " * (width - cell_len(text)) + text
    return set_cell_size(text, width)


def shorten(text: str, width: int) -> str:
    """At most `width` cells, ending at the border of a word with an ellipsis. Only a single word wider than `width` is cut."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    best = ""
    for match in re.finditer(r"[\s/:,=_.@-]+", text):
        head = text[: match.end() if not match.group().isspace() else match.start()]
        if cell_len(head) > width - 1:
            break
        best = head
    if not best.strip():
        best = chop_cells(text, width - 1)[0] if width > 1 else ""
    return best.rstrip() + "…"


def shorten_left(text: str, width: int) -> str:
    """As `shorten`, keeping the end: for image names and paths, whose end says more."""
    if cell_len(text) <= width:
        return text
    parts = text.split("/")
    for start in range(1, len(parts)):
        tail = "…/" + "/".join(parts[start:])
        if cell_len(tail) <= width:
            return tail
    return shorten(parts[-1], width)


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Text in lines of at most `width` cells, broken between words. `indent` begins each line but the first.

    A word wider than a line is broken after `/`, `:`, `,`, `=` and the like, and only without those in its middle.
    """
    lines: list[str] = []
    current = ""
    for piece in _pieces(text, max(1, width - cell_len(indent))):
        if current and cell_len(current + piece.rstrip()) > width:
            lines.append(current.rstrip())
            current = indent
            piece = piece.lstrip()
        current += piece
    if current.strip() or not lines:
        lines.append(current.rstrip())
    return lines


def _pieces(text: str, width: int) -> Iterator[str]:
    for word in re.findall(r"\s*\S+\s*", text):
        if cell_len(word.rstrip()) <= width:
            yield word
            continue
        for part in _BREAKS.split(word):
            yield from chop_cells(part, width) if cell_len(part.rstrip()) > width else (part,)


def paragraphs(text: str, width: int) -> list[Line]:
    """Prose in paragraphs, reflowed; words between backticks take the tone `code`."""
    lines: list[Line] = []
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            lines.append(BLANK)
        code = False
        for row in wrap(" ".join(paragraph.split()), width):
            spans = []
            for part_number, part in enumerate(row.split("`")):
                code = code != bool(part_number)
                if part:
                    spans.append(Span(part, "code" if code else ""))
            lines.append(tuple(spans))
    return lines


def commands(shell: tuple[str, ...], width: int) -> list[Line]:
    """Commands, wrapped with a hanging indent so that one can be told from the next."""
    return [line(row, "code") for command in shell for row in wrap("  " + command, width, indent="      ")]
