"""Tab Health: the check, its last probes, and one more on request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from engine.model.container import Container
from engine.model.interface import EngineInterface
from tui.panes.tab import Tab
from tui.view import health
from tui.view.text import line, wrap


class HealthTab(Tab):
    label = "Health"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "probe", "probe now", show=False),
        Binding("enter", "open", "show the whole output", show=False),
    ]

    @dataclass
    class Probe(Message):
        """The check is to be run now."""

        id: str

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(engine, cursor=True)
        self.container: Container | None = None
        self.error = ""
        self.opened: frozenset[datetime] = frozenset()
        """Probes whose output is shown whole, by their beginning."""

    def clear(self) -> None:
        self.container, self.error, self.opened, self.row = None, "", frozenset(), 0

    async def fetch(self, id: str) -> None:
        self.container, self.error = await self.engine.inspect(id), ""

    def fail(self, sentence: str) -> None:
        self.error = sentence

    def hint(self) -> str:
        return "P probe now · Enter whole output" if self.container and health.command(self.container.config) else ""

    def show(self) -> None:
        width, c, row = self.inner_width, self.container, self.row_now
        if self.error:
            self.paint([line(text, "bad") for text in wrap(f"✘ {self.error}", width)], [])
        elif c and row:
            self.paint(*health.lines(c, row, width, self.opened))
        else:
            self.paint([], [])

    def action_probe(self) -> None:
        if self.selected:
            self.post_message(self.Probe(self.selected))

    def action_open(self) -> None:
        log = self.container.state.health.log if self.container and self.container.state.health else ()
        if log:
            self.opened ^= {log[-1 - self.row].start}
            self.show()
