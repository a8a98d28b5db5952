"""Pane 4: the tabs of the selected container. To add one, write the class in a file of its own and name it in `TABS`."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events, on
from textual.app import ComposeResult
from textual.widgets import Input

from engine.model.interface import EngineInterface
from tui.panes.health import HealthTab
from tui.panes.inspect import InspectTab
from tui.panes.logs import LogsTab
from tui.panes.pane import Pane
from tui.panes.processes import ProcessesTab
from tui.panes.steps import StepsTab
from tui.panes.tab import Tab
from tui.view.scene import Scene
from tui.widgets.lines import Sheet

TABS: tuple[type[Tab], ...] = (StepsTab, LogsTab, HealthTab, ProcessesTab, InspectTab)


class DetailsPane(Pane):
    number = 4

    def __init__(self, engine: EngineInterface, tabs: Sequence[Tab] = ()) -> None:
        """`tabs`: others than a container's."""
        super().__init__()
        self.tabs = tabs or [tab(engine) for tab in TABS]
        self.active = 0
        self.selected = ""

    def compose(self) -> ComposeResult:
        yield from self.tabs
        yield Input(id="search", placeholder="look for; Enter keeps, Esc clears", compact=True)

    def on_mount(self) -> None:
        self.query_one("#search").display = False
        self._show_active()

    @property
    def sheet(self) -> Sheet:
        return self.tab

    @property
    def tab(self) -> Tab:
        return self.tabs[self.active]

    def paint(self, scene: Scene, selected: str) -> None:
        row = scene.row(selected)
        labels = "  ".join(f"[{tab.label}]" if n == self.active else tab.label for n, tab in enumerate(self.tabs))
        followed = selected if row else ""
        if followed != self.selected:
            self.selected = followed
            self.tab.follow(self.selected)
        self.tab.look(scene)
        hint = " · ".join(part for part in (self.tab.hint(), "[ ] tabs") if part)
        self.entitle(f"{row.name if row else 'Details'} · {labels}", scene, hint)

    def touch(self) -> None:
        self.tab.touch()

    def open(self, label: str) -> None:
        self.turn([tab.label for tab in self.tabs].index(label) - self.active)

    def turn(self, by: int) -> None:
        self._end_search()
        self.tab.follow("")
        self.active = (self.active + by) % len(self.tabs)
        self._show_active()
        self.tab.follow(self.selected)

    def back(self) -> bool:
        """Esc: let go of one thing of the active tab, if there is one."""
        return self.tab.back()

    def _show_active(self) -> None:
        for number, tab in enumerate(self.tabs):
            tab.display = number == self.active

    @on(Tab.Hinted)
    def _hinted(self) -> None:
        if self._shown:
            self.show(*self._shown)

    # Searching in a tab

    @on(Tab.Searching)
    def _searching(self) -> None:
        field = self.query_one("#search", Input)
        field.value = ""
        field.display = True
        field.focus()

    @on(Input.Changed, "#search")
    def _sought(self, event: Input.Changed) -> None:
        event.stop()
        if self.query_one("#search").display:
            self.tab.seek(event.value)

    @on(Input.Submitted, "#search")
    def _found(self, event: Input.Submitted) -> None:
        event.stop()
        self._end_search()

    def key_escape(self, event: events.Key) -> None:
        if self.query_one("#search", Input).has_focus:
            event.stop()
            self.tab.seek("")
            self._end_search()

    def _end_search(self) -> None:
        field = self.query_one("#search", Input)
        if field.display:
            field.display = False
            self.tab.focus()
