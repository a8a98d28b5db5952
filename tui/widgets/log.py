"""A sheet for lines that come and go: the view stays where it is put, and a last line tells its state.

Scrolling compares like painting does, so a view that is held still costs nothing while lines above and below it change.
Foreign colours are shown, as long as they can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Self

from rich.color_triplet import ColorTriplet
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.geometry import Region, Size

from tui.view.ansi import SGR
from tui.view.text import Line
from tui.widgets.lines import Sheet

LEAST_CONTRAST = 0.2
"""Difference in brightness (0 to 1) below which a foreign colour would hide its text on our background."""


class LogSheet(Sheet):
    foot: Line = ()
    """The last line of the view, over which the others scroll."""
    _placing = False

    @property
    def view_height(self) -> int:
        return max(1, self.size.height - 1)

    def place(self, lines: Sequence[Line], y: int, foot: Line) -> None:
        """Show these lines from line `y` on."""
        self.lines, self.foot = lines, foot
        self._placing = True
        if len(lines) + 1 != self.virtual_size.height:
            self.virtual_size = Size(1, len(lines) + 1)
        self.scroll_target_y = self.scroll_y = max(0, min(y, self.max_scroll_y))
        self._placing = False
        self.repaint()

    def scrolled(self) -> None:
        """A person has scrolled."""

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        if not self._placing and round(old_value) != round(new_value):
            self.scrolled()
            self.repaint()

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """While it is placed, what has changed is found by comparing: a longer text alone is no reason to repaint."""
        repaint = repaint and (bool(regions) or not self._placing)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def line_at(self, y: int) -> Line:
        return self.foot if y == self.size.height - 1 else super().line_at(y)

    def _style(self, tone: str) -> Style:
        if not tone.startswith(SGR):
            return super()._style(tone)
        under = self.rich_style.bgcolor
        return foreign(tone, under.triplet if under else None, self.app.ansi_theme)


@lru_cache(1024)
def foreign(tone: str, background: ColorTriplet | None, theme: TerminalTheme) -> Style:
    """The style of foreign text; without its colour where that is too close to our background.

    `background`: None where it is the terminal's own, and as unknown as its sixteen colours are.
    """
    style = Style.parse(tone.removeprefix(SGR))
    if background and style.color and not style.bgcolor:
        difference = _brightness(style.color.get_truecolor(theme)) - _brightness(background)
        if abs(difference) < LEAST_CONTRAST:
            return style.without_color
    return style


def _brightness(color: ColorTriplet) -> float:
    return Color(*color).brightness
