"""The lesson: a verb stands at its gate, and goes one step with each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen

from engine.model.errors import EngineError
from engine.model.run import Move, Plan, Way
from tui.screens.dialogs import Choice, Menu
from tui.view import footer, header, lesson
from tui.view.scene import Notice, Scene
from tui.view.steps import how
from tui.view.text import shorten
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

_LEAVE = (
    Choice(None, "stay", "go on with the lesson"),
    Choice("keep", "keep it parked", "the container stays locked; t comes back to it"),
    Choice(Move.RUN, "run on", "to the end, without asking again"),
    Choice(Move.ABORT, "give up", "take everything back"),
)


class LessonScreen(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "advance('next')", "next"),
        Binding("b", "advance('back')", "back"),
        Binding("r", "advance('run')", "run to the end"),
        Binding("f", "advance('fail')", "fail this step"),
        Binding("x", "advance('abort')", "give up"),
        Binding("c", "copy", "copy the commands"),
        Binding("escape,q", "leave", "leave"),
        Binding("question_mark,f1", "help", show=False),
        Binding("colon", "app.command_palette", show=False),
    ]
    AUTO_FOCUS = "#steps"

    def __init__(self, app: LongshoreApp, plan: Plan) -> None:
        super().__init__()
        self.longshore = app
        self.plan = plan
        self.reading = lesson.coming(plan)
        """The step whose text is shown."""
        self.shown = self.reading
        """The step whose evidence is shown: the one just made, until another is looked at."""
        self.busy = False

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        with Horizontal(id="upper"):
            yield Sheet(id="steps", classes="framed", cursor=True)
            yield Sheet(id="text", classes="framed")
        with Horizontal(id="lower"):
            yield Sheet(id="before", classes="framed")
            yield Sheet(id="now", classes="framed")
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.watch(self.longshore, "scene", self._show_bars)
        self.watch(self.longshore, "notice", lambda: self._show_bars(self.longshore.scene))

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < 100, "narrow")
        self.call_after_refresh(self.show)

    # Painting

    def show(self) -> None:
        plan = self.plan
        steps, text, before, now = (self.query_one(f"#{id}", Sheet) for id in ("steps", "text", "before", "now"))
        step, seen = plan.steps[self.reading], plan.steps[self.shown]
        titles = (lesson.title(plan), step.name, f"The kernel before · {seen.name}", f"The kernel now · {seen.name}")
        for sheet, title in zip((steps, text, before, now), titles, strict=True):
            sheet.border_title = Text(shorten(title, sheet.outer_size.width - 6))
        steps.paint(*lesson.step_lines(plan, steps.inner_width))
        steps.go(self.reading)
        text.paint(lesson.text_lines(step, text.inner_width))
        before.paint(lesson.before_lines(seen, before.inner_width))
        now.paint(lesson.now_lines(seen, now.inner_width))
        self._show_bars(self.longshore.scene)

    def _show_bars(self, scene: Scene) -> None:
        app, width, id = self.longshore, self.size.width, self.plan.container
        self.query_one("#header", Lines).paint([header.line(scene, scene.row(id), width, read_only=app.read_only)])
        lines = footer.status(scene, id, app.notice, width)
        status = self.query_one("#status", Lines)
        status.styles.height = len(lines)
        status.paint(lines)
        items = [("Space", "next", self._can(Move.NEXT)), ("b", "back", self._can(Move.BACK))]
        items += [("r", "run to the end", self._can(Move.RUN)), ("f", "fail this step", self._can(Move.FAIL))]
        items += [("x", "give up", self._can(Move.ABORT)), ("c", "copy the commands", True), ("Esc", "leave", True)]
        self.query_one("#footer", Lines).paint([footer.keys(items, width)])

    def _can(self, move: Move) -> bool:
        if not self.plan.running or self.busy:
            return False
        return move in (Move.NEXT, Move.RUN) or self.plan.way is Way.FORWARD

    # Moving

    @on(Sheet.Moved, "#steps")
    def _moved(self, event: Sheet.Moved) -> None:
        self.reading = self.shown = event.row
        self.show()

    def take(self, plan: Plan) -> None:
        """Show a new state of the run."""
        self.shown = lesson.moved(plan, self.plan)
        self.plan = plan
        self.reading = lesson.coming(plan) if plan.running else self.shown
        self.show()

    def action_advance(self, move: str) -> None:
        if self._can(Move(move)):
            self._advance(Move(move))
        elif not self.plan.running:
            self.longshore.say("this run has ended; Esc leaves", "warn")
        elif not self.busy:
            self.longshore.say("the run is on its way back; Space takes the next step back, r all of them", "warn")

    @work(group="advance")
    async def _advance(self, move: Move) -> None:
        self.busy = True
        self._show_bars(self.longshore.scene)
        try:
            plan = await self.longshore.engine.advance(self.plan.container, move)
            self.longshore.notice = self._told(plan)
        except (EngineError, OSError) as error:
            plan = None
            self.longshore.notice = Notice(text=f"✘ {error}", tone="bad")
        finally:
            self.busy = False
        if plan:
            self.take(plan)
        else:
            await self._look_again()

    def _told(self, plan: Plan) -> Notice:
        if not plan.running:
            end, why = how(plan), f" ({plan.error})" if plan.error else ""
            return Notice(text=f"{lesson.said(plan)}: {end.text}{why}", tone=end.tone)
        if plan.error and plan.way is not self.plan.way:
            return Notice(text=f"✘ {plan.error}", tone="bad")
        return Notice()

    def touched(self, ids: frozenset[str]) -> None:
        """The run moved without a key: it runs on to its end, or the process ended and it unwinds."""
        if self.plan.container in ids and self.plan.running:
            self._follow()

    @work(group="follow", exclusive=True)
    async def _follow(self) -> None:
        await self._look_again()

    async def _look_again(self) -> None:
        try:
            plan = await self.longshore.engine.steps(self.plan.container)
        except (EngineError, OSError):
            # The answer to the key says it better, or the container went with its last step.
            return
        if plan.verb == self.plan.verb and plan != self.plan:
            if not plan.running:
                self.longshore.notice = self._told(plan)
            self.take(plan)

    # Leaving

    def action_copy(self) -> None:
        step = self.plan.steps[self.reading]
        self.longshore.copy_to_clipboard(lesson.copied(step))
        self.longshore.say(f"copied the commands of '{step.name}'", "good")

    def action_help(self) -> None:
        from tui.screens.help import Help

        self.longshore.push_screen(Help())

    @work(group="leave", exclusive=True)
    async def action_leave(self) -> None:
        if self.plan.running:
            question = f"{lesson.said(self.plan)} is not at its end. What becomes of it?"
            answer = cast(Move | str | None, await self.longshore.push_screen_wait(Menu("Leave the lesson", question, _LEAVE)))
            if answer is None:
                return
            if isinstance(answer, Move):
                self.longshore.finish(self.plan, answer)
        self.longshore.pop_screen()
