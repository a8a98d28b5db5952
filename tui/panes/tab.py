"""A tab of pane 4: a sheet, and a worker that feeds it for the selected container while it is the active one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from engine.model.errors import EngineError
from engine.model.interface import EngineInterface
from engine.model.world import ContainerRow
from tui.feed import PAINT_SECONDS
from tui.view.scene import Scene
from tui.widgets.lines import Sheet

SETTLE_SECONDS = 0.15
"""How long a container must stay selected before anything is fetched for it: a held `j` asks for nothing."""

SLOW_SECONDS = 0.5
"""What was shown before goes after so long, even if nothing has come yet."""


class Tab(Sheet):
    label: ClassVar[str]
    every: ClassVar[float | None] = None
    """Seconds until it is fetched again without a touch, while somebody sees it; None: never."""

    @dataclass
    class Copied(Message):
        """This text is to be copied. `what` it is, for the person."""

        text: str
        what: str

    @dataclass
    class Searching(Message):
        """A person wants to type what to look for; it comes back by `seek`."""

        tab: Tab

    @dataclass
    class Hinted(Message):
        """What `hint` says has changed."""

    def __init__(self, engine: EngineInterface, *, cursor: bool = False) -> None:
        super().__init__(id=f"tab-{self.label.lower()}", cursor=cursor)
        self.engine = engine
        self.selected = ""
        self.row_now: ContainerRow | None = None
        """The container's row as the scene has it."""
        self._touched = asyncio.Event()
        self._held = False

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

    def look(self, scene: Scene) -> None:
        """The scene has changed."""
        row, self._held = scene.row(self.selected), scene.held
        if row is not self.row_now:
            self.row_now = row
            self.show()

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
            await self._reason()

    async def _reason(self) -> None:
        """Until there is reason to fetch again."""
        while True:
            try:
                async with asyncio.timeout(self.every):
                    await self._touched.wait()
                    return
            except TimeoutError:
                if self.is_on_screen and self.screen.is_current and not self._held:
                    return

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

    def hint(self) -> str:
        """Its own keys, for the frame."""
        return ""

    def seek(self, text: str) -> None:
        """Look for what was typed; empty: no longer."""
        raise NotImplementedError

    def back(self) -> bool:
        """Esc: let go of one thing of its own, if there is one."""
        return False

    def on_resize(self) -> None:
        self.show()
