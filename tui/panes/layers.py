"""Pane 2: the layers of the selected container."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.panes.pane import Pane
from tui.view import layers
from tui.view.scene import Scene
from tui.widgets.lines import Sheet


class LayersPane(Pane):
    number = 2

    def compose(self) -> ComposeResult:
        yield Sheet()

    def paint(self, scene: Scene, selected: str) -> None:
        row = scene.row(selected)
        self.entitle(layers.title(row), scene)
        self.sheet.paint(layers.lines(scene, row, self.sheet.inner_width))
