"""A tab of pane 4: a sheet, and a worker that feeds it for the selected container while it is the active one."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from engine.model.errors import EngineError
from engine.model.interface import EngineInterface
from tui.feed import PAINT_SECONDS
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
