"""Two containers or images beside each other: the paths that are not the same in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.model.errors import EngineError
from engine.model.tree import Comparison
from tui.view import files, footer, header
from tui.view.scene import Scene
from tui.view.text import clean, line, wrap
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp


class CompareScreen(Screen[None]):
    """`first` and `second`: names of containers or images."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        Binding("c", "copy", "copy the path", show=False),
        Binding("colon", "app.command_palette", show=False),
    ]
    AUTO_FOCUS = "#differences"

    def __init__(self, app: LongshoreApp, first: str, second: str) -> None:
        super().__init__()
        self.longshore, self.first, self.second = app, first, second
        self.found: Comparison | None = None
        self.trouble = ""

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        yield Sheet(id="differences", classes="framed", cursor=True)
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.watch(self.longshore, "scene", self._show_bars)
        self.watch(self.longshore, "notice", lambda: self._show_bars(self.longshore.scene))
        self.run_worker(self._load())

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    async def _load(self) -> None:
        try:
            self.found = await self.longshore.engine.compare(self.first, self.second)
        except (EngineError, OSError) as error:
            self.trouble = str(error)
        self.show()

    def show(self) -> None:
        if not self.query("#footer"):
            return  # the screen was left before the answer came
        sheet = self.query_one(Sheet)
        width = sheet.inner_width
        sheet.border_title = Text(f"Compare · {self.first} with {self.second}")
        if self.found is None or not self.found.differences:
            text, tone = (f"✘ {self.trouble}", "bad") if self.trouble else ("…", "dim")
            if self.found:
                text, tone = "Both have the same files.", "good"
            sheet.paint([line(row, tone) for row in wrap(text, width)], [])
            return
        more = " and more: only these were looked for" if self.found.more else ""
        sheet.border_subtitle = Text(f"{len(self.found.differences)} paths{more} · < first only, > second only, ≠ both")
        sheet.paint(files.differences(self.found, "", width))

    def _show_bars(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one("#header", Lines).paint([header.line(scene, None, width, read_only=app.read_only)])
        status = self.query_one("#status", Lines)
        lines = footer.status(scene, "", app.notice, width)
        status.styles.height = len(lines)
        status.paint(lines)
        self.query_one("#footer", Lines).paint([footer.keys([("c", "copy the path", True), ("Esc", "back", True)], width)])

    def action_copy(self) -> None:
        at = self.query_one(Sheet).row
        if self.found and 0 <= at < len(self.found.differences):
            path = clean(self.found.differences[at].path)
            self.longshore.copy_to_clipboard(path)
            self.longshore.say(f"copied {path}", "good")

    def action_leave(self) -> None:
        self.dismiss()
