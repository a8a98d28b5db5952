"""All that the engine knows of an image, as JSON: to fold, to search in, and to copy from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.panes.details import DetailsPane
from tui.panes.inspect import InspectTab
from tui.panes.tab import Tab
from tui.remote import Remote
from tui.view import footer, header
from tui.view.scene import Scene
from tui.widgets.lines import Lines

if TYPE_CHECKING:
    from tui.app import LongshoreApp

KEYS = [("/", "search", True), ("n N", "matches", True), ("Enter", "fold", True), ("c", "copy", True), ("C", "copy path", True)]


class ImageTab(InspectTab):
    def __init__(self, engine: Remote) -> None:
        super().__init__(engine)
        self.remote = engine

    async def told(self, id: str) -> Any:
        return await self.remote.image_json(id)


class ImageDetails(DetailsPane):
    number = 1

    def __init__(self, engine: Remote, called: str) -> None:
        super().__init__(engine, [ImageTab(engine)])
        self.called = called

    def paint(self, scene: Scene, selected: str) -> None:
        if selected != self.selected:
            self.selected = selected
            self.tab.follow(selected)
        self.tab.look(scene)
        self.entitle(f"Inspect · {self.called}", scene, self.tab.hint())


class InspectScreen(Screen[None]):
    """Of an image, given by its id. `called`: its name."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", show=False),
        Binding("q", "leave", show=False),
        Binding("colon", "app.command_palette", show=False),
    ]
    AUTO_FOCUS = "#tab-inspect"

    def __init__(self, app: LongshoreApp, id: str, called: str) -> None:
        super().__init__()
        self.longshore, self.target, self.called = app, id, called

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        yield ImageDetails(self.longshore.engine, self.called)
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.watch(self.longshore, "scene", self.show)
        self.watch(self.longshore, "notice", lambda: self.show(self.longshore.scene))

    def on_resize(self) -> None:
        self.call_after_refresh(lambda: self.show(self.longshore.scene))

    def show(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one(ImageDetails).show(scene, self.target)
        self.query_one("#header", Lines).paint([header.line(scene, None, width, read_only=app.read_only)])
        status, lines = self.query_one("#status", Lines), footer.status(scene, "", app.notice, width)
        status.styles.height = len(lines)
        status.paint(lines)
        self.query_one("#footer", Lines).paint([footer.keys([*KEYS, ("Esc", "back", True)], width)])

    @on(Tab.Copied)
    def _copied(self, event: Tab.Copied) -> None:
        self.longshore.copy_to_clipboard(event.text)
        self.longshore.say(f"copied {event.what}", "good")

    def action_back(self) -> None:
        """Let go of the search, then of the image."""
        if not self.query_one(ImageDetails).back():
            self.dismiss()

    def action_leave(self) -> None:
        self.dismiss()
