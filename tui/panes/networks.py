"""Pane 3: the bridges and what is plugged into them."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.panes.pane import Pane
from tui.view import networks
from tui.view.scene import Scene
from tui.widgets.lines import Sheet


class NetworksPane(Pane):
    number = 3

    def compose(self) -> ComposeResult:
        yield Sheet()

    def paint(self, scene: Scene, selected: str) -> None:
        self.entitle("Networks", scene)
        self.sheet.paint(networks.lines(scene, selected, self.sheet.inner_width))
