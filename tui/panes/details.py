"""Pane 4: the tabs of the selected container.

A tab is a sheet and a worker that feeds it while it is seen. To add one, write the class and name it in `TABS`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache
from typing import ClassVar

from textual.app import ComposeResult

from engine.model.errors import EngineError
from engine.model.interface import EngineInterface, LogLine
from engine.model.run import Plan
from tui.feed import PAINT_SECONDS
from tui.panes.pane import Pane
from tui.view import steps
from tui.view.scene import Scene
from tui.view.text import Line, Span, clean, line, wrap
from tui.widgets.lines import Sheet

SETTLE_SECONDS = 0.15
"""How long a container must stay selected before anything is fetched for it: a held `j` asks for nothing."""

SLOW_SECONDS = 0.5
"""What was shown before goes after so long, even if nothing has come yet."""


class Tab(Sheet):
    label: ClassVar[str]

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(id=f"tab-{self.label.lower()}")
        self.engine = engine
        self.selected = ""
        self._touched = asyncio.Event()

    def follow(self, id: str) -> None:
        """Feed this tab for a container; empty: for none."""
        self.workers.cancel_node(self)
        self.selected = id
        if id:
            self.run_worker(self._feed(id))
        else:
            self.clear()
            self.show()

    def touch(self) -> None:
        """The container's record or run has changed."""
        self._touched.set()

    async def _feed(self, id: str) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        self.clear()
        self.set_timer(SLOW_SECONDS, self.show)
        while True:
            self._touched.clear()
            try:
                await self.fetch(id)
            except (EngineError, OSError) as error:
                self.fail(str(error))
            self.show()
            await asyncio.sleep(PAINT_SECONDS)
            await self._touched.wait()

    def clear(self) -> None:
        """Forget the container before."""
        raise NotImplementedError

    async def fetch(self, id: str) -> None:
        """Get what there is to show. Runs again when the container was touched."""
        raise NotImplementedError

    def fail(self, sentence: str) -> None:
        raise NotImplementedError

    def show(self) -> None:
        """Paint what was fetched."""
        raise NotImplementedError

    def on_resize(self) -> None:
        self.show()


class StepsTab(Tab):
    """The last or the running operation, step by step."""

    label = "Steps"

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(engine)
        self.plan: Plan | None = None
        self.error = ""

    def clear(self) -> None:
        self.plan, self.error = None, ""

    async def fetch(self, id: str) -> None:
        self.plan, self.error = await self.engine.steps(id), ""

    def fail(self, sentence: str) -> None:
        self.error = sentence

    def show(self) -> None:
        failed = [line(f"✘ {text}", "bad") for text in wrap(self.error, self.inner_width - 2)] if self.error else []
        self.paint([*failed, *(steps.lines(self.plan, self.inner_width) if self.plan or not failed else ())])


class LogsTab(Tab):
    """What the container says. Stays at the end while the end is in sight."""

    label = "Logs"
    LINES = 1000

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(engine)
        self.said: deque[LogLine] = deque(maxlen=self.LINES)
        self.error = ""
        self._due = self._at_end = False

    def clear(self) -> None:
        self.said.clear()
        self.error = ""

    async def fetch(self, id: str) -> None:
        self.clear()
        async for said in self.engine.logs(id, follow=True, tail=self.LINES):
            self.said.append(said)
            if not self._due:
                self._due = True
                self.set_timer(PAINT_SECONDS, self.show)

    def fail(self, sentence: str) -> None:
        self.error = sentence

    def show(self) -> None:
        self._due = False
        self._at_end = self._at_end or self.scroll_offset.y >= self.max_scroll_y
        lines = [row for said in self.said for row in _log_lines(said, self.inner_width)]
        if self.error:
            lines += [line(f"✘ {text}", "bad") for text in wrap(self.error, self.inner_width - 2)]
        elif not lines:
            lines = [line("It has said nothing yet." if self.selected else "", "dim")]
        self.paint(lines)
        if self._at_end:
            self.call_after_refresh(self._to_end)

    def _to_end(self) -> None:
        self._at_end = False
        self.scroll_to(y=self.max_scroll_y, animate=False)


@lru_cache(maxsize=4096)
def _log_lines(said: LogLine, width: int) -> list[Line]:
    text = clean(said.log.decode(errors="replace").rstrip("\r\n"))
    lead = Span("! ", "warn") if said.stream == "stderr" else Span("  ")
    return [(lead if number == 0 else Span("  "), Span(row)) for number, row in enumerate(wrap(text, width - 2))]


TABS: tuple[type[Tab], ...] = (StepsTab, LogsTab)


class DetailsPane(Pane):
    number = 4

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__()
        self.tabs = [tab(engine) for tab in TABS]
        self.active = 0
        self.selected = ""

    def compose(self) -> ComposeResult:
        yield from self.tabs

    def on_mount(self) -> None:
        self._show_active()

    @property
    def sheet(self) -> Sheet:
        return self.tabs[self.active]

    def paint(self, scene: Scene, selected: str) -> None:
        row = scene.row(selected)
        labels = "  ".join(f"[{tab.label}]" if n == self.active else tab.label for n, tab in enumerate(self.tabs))
        self.entitle(f"{row.name if row else 'Details'} · {labels}", scene, "[ ] tabs")
        followed = selected if row else ""
        if followed != self.selected:
            self.selected = followed
            self.tabs[self.active].follow(self.selected)

    def touch(self) -> None:
        self.tabs[self.active].touch()

    def open(self, label: str) -> None:
        self.turn([tab.label for tab in self.tabs].index(label) - self.active)

    def turn(self, by: int) -> None:
        self.tabs[self.active].follow("")
        self.active = (self.active + by) % len(self.tabs)
        self._show_active()
        self.tabs[self.active].follow(self.selected)

    def _show_active(self) -> None:
        for number, tab in enumerate(self.tabs):
            tab.display = number == self.active
