"""Pane 2: the layers of the selected container, and what it changes as it does."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual.app import ComposeResult

from engine.model.tree import TreeInterface
from tui.feed import PAINT_SECONDS
from tui.panes.pane import Pane
from tui.panes.tab import Tab
from tui.remote import Remote
from tui.view import layers
from tui.view.layers import Looked
from tui.view.scene import Scene
from tui.widgets.lines import Sheet

SECONDS = 1.0
"""Between two looks at the same container, at the least."""


class LayersSheet(Tab):
    """Asks when the record or the figures say that something has changed, and never else."""

    label: ClassVar[str] = "Layers"

    def __init__(self, engine: Remote) -> None:
        super().__init__(engine)
        self.trees: TreeInterface = engine
        self.scene: Scene | None = None
        self.found: Looked | None = None
        self.error = ""

    def look(self, scene: Scene) -> None:
        self.scene, self._held = scene, scene.held
        self.show()

    def clear(self) -> None:
        self.found, self.error = None, ""

    async def fetch(self, id: str) -> None:
        stack, changes = await self.trees.stack(id), await self.trees.changes(id)
        self.found, self.error = layers.looked(self.found, stack, changes), ""

    def fail(self, sentence: str) -> None:
        self.found, self.error = None, sentence

    async def _reason(self) -> None:
        await asyncio.sleep(SECONDS - PAINT_SECONDS)
        await super()._reason()

    def show(self) -> None:
        if self.scene:
            row = self.scene.row(self.selected)
            self.paint(layers.lines(self.scene, row, self.inner_width, self.found, self.error))


class LayersPane(Pane):
    number = 2

    def __init__(self, engine: Remote) -> None:
        super().__init__()
        self.fed = LayersSheet(engine)
        self._hint: object = None

    def compose(self) -> ComposeResult:
        yield self.fed

    @property
    def sheet(self) -> Sheet:
        return self.fed

    def paint(self, scene: Scene, selected: str) -> None:
        row, sample = scene.row(selected), scene.world.samples.get(selected)
        self.entitle(layers.title(row), scene, "Enter: the files" if row else "")
        followed = selected if row else ""
        # All by which the scene can tell that the layers are not what they were.
        hint = row and (row.status, row.mount_id, row.mounted, row.missing, sample and (sample.rw_size, sample.changes))
        if followed != self.fed.selected:
            self.fed.follow(followed)
        elif hint != self._hint and self.screen.is_current:
            self.fed.touch()
        if self.screen.is_current:
            self._hint = hint
        self.fed.look(scene)
