"""Tab Logs: what the container says."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

from engine.model.interface import EngineInterface, LogLine
from tui.feed import PAINT_SECONDS
from tui.panes.tab import Tab
from tui.view.text import Line, Span, clean, line, wrap


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
