"""The keys that change a container, and the lesson's menu: each asks the engine, and shows its `docker` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import work
from textual.screen import Screen

from engine.model.errors import EngineError
from engine.model.interface import NO_PARAMS, Params
from engine.model.status import FORCED, Verb, allowed
from engine.model.world import ContainerRow
from tui import actions
from tui.screens.dialogs import SIGNALS, Choice, Confirm, Made, Menu, NewContainer
from tui.screens.lesson import LessonScreen
from tui.view.docker import command
from tui.view.scene import Notice

if TYPE_CHECKING:
    from tui.app import LongshoreApp

_ABOUT = {
    Verb.START: "mount, namespace, wiring, process",
    Verb.PAUSE: "the cgroup freezer",
    Verb.UNPAUSE: "thaw it",
    Verb.STOP: "signal, grace time, and all of start in reverse",
    Verb.KILL: "SIGKILL, and all of start in reverse",
    Verb.REMOVE: "the directories go",
}


class Deeds(Screen[None]):
    """The half of the main screen that acts."""

    longshore: LongshoreApp
    selected: str

    @property
    def row(self) -> ContainerRow | None:
        raise NotImplementedError

    def select(self, id: str) -> None:
        raise NotImplementedError

    def ready(self, name: str) -> ContainerRow | None:
        """The selected container if the key may act on it now; else the reason is said."""
        action = next(a for a in actions.ACTIONS if a.name == name)
        row = self.row
        if self.longshore.read_only:
            self.longshore.say("this dashboard is read-only: it was started with --read-only", "warn")
        elif row is None:
            self.longshore.say("there is no container to act on; n makes one", "warn")
        elif row.lesson:
            self.longshore.say(f"{row.name} is being walked through {row.verb} step by step; t goes on with it", "warn")
        elif action.verbs and actions.verb_now(action, row) is None:
            self.longshore.say(f"cannot {' or '.join(action.verbs)} {row.name}: it is {row.status}", "warn")
        else:
            return row
        return None

    def action_start_stop(self) -> None:
        self._plainly("start_stop")

    def action_pause(self) -> None:
        self._plainly("pause")

    def _plainly(self, name: str) -> None:
        """A verb that needs no question."""
        action = next(a for a in actions.ACTIONS if a.name == name)
        if (row := self.ready(name)) and (verb := actions.verb_now(action, row)):
            self.perform(verb, row)

    @work
    async def action_remove(self) -> None:
        row = self.ready("remove")
        if row is None:
            return
        forced = row.status in FORCED
        params: Params = {"force": True} if forced else NO_PARAMS
        question = f"{row.name} is {row.status}. Remove it by force, killing its process?" if forced else f"Remove {row.name}?"
        lost = " Its writable layer goes, and nothing can bring it back."
        docker = self._docker("remove", row.name, params)
        dialog = Confirm("Remove", question + lost, "Remove by force" if forced else "Remove", docker)
        if await self.longshore.push_screen_wait(dialog):
            self.perform(Verb.REMOVE, row, params)

    @work
    async def action_kill(self) -> None:
        row = self.ready("kill")
        if row and (signal := await self.longshore.push_screen_wait(Menu("Kill", f"Which signal for {row.name}?", SIGNALS))):
            self.perform(Verb.KILL, row, {"signal": signal})

    @work
    async def action_new(self) -> None:
        await self._new(lesson=False)

    async def _new(self, *, lesson: bool) -> None:
        app = self.longshore
        if app.read_only:
            app.say("this dashboard is read-only: it was started with --read-only", "warn")
            return
        world = app.scene.world
        names = {row.name for row in world.containers.values()}
        tags = sorted(tag for image in world.images.values() for tag in image.tags or (image.id,))
        made = cast(Made | None, await app.push_screen_wait(NewContainer(tags, names.__contains__, app.docker, lesson=lesson)))
        if made is None:
            return
        if made.lesson:
            self._teach("create", "", made.params)
        else:
            self.perform(Verb.CREATE, None, made.params)

    @work(group="deeds")
    async def perform(self, verb: Verb, row: ContainerRow | None, params: Params = NO_PARAMS) -> None:
        """Ask the engine, and say how it went."""
        done = await self.longshore.perform(verb, row, params)
        if done and verb is Verb.CREATE:
            self.select(done.id)

    def _docker(self, verb: str, name: str, params: Params = NO_PARAMS) -> str:
        return command(verb, name, params, self.longshore.docker)

    @work
    async def action_lesson(self) -> None:
        row = self.row
        if row and row.lesson:
            self._resume(row)
            return
        if self.longshore.read_only:
            self.ready("lesson")
            return
        choices = [Choice(verb, str(verb), about) for verb, about in _ABOUT.items() if row and allowed(verb, row.status)]
        choices.append(Choice(Verb.CREATE, "create", "a new container, from the first directory on"))
        question = "Nothing happens before Space."
        if row:
            question = f"Which verb, step by step, for {row.name}? {question}"
        verb = cast(Verb | None, await self.longshore.push_screen_wait(Menu("Lesson", question, choices)))
        if verb is Verb.CREATE:
            await self._new(lesson=True)
        elif verb and row:
            forced: Params = {"force": True} if verb is Verb.REMOVE and row.status in FORCED else NO_PARAMS
            self._teach(verb, row.id, {"signal": "KILL"} if verb is Verb.KILL else forced)

    @work(group="lesson")
    async def _teach(self, verb: str, target: str, params: Params) -> None:
        """Begin a lesson and show it."""
        with self.longshore.typed.held():
            try:
                plan = await self.longshore.engine.begin(verb, target, params)
            except (EngineError, OSError) as error:
                self.longshore.say(f"✘ {error}", "bad")
                return
            self.longshore.notice = Notice()
            self.select(plan.container)
            self.longshore.push_screen(LessonScreen(self.longshore, plan))

    @work(group="lesson")
    async def _resume(self, row: ContainerRow) -> None:
        """Go on with a lesson that was left parked."""
        with self.longshore.typed.held():
            try:
                plan = await self.longshore.engine.steps(row.id)
            except (EngineError, OSError) as error:
                self.longshore.say(f"✘ {error}", "bad")
                return
            self.longshore.push_screen(LessonScreen(self.longshore, plan))

    def action_copy(self) -> None:
        app = self.longshore
        text = app.notice.command or (self._docker("inspect", self.row.name) if self.row else f"{app.docker} ps -a")
        app.copy_to_clipboard(text)
        app.notice = Notice(text="copied", tone="good", command=text)
