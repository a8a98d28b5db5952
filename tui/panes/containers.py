"""Pane 1: the table of containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from textual import on
from textual.app import ComposeResult
from textual.message import Message

from engine.model.world import ContainerRow
from tui.panes.pane import Pane
from tui.view import containers
from tui.view.containers import Layout
from tui.view.scene import Scene
from tui.view.text import Line, line, wrap
from tui.widgets.lines import Lines, Sheet


class Rows(Sequence[Line]):
    """The table's lines, made when they are looked at: of 500 containers only the visible cost anything."""

    def __init__(self, scene: Scene, rows: Sequence[ContainerRow], columns: Layout) -> None:
        self.scene, self.rows, self.columns = scene, rows, columns

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        return containers.body(self.scene, self.rows[index], self.columns)


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
        self.rows: tuple[ContainerRow, ...] = ()

    def compose(self) -> ComposeResult:
        yield Lines(id="table-head")
        yield Sheet(id="table", cursor=True)

    def paint(self, scene: Scene, selected: str) -> None:
        self.rows = containers.order(scene, self.query_text, self.stopped)
        self.entitle(f"Containers · {containers.counts(scene)}", scene, self._hints())
        head, sheet = self.query_one("#table-head", Lines), self.sheet
        if not self.rows:
            head.paint([])
            words = containers.EMPTY if not scene.world.containers else ("No container matches; Esc shows all again.",)
            sheet.paint([line(row, "dim") for text in words for row in wrap(text, sheet.inner_width)], [])
            return
        columns = containers.layout(scene, self.rows, sheet.inner_width)
        head.paint([(*line("  "), *containers.head(columns))])
        at = next((n for n, row in enumerate(self.rows) if row.id == selected), None)
        sheet.row = max(0, min(sheet.row, len(self.rows) - 1)) if at is None else at
        sheet.paint(Rows(scene, self.rows, columns))
        if at is None:
            self.post_message(self.Selected(self.rows[sheet.row].id))

    def _hints(self) -> str:
        parts = [f"filter: {self.query_text}"] if self.query_text else []
        if not self.stopped:
            parts.append("stopped hidden, z shows them")
        return " · ".join(parts) or "/ filter"

    @on(Sheet.Moved)
    def _moved(self, event: Sheet.Moved) -> None:
        event.stop()
        if self.rows:
            self.post_message(self.Selected(self.rows[event.row].id))
