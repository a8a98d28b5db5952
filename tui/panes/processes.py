"""Tab Processes: what runs in the container, looked at every other second while it is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.model.interface import EngineInterface
from tui.panes.tab import Tab
from tui.view import processes
from tui.view.processes import Process
from tui.view.text import line, wrap
from tui.widgets.lines import Sheet


class ProcessesTab(Tab):
    label = "Processes"
    every = 2.0
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("K", "kill", "send a signal", show=False),
        Binding("o", "order", "order", show=False),
    ]

    @dataclass
    class Kill(Message):
        """A signal is to be sent to one process; which signal is asked."""

        tab: Tab
        process: Process

        @property
        def id(self) -> str:
            """The container's."""
            return self.tab.selected

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(engine, cursor=True)
        self.found: list[Process] = []
        self.order = processes.ORDERS[0]
        self.error = ""
        self.pid = 0
        """The process under the cursor, which stays there wherever it moves to."""

    def clear(self) -> None:
        self.found, self.error, self.pid, self.row = [], "", 0, 0

    async def fetch(self, id: str) -> None:
        if self.row_now and not self.row_now.status.alive:
            self.found, self.error = [], ""
            return
        self.found, self.error = processes.read(await self.engine.top(id, processes.ARGUMENTS)), ""

    def fail(self, sentence: str) -> None:
        self.found, self.error = [], sentence

    def hint(self) -> str:
        return f"K signal · o order: {self.order}"

    def show(self) -> None:
        width = self.inner_width
        if not self.found:
            status = self.row_now.status if self.row_now else None
            words = f"It is {status}: it has no process." if status and not status.alive else ""
            tone = "bad" if self.error else "dim"
            self.paint([line(text, tone) for text in wrap(f"✘ {self.error}" if self.error else words, width)], [])
            return
        rows = self.rows
        at = next((n for n, p in enumerate(rows) if p.pid == self.pid), min(self.row, len(rows) - 1))
        self.row, self.pid = at, rows[at].pid
        self.paint([processes.head(width), *(processes.body(p, width) for p in rows)], range(1, len(rows) + 1))

    @property
    def rows(self) -> list[Process]:
        return processes.arrange(self.found, self.order)

    @on(Sheet.Moved)
    def _moved(self, event: Sheet.Moved) -> None:
        if self.found:
            self.pid = self.rows[event.row].pid

    def action_order(self) -> None:
        self.order = processes.ORDERS[(processes.ORDERS.index(self.order) + 1) % len(processes.ORDERS)]
        self.show()
        self.post_message(self.Hinted())

    def action_kill(self) -> None:
        if self.found:
            self.post_message(self.Kill(self, self.rows[self.row]))
