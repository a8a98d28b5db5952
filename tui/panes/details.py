"""Pane 4: the tabs of the selected container. To add one, write the class in a file of its own and name it in `TABS`."""

from __future__ import annotations

from textual.app import ComposeResult

from engine.model.interface import EngineInterface
from tui.panes.logs import LogsTab
from tui.panes.pane import Pane
from tui.panes.steps import StepsTab
from tui.panes.tab import Tab
from tui.view.scene import Scene
from tui.widgets.lines import Sheet

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
