"""Pane 1: the table of containers."""

from __future__ import annotations

import time

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.message import Message

from engine.model.world import ContainerRow
from tui.panes.pane import Pane
from tui.view import containers
from tui.view.scene import Scene
from tui.view.table import Order, Rows
from tui.view.text import line, wrap
from tui.widgets.lines import Lines, Sheet

RESORT_SECONDS = 3.0


class ContainersPane(Pane):
    number = 1

    class Selected(Message):
        def __init__(self, id: str) -> None:
            super().__init__()
            self.id = id

    def __init__(self) -> None:
        super().__init__()
        self.query_text = ""
        self.stopped = True
        self.marks: frozenset[str] = frozenset()
        self.order = Order()
        self._sorted = (0.0, Order())
        """When the rows were put in order, by the clock of the machine, and in which."""
        self.rows: tuple[ContainerRow, ...] = ()

    def compose(self) -> ComposeResult:
        yield Lines(id="table-head")
        yield Sheet(id="table", cursor=True)

    def paint(self, scene: Scene, selected: str) -> None:
        self.rows = self.ordered(scene)
        count = f" · {len(self.marks)} marked" if self.marks else ""
        self.entitle(f"Containers · {containers.counts(scene)}{count}", scene, self._hints())
        head, sheet = self.query_one("#table-head", Lines), self.sheet
        if not self.rows:
            head.paint([])
            words = containers.EMPTY if not scene.world.containers else ("No container matches; Esc shows all again.",)
            sheet.paint([line(row, "dim") for text in words for row in wrap(text, sheet.inner_width)], [])
            return
        indent = 2 if self.marks else 0
        columns = containers.layout(scene, self.rows, sheet.inner_width - indent)
        head.paint([(*line("  " + " " * indent), *containers.head(columns, self.order))])
        at = next((n for n, row in enumerate(self.rows) if row.id == selected), None)
        sheet.row = max(0, min(sheet.row, len(self.rows) - 1)) if at is None else at
        marks = self.marks
        marked = (lambda row: row.id in marks) if marks else None
        sheet.paint(Rows(self.rows, lambda row: containers.body(scene, row, columns), marked))
        if at is None:
            self.post_message(self.Selected(self.rows[sheet.row].id))

    def ordered(self, scene: Scene) -> tuple[ContainerRow, ...]:
        """The containers to show. By live figures, rows change places only every few seconds, and not under a moving cursor."""
        when, order = self._sorted
        if self.order.column in containers.LIVE and order == self.order and time.monotonic() - when < RESORT_SECONDS:
            at = {row.id: n for n, row in enumerate(self.rows)}
            rows = containers.order(scene, self.query_text, self.stopped, self.order)
            return tuple(sorted(rows, key=lambda row: at.get(row.id, len(at))))
        self._sorted = (time.monotonic(), self.order)
        return containers.order(scene, self.query_text, self.stopped, self.order)

    def sort(self, by: int) -> None:
        """By the next column of the table, or the one before."""
        keys = containers.SORTED
        self.order = Order(column=keys[(keys.index(self.order.column) + by) % len(keys)])

    def flip(self) -> None:
        """The other way round."""
        self.order = replace(self.order, up=not self.order.up)

    def _hints(self) -> str:
        parts = [f"filter: {self.query_text}"] if self.query_text else []
        if not self.stopped:
            parts.append("stopped hidden, z shows them")
        return " · ".join(parts) or f"/ filter · Shift-← → sort: {self.order.column or 'living first'}"

    @on(Sheet.Moved)
    def _moved(self, event: Sheet.Moved) -> None:
        event.stop()
        self._sorted = (time.monotonic(), self._sorted[1])
        if self.rows:
            self.post_message(self.Selected(self.rows[event.row].id))
