"""The events as they happen: filter, hold, and jump to the container."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events as keys
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from engine.model.errors import EngineError
from engine.model.events import Message
from tui.feed import PAINT_SECONDS, RETRY_SECONDS, now
from tui.view import events, footer, header
from tui.view.scene import Scene
from tui.view.text import line, wrap
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

KEPT = 2000
"""Events that can be scrolled back to."""


class EventsScreen(Screen[str]):
    """Dismissed with the id of the container to go to, or empty."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", show=False),
        Binding("q,E", "leave", "leave", show=False),
        Binding("slash", "filter", "filter", show=False),
        Binding("exclamation_mark", "hold", "hold", show=False),
        Binding("x", "execs", "commands inside", show=False),
        Binding("enter", "jump", "go to the container", show=False),
        Binding("colon", "app.command_palette", show=False),
    ]
    AUTO_FOCUS = "#events"

    def __init__(self, app: LongshoreApp) -> None:
        super().__init__()
        self.longshore = app
        self.messages: deque[Message] = deque(maxlen=KEPT)
        self.shown: list[Message] = []
        self.query_text = self.trouble = ""
        self.execs = self.held = self.follow = False
        self._due = False

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        yield Sheet(id="events", classes="framed", cursor=True)
        yield Input(id="filter", placeholder="name, action, image …; Enter keeps, Esc clears", compact=True)
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.follow = True
        self.query_one("#filter").display = False
        self.watch(self.longshore, "scene", self._show_bars)
        self.watch(self.longshore, "notice", lambda: self._show_bars(self.longshore.scene))
        self.run_worker(self._read())

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    @property
    def sheet(self) -> Sheet:
        return self.query_one("#events", Sheet)

    # The stream

    async def _read(self) -> None:
        """Everything the engine still knows of, then what happens. A lost engine is asked again from where we were."""
        tries, since = 0, "1"
        while True:
            try:
                async for message in self.longshore.engine.events(since=since):
                    tries, self.trouble = 0, ""
                    since = f"{(message.time_nano + 1) // 10**9}.{(message.time_nano + 1) % 10**9:09}"
                    self.messages.append(message)
                    self._soon()
                reason = "the engine ended the stream"
            except (EngineError, OSError) as error:
                reason = str(error)
            delay = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
            tries += 1
            self.trouble = f"{reason}; next try {now().astimezone() + timedelta(seconds=delay):%H:%M:%S}"
            self._soon()
            await asyncio.sleep(delay)

    def _soon(self) -> None:
        """Paint at most every 100 ms."""
        if not self._due:
            self._due = True
            self.set_timer(PAINT_SECONDS, self.show)

    # Painting

    def show(self) -> None:
        self._due = False
        self._show_bars(self.longshore.scene)
        if self.held:
            return
        sheet = self.sheet
        under = self.shown[sheet.row] if sheet.row < len(self.shown) else None
        self.shown = events.seen(self.messages, self.query_text, execs=self.execs)
        width = sheet.inner_width
        parts = [f"{len(self.shown)} of {len(self.messages)}"]
        parts += [f"filter: {self.query_text}"] if self.query_text else []
        sheet.border_title = Text(f"Events · {' · '.join(parts)}")
        if self.trouble:
            sheet.border_subtitle = Text(f"✘ {self.trouble}")
        else:
            sheet.border_subtitle = Text("" if self.execs else "commands run inside are not shown, x shows them")
        if not self.shown:
            sheet.paint([line(row, "dim") for row in wrap(events.EMPTY, width)], [])
            return
        names = {row.id: row.name for row in self.longshore.scene.world.containers.values()}
        sheet.paint([events.body(message, width, names) for message in self.shown])
        last = len(self.shown) - 1
        sheet.go(last if self.follow else next((n for n, m in enumerate(self.shown) if m is under), last))

    def _show_bars(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one("#header", Lines).paint([header.line(scene, None, width, read_only=app.read_only)])
        lines = footer.status(scene, "", app.notice, width)
        status = self.query_one("#status", Lines)
        status.styles.height = len(lines)
        status.paint(lines)
        hold = "go on" if self.held else "hold"
        items = [("/", "filter", True), ("!", hold, True), ("x", "commands inside", True), ("G", "follow", not self.follow)]
        items += [("Enter", "go to the container", bool(self._container())), ("Esc", "back", True)]
        self.query_one("#footer", Lines).paint([footer.keys(items, width)])

    # Keys

    @on(Sheet.Moved, "#events")
    def _moved(self, event: Sheet.Moved) -> None:
        self.follow = event.row == len(self.shown) - 1
        self._show_bars(self.longshore.scene)

    def _container(self) -> str:
        """The id of the container under the cursor, if it is still there."""
        row = self.sheet.row
        message = self.shown[row] if 0 <= row < len(self.shown) else None
        there = message is not None and message.actor.id in self.longshore.scene.world.containers
        return message.actor.id if message and there else ""

    def action_jump(self) -> None:
        if id := self._container():
            self.dismiss(id)
        elif self.shown:
            self.longshore.say("it is no container, or it is gone", "warn")

    @on(Sheet.Opened)
    def _opened(self) -> None:
        self.action_jump()

    def action_hold(self) -> None:
        self.held = not self.held
        self.show()

    def action_execs(self) -> None:
        self.execs = not self.execs
        self.show()

    def action_leave(self) -> None:
        self.dismiss("")

    def action_back(self) -> None:
        """The message first, then the filter, then the screen."""
        if self.query_text:
            self._filter("")
            self.query_one("#filter", Input).value = ""
        else:
            self.dismiss("")

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def key_escape(self, event: keys.Key) -> None:
        field = self.query_one("#filter", Input)
        if field.has_focus:
            event.stop()
            field.value = ""
            self._filtered()

    @on(Input.Changed, "#filter")
    def _filtering(self, event: Input.Changed) -> None:
        self._filter(event.value)

    @on(Input.Submitted, "#filter")
    def _filtered(self) -> None:
        self.sheet.focus()
        self.query_one("#filter").display = False

    def _filter(self, text: str) -> None:
        self.query_text = text
        self.show()
