"""A cable from end to end, or a network with all that is on it, looked at again for as long as it is shown."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.model.errors import EngineError
from engine.model.wiring import Cable
from tui.view import footer, header, wire
from tui.view.scene import Scene
from tui.view.text import Line, line, shorten, wrap
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

SECONDS = 1.0
"""Between two looks."""


class Look(Screen[None]):
    """What is fetched and shown differs; how it is kept fresh does not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        Binding("c", "copy", "copy the commands", show=False),
        Binding("question_mark,f1", "help", show=False),
        Binding("colon", "app.command_palette", show=False),
    ]
    AUTO_FOCUS = "#look"

    def __init__(self, app: LongshoreApp, heading: str) -> None:
        super().__init__()
        self.longshore, self.heading = app, heading
        self.trouble = ""

    async def fetch(self) -> None:
        raise NotImplementedError

    def draw(self, width: int) -> list[Line]:
        """What was fetched; empty before."""
        raise NotImplementedError

    def commands(self) -> str:
        """What is copied; empty: nothing yet."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        yield Sheet(id="look", classes="framed")
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.watch(self.longshore, "scene", self._show_bars)
        self.watch(self.longshore, "notice", lambda: self._show_bars(self.longshore.scene))
        self.run_worker(self._follow())

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    async def _follow(self) -> None:
        while True:
            if self.is_current and not self.longshore.scene.held:
                try:
                    await self.fetch()
                    self.trouble = ""
                except (EngineError, OSError) as error:
                    self.trouble = str(error)
                self.show()
            await asyncio.sleep(SECONDS)

    def show(self) -> None:
        if not self.query("#footer"):
            return  # the screen was left before the answer came
        sheet = self.query_one(Sheet)
        width = sheet.inner_width
        sheet.border_title = Text(shorten(self.heading, sheet.outer_size.width - 6))
        told = [line(row, "bad") for row in wrap(f"✘ {self.trouble}", width)] if self.trouble else []
        sheet.paint([*told, *self.draw(width)] or [line("…", "dim")])
        self._show_bars(self.longshore.scene)

    def _show_bars(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one("#header", Lines).paint([header.line(scene, None, width, read_only=app.read_only)])
        status = self.query_one("#status", Lines)
        lines = footer.status(scene, "", app.notice, width)
        status.styles.height = len(lines)
        status.paint(lines)
        items = [("c", "copy the commands", bool(self.commands())), ("j k", "scroll", True), ("Esc", "back", True)]
        self.query_one("#footer", Lines).paint([footer.keys(items, width)])

    def action_copy(self) -> None:
        if text := self.commands():
            self.longshore.copy_to_clipboard(text)
            self.longshore.say("copied the commands", "good")

    def action_help(self) -> None:
        from tui.screens.help import Help

        self.longshore.push_screen(Help())

    def action_leave(self) -> None:
        self.dismiss()


class WireScreen(Look):
    """The cable of a container, given by its id, into a network."""

    def __init__(self, app: LongshoreApp, id: str, name: str, network: str) -> None:
        super().__init__(app, f"Cable · {name} on {network}")
        self.target, self.network = id, network
        self.found: tuple[float, Cable] | None = None
        self.before: tuple[float, Cable] | None = None

    async def fetch(self) -> None:
        fresh = await self.longshore.engine.cable(self.target, self.network)
        self.before, self.found = self.found, (time.monotonic(), fresh)

    def draw(self, width: int) -> list[Line]:
        if self.found is None:
            return []
        when, cable = self.found
        then, before = self.before or (when, None)
        return wire.cable(cable, before, when - then, width)

    def commands(self) -> str:
        return "\n".join(wire.commands(self.found[1])) if self.found else ""


class NetworkScreen(Look):
    def __init__(self, app: LongshoreApp, network: str) -> None:
        super().__init__(app, f"Network · {network}")
        self.network = network
        self.found: dict[str, Any] | None = None

    async def fetch(self) -> None:
        self.found = await self.longshore.engine.network_json(self.network)

    def draw(self, width: int) -> list[Line]:
        return wire.network(self.found, width) if self.found else []

    def commands(self) -> str:
        return f"{self.longshore.docker} network inspect {self.network}"
