"""Many things at once: the plan first, then what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Button, Static

from engine.model.errors import EngineError
from tui.screens.dialogs import Dialog
from tui.view import bulk
from tui.view.bulk import Item
from tui.view.figures import duration
from tui.view.scene import Notice
from tui.widgets.lines import Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

AT_ONCE = 4


class Bulk(Dialog):
    """Shows what would happen, and does it when that is confirmed. Closing it does not end what has begun.

    `act` does one of them, `ended` hears of those that were done.
    """

    def __init__(
        self,
        app: LongshoreApp,
        heading: str,
        yes: str,
        items: Sequence[Item],
        docker: str,
        act: Callable[[Item], Awaitable[object]],
        ended: Callable[[list[Item]], None] = lambda done: None,
    ) -> None:
        super().__init__()
        self.longshore, self.heading, self.yes, self.docker = app, heading, yes, docker
        self.items, self.act, self.ended = list(items), act, ended

    def content(self) -> ComposeResult:
        yield Sheet(id="plan")
        yield Static(f"$ {self.docker}", classes="command", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="cancel")
            yield Button(self.yes, id="yes", variant="error", disabled=not any(item.does for item in self.items))

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        if self.is_attached:
            sheet = self.query_one(Sheet)
            lines = bulk.lines(self.items, sheet.inner_width)
            sheet.styles.height = min(len(lines), max(3, self.size.height - 12))
            sheet.paint(lines)

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#yes")
    def _begin(self, event: Button.Pressed) -> None:
        event.button.display = False
        cancel = self.query_one("#cancel", Button)
        cancel.label = "Close"
        cancel.focus()
        self.longshore.run_worker(self._run(), group="deeds")

    async def _run(self) -> None:
        """Belongs to the app: it goes on when the dialog is closed."""
        turn, began = asyncio.Semaphore(AT_ONCE), time.monotonic()
        self.longshore.notice = Notice(command=self.docker, text="…", tone="dim")
        meant = [(number, item) for number, item in enumerate(self.items) if item.does]
        results = await asyncio.gather(*(self._one(number, item, turn) for number, item in meant))
        done = [item for (_, item), good in zip(meant, results, strict=True) if good]
        failed = len(results) - len(done)
        self.ended(done)
        took = duration((time.monotonic() - began) * 1000)
        text = f"✘ {failed} of {len(results)} failed, {len(done)} done; {took}" if failed else f"✔ {len(done)} done; {took}"
        self.longshore.notice = Notice(command=self.docker, text=text, tone="bad" if failed else "good")

    async def _one(self, number: int, item: Item, turn: asyncio.Semaphore) -> bool:
        async with turn:
            self._tell(number, "▸", f"{item.said} …", "accent")
            began = time.monotonic()
            try:
                await self.act(item)
            except (EngineError, OSError) as error:
                self._tell(number, "✘", str(error), "bad")
                return False
            self._tell(number, "✔", f"{item.said}: {duration((time.monotonic() - began) * 1000)}", "good")
            return True

    def _tell(self, number: int, sign: str, said: str, tone: str) -> None:
        self.items[number] = replace(self.items[number], sign=sign, said=said, tone=tone)
        self._show()
