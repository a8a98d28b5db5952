"""Lines of text that repaint only the cells that changed.

The stock widgets repaint themselves whole for one changed cell, some 20 kB on a terminal of 120x40. Here the new lines are
compared with what is painted, and only the span of cells that differs is marked dirty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.view.text import TONES, Line, Span, clean, width_of

PREFIX = "lines--"
STYLES = {f"{PREFIX}{tone}" for tone in (*TONES, "cursor")}
"""Classes of the tones. They are the application's: for each of a screen's many `Lines` they would be a third of its start."""
_CURSOR = "*"
"""Ends the tone of what lies under the cursor."""


class Lines(ScrollView, can_focus=False):
    """Shows lines, and scrolls."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.lines: Sequence[Line] = ()
        self._painted: dict[int, Line] = {}
        self._styles: dict[str, Style] = {}
        """By tone."""

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    @property
    def inner_width(self) -> int:
        """Cells for a line, as far as the layout is known; the scrollbar's cell is always left free."""
        return max(1, self.container_size.width - self.styles.scrollbar_size_vertical)

    def paint(self, lines: Sequence[Line]) -> None:
        """Show these lines. May be lazy: only what is visible is asked for."""
        self.lines = lines
        if len(lines) != self.virtual_size.height:
            self.virtual_size = Size(1, len(lines))
        self.repaint()

    def repaint(self) -> None:
        """Mark what differs from the painted as dirty."""
        for y in range(self.size.height):
            old, new = self._painted.get(y), self.line_at(y)
            if old != new:
                self.refresh(difference(old, new, y, self.size.width) if old is not None else Region(0, y, self.size.width, 1))

    def line_at(self, y: int) -> Line:
        """The line to paint in row `y` of the view."""
        index = y + self.scroll_offset.y
        return self.lines[index] if index < len(self.lines) else ()

    def render_line(self, y: int) -> Strip:
        line = self._painted[y] = self.line_at(y)
        base = self._style("")
        segments = [Segment(text if text.isprintable() else clean(text), self._style(tone)) for text, tone in line]
        return Strip(segments).adjust_cell_length(self.size.width, base).apply_style(base).simplify()

    def _style(self, tone: str) -> Style:
        if tone not in self._styles:
            style, name = self.rich_style, tone.removesuffix(_CURSOR)
            if name:
                own = self._of_app(name)
                style += Style(color=own.color, bold=own.bold, reverse=own.reverse)
            if tone.endswith(_CURSOR):
                under = self._of_app("cursor")
                style += Style(bgcolor=under.bgcolor, bold=under.bold, reverse=under.reverse)
            self._styles[tone] = style
        return self._styles[tone]

    def _of_app(self, name: str) -> Style:
        return self.app.get_component_styles(f"{PREFIX}{name}").rich_style


def difference(old: Line, new: Line, y: int, width: int) -> Region:
    """The smallest region of row `y` outside which both lines look the same."""
    a, b = _cells(old, width), _cells(new, width)
    first = next((x for x in range(width) if a[x] != b[x]), 0)
    last = next((x for x in range(width - 1, -1, -1) if a[x] != b[x]), 0)
    return Region(first, y, last - first + 1, 1)


def _cells(line: Line, width: int) -> list[tuple[str, str]]:
    cells = [(part, tone) for text, tone in line for char in text for part in (char, *[""] * (cell_len(char) - 1))]
    return [*cells[:width], *[(" ", "")] * (width - len(cells))]


class Sheet(Lines, can_focus=True):
    """Lines that a person moves in: with a cursor on rows, or by scrolling."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown", "page(1.0)", "page down", show=False),
        Binding("pageup", "page(-1.0)", "page up", show=False),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False),
        Binding("home,g", "edge(-1)", "top", show=False),
        Binding("end,G", "edge(1)", "bottom", show=False),
    ]

    @dataclass
    class Moved(Message):
        """The cursor stands on another row."""

        sheet: Sheet
        row: int

        @property
        def control(self) -> Sheet:
            return self.sheet

    @dataclass
    class Opened(Message):
        """A row was clicked a second time."""

        sheet: Sheet

    def __init__(self, id: str | None = None, classes: str | None = None, *, cursor: bool = False) -> None:
        super().__init__(id=id, classes=classes)
        self.row = 0 if cursor else -1
        """The row under the cursor; -1: there is no cursor, keys scroll."""
        self._starts: Sequence[int] = ()

    def paint(self, lines: Sequence[Line], starts: Sequence[int] | None = None) -> None:
        """`starts`: the line on which each row begins, where rows are longer than a line."""
        self._starts = range(len(lines)) if starts is None else starts
        if self.row >= 0:
            self.row = max(0, min(self.row, len(self._starts) - 1))
        super().paint(lines)

    @property
    def inner_width(self) -> int:
        return super().inner_width - (2 if self.row >= 0 else 0)

    def line_at(self, y: int) -> Line:
        line = super().line_at(y)
        index = y + self.scroll_offset.y
        if self.row < 0 or index >= len(self.lines):
            return line
        first, end = self._extent()
        if not first <= index < end:
            return (Span("  "), *line)
        marked = (Span("▸ " if index == first else "  ", "accent"), *line)
        rest = Span(" " * max(0, self.size.width - width_of(marked)))
        return tuple(Span(text, tone + _CURSOR) for text, tone in (*marked, rest))

    def _extent(self) -> tuple[int, int]:
        starts = self._starts
        if not starts:
            return 0, 0
        return starts[self.row], starts[self.row + 1] if self.row + 1 < len(starts) else len(self.lines)

    def go(self, row: int, *, tell: bool = False) -> None:
        """Put the cursor on a row and bring it into view."""
        row = max(0, min(row, len(self._starts) - 1))
        moved, self.row = row != self.row, row
        first, end = self._extent()
        if row == 0:
            first = 0  # with what stands above the first row
        top, height = self.scroll_offset.y, self.size.height
        if height and not top <= first <= top + height - (end - first):
            self.scroll_to(y=first if first < top else end - height, animate=False, immediate=True)
        self.repaint()
        if moved and tell:
            self.post_message(self.Moved(self, row))

    def action_move(self, rows: int) -> None:
        if self.row >= 0:
            self.go(self.row + rows, tell=True)
        else:
            self.scroll_to(y=self.scroll_offset.y + rows, animate=False)

    def action_page(self, pages: float) -> None:
        self.action_move(int(max(1, self.size.height) * pages))

    def action_edge(self, side: int) -> None:
        self.action_move(side * len(self.lines))

    def on_click(self, event: events.Click) -> None:
        if self.row < 0:
            return
        index = event.y + self.scroll_offset.y
        row = sum(start <= index for start in self._starts) - 1
        if row == self.row and event.chain == 2:
            self.post_message(self.Opened(self))
        elif 0 <= index < len(self.lines):
            self.go(row, tell=True)
