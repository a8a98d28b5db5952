"""Why can A not reach B? Two ends and a port to fill in, and the path between them with the first thing that stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Label

from engine.model.errors import EngineError
from engine.model.reach import Verdict
from tui.view import footer, header, why
from tui.view.scene import Scene
from tui.view.text import line, wrap
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

FIELDS = (
    ("from", "From", "container, host, outside, address"),
    ("to", "To", "the same, or a name"),
    ("port", "Port", "53/udp; none: ping"),
)
KEYS = (("Enter", "ask", True), ("r", "ask again", True), ("x", "turn round", True), ("c", "copy", True), ("Esc", "back", True))
HELP = "Enter asks. The path is followed in the kernel's state and really tried, which takes a second or two."


class WhyScreen(Screen[None]):
    """`source`, `target`, `port`: what is filled in to begin with. With both ends it asks at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", show=False),
        Binding("q", "leave", "back", show=False),
        Binding("r", "ask", "ask again", show=False),
        Binding("x", "turn", "the other way round", show=False),
        Binding("c", "copy", "copy the path", show=False),
        Binding("e,slash", "edit", "change the ends", show=False),
        Binding("colon", "app.command_palette", show=False),
    ]

    def __init__(self, app: LongshoreApp, source: str = "", target: str = "", port: str = "") -> None:
        super().__init__()
        self.longshore = app
        self.given = {"from": source, "to": target, "port": port}
        self.verdict: Verdict | None = None
        self.trouble = ""
        self.asking = False

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        names = sorted(row.name for row in self.longshore.scene.world.containers.values())
        ends = SuggestFromList([*names, *why.PLACES], case_sensitive=True)
        with Horizontal(id="ends"):
            for id, label, hint in FIELDS:
                yield Label(label)
                suggester = ends if id != "port" else None
                yield Input(self.given[id], placeholder=hint, id=id, compact=True, suggester=suggester)
        yield Sheet(id="hops", classes="framed")
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.watch(self.longshore, "scene", self._show_bars)
        self.watch(self.longshore, "notice", lambda: self._show_bars(self.longshore.scene))
        if self.given["from"] and self.given["to"]:
            self.action_ask()
        else:
            self.query_one("#to" if self.given["from"] else "#from").focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    # Asking

    def text(self, id: str) -> str:
        return self.query_one(f"#{id}", Input).value.strip()

    @on(Input.Submitted)
    def action_ask(self) -> None:
        """Ask with what is filled in; the first empty end is asked for instead."""
        empty = next((id for id in ("from", "to") if not self.text(id)), "")
        if empty:
            self.query_one(f"#{empty}").focus()
            return
        self.query_one(Sheet).focus()
        self.run_worker(self._ask(), group="ask", exclusive=True)

    async def _ask(self) -> None:
        self.asking = True
        self.show()
        try:
            port, protocol = why.port(self.text("port"))
            self.verdict = await self.longshore.engine.why(self.text("from"), self.text("to"), port, protocol)
            self.trouble = ""
        except (EngineError, OSError) as error:
            self.verdict, self.trouble = None, str(error)
        self.asking = False
        self.show()

    # Painting

    def show(self) -> None:
        if not self.query("#footer"):
            return  # the screen was left before the answer came
        sheet = self.query_one(Sheet)
        width = sheet.inner_width
        sheet.border_title = Text("Why can it not be reached?")
        sheet.border_subtitle = Text("asking …" if self.asking else why.took(self.verdict) if self.verdict else "")
        if self.verdict:
            sheet.paint(why.lines(self.verdict, width))
        else:
            text, tone = (f"✘ {self.trouble}", "bad") if self.trouble else (HELP, "dim")
            sheet.paint([line(row, tone) for row in wrap(text, width)])

    def _show_bars(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one("#header", Lines).paint([header.line(scene, None, width, read_only=app.read_only)])
        status = self.query_one("#status", Lines)
        lines = footer.status(scene, "", app.notice, width)
        status.styles.height = len(lines)
        status.paint(lines)
        self.query_one("#footer", Lines).paint([footer.keys(KEYS, width)])

    # Keys

    def action_turn(self) -> None:
        """Ask the other way round."""
        source, target = self.query_one("#from", Input), self.query_one("#to", Input)
        source.value, target.value = target.value, source.value
        self.action_ask()

    def action_edit(self) -> None:
        self.query_one("#from").focus()

    def action_copy(self) -> None:
        if self.verdict:
            self.longshore.copy_to_clipboard("\n".join(why.plain(self.verdict)))
            self.longshore.say("copied the path", "good")

    def action_back(self) -> None:
        """From a field to the path, and from there to where one came from."""
        if isinstance(self.focused, Input) and self.verdict:
            self.query_one(Sheet).focus()
        else:
            self.dismiss()

    def action_leave(self) -> None:
        self.dismiss()
