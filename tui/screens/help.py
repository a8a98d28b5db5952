"""The help: every key, read from the table of actions."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.actions import ACTIONS, FILES, IMAGES, LOGS, NETWORKS, SCROLLING
from tui.screens.dialogs import Dialog
from tui.view.text import BLANK, Line, Span, line, pad, wrap
from tui.widgets.lines import Sheet

LESSON_KEYS = (
    ("Space", "Do the next step, or on the way back take the next one back"),
    ("b", "Take the last step back"),
    ("r", "Run on to the end"),
    ("f", "Make the next step fail for real, and watch the way back"),
    ("x", "Give up: Space then walks the way back"),
    ("c", "Copy the commands of the step"),
    ("j k", "Read the other steps"),
    ("Tab", "Next pane, to scroll in it"),
    ("Esc", "Leave; asks what becomes of the run"),
)


PALETTE = ":"
"""Where what has no key of its own is found."""

TABLES = (*ACTIONS, *LOGS, *FILES, *IMAGES, *NETWORKS)


def lines(width: int, first: str = "") -> list[Line]:
    """All groups of keys; `first` on top."""
    groups = [
        (name, [(a.shown or a.keys.replace(",delete", ", Delete") or PALETTE, a.help) for a in group])
        for name, group in groupby(sorted(TABLES, key=lambda a: a.group), key=lambda a: a.group)
    ]
    shown: list[Line] = []
    groups += [("Scrolling", list(SCROLLING)), ("In a lesson", list(LESSON_KEYS))]
    for name, keys in sorted(groups, key=lambda group: group[0] != first):
        shown += [line(name, "strong")]
        for key, text in keys:
            head, *rest = wrap(text, max(10, width - 17))
            shown += [(Span("  " + pad(key, 14), "key"), Span(head)), *(line(" " * 16 + row) for row in rest)]
        shown.append(BLANK)
    return shown[:-1]


class Help(Dialog):
    heading = "Keys"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,question_mark", "cancel", show=False)]

    def __init__(self, first: str = "") -> None:
        """`first`: the group of keys to begin with."""
        super().__init__()
        self.first = first

    def content(self) -> ComposeResult:
        yield Sheet(id="help")

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        sheet = self.query_one(Sheet)
        sheet.paint(lines(sheet.inner_width, self.first))
