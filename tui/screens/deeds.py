"""The keys that change a container, and the lesson's menu: each asks the engine, and shows its `docker` command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from textual import on, work
from textual.app import SuspendNotSupported
from textual.events import Key
from textual.screen import Screen

from engine.model.errors import EngineError
from engine.model.interface import NO_PARAMS, Params
from engine.model.network import BUILT_IN, DEFAULT
from engine.model.status import FORCED, Status, Verb, allowed
from engine.model.world import ContainerRow
from tui import actions, sessions
from tui.panes.health import HealthTab
from tui.panes.processes import ProcessesTab
from tui.panes.tab import Tab
from tui.screens.bulk import Bulk
from tui.screens.dialogs import SIGNALS, Choice, Confirm, Made, Menu, NewContainer, Rename, Tell
from tui.screens.lesson import LessonScreen
from tui.undo import inverse
from tui.view import bulk
from tui.view.bulk import Item
from tui.view.docker import command, for_all
from tui.view.explain import explain
from tui.view.health import ended
from tui.view.scene import Notice

if TYPE_CHECKING:
    from tui.app import LongshoreApp

_ABOUT = {
    Verb.START: "mount, namespace, wiring, process",
    Verb.PAUSE: "the cgroup freezer",
    Verb.UNPAUSE: "thaw it",
    Verb.STOP: "signal, grace time, and all of start in reverse",
    Verb.KILL: "SIGKILL, and all of start in reverse",
    Verb.RESTART: "stop, then start",
    Verb.REMOVE: "the directories go",
}


Session = Callable[["LongshoreApp", ContainerRow, list[Key]], Awaitable[Notice]]
"""Hands the terminal over, and says how that ended."""


class Deeds(Screen[None]):
    """The half of the main screen that acts."""

    longshore: LongshoreApp
    selected: str
    marks: frozenset[str]

    @property
    def row(self) -> ContainerRow | None:
        raise NotImplementedError

    @property
    def aimed(self) -> list[ContainerRow]:
        """The marked containers; the selected one where none is marked."""
        raise NotImplementedError

    def select(self, id: str) -> None:
        raise NotImplementedError

    def may_change(self) -> bool:
        """False, and the reason is said, with `--read-only`."""
        if self.longshore.read_only:
            self.longshore.say("this dashboard is read-only: it was started with --read-only", "warn")
        return not self.longshore.read_only

    def ready(self, name: str) -> ContainerRow | None:
        """The selected container if the key may act on it now; else the reason is said."""
        action, row = actions.named(name), self.row
        if not self.may_change():
            return None
        if row is None:
            self.longshore.say("there is no container to act on; n makes one", "warn")
        elif row.lesson:
            self.longshore.say(f"{row.name} is being walked through {row.verb} step by step; t goes on with it", "warn")
        elif action.verbs and actions.verb_now(action, [row]) is None:
            self.longshore.say(f"cannot {' or '.join(action.verbs)} {row.name}: it is {row.status}", "warn")
        else:
            return row
        return None

    def action_start_stop(self) -> None:
        self._plainly("start_stop")

    def action_pause(self) -> None:
        self._plainly("pause")

    def action_restart(self) -> None:
        self._plainly("restart")

    def _plainly(self, name: str) -> None:
        """A verb that needs no question for one container; for many the plan is the question."""
        if self.marks:
            self._many(name)
        elif (row := self.ready(name)) and (verb := actions.verb_now(actions.named(name), [row])):
            self.perform(verb, row)

    def _many(self, name: str, params: Params = NO_PARAMS) -> None:
        """The plan for the marked containers."""
        if not self.may_change():
            return
        verbs, rows = actions.named(name).verbs, self.aimed
        if verb := bulk.choose(verbs, rows):
            self._plan(verb, bulk.plan(verb, rows, params), params)
        else:
            self.longshore.say(f"cannot {' or '.join(verbs)} any of the {len(rows)} marked containers as they are", "warn")

    def _plan(self, verb: Verb, items: Sequence[Item], params: Params = NO_PARAMS) -> None:
        app, names = self.longshore, [item.name for item in items if item.does]
        heading = f"{verb.capitalize()} {len(names)} of {len(items)}"
        docker = for_all(verb, names, params, app.docker)

        async def act(item: Item) -> None:
            assert item.deed
            await app.engine.do(item.deed.verb, item.deed.row.id, item.deed.params)

        def ended(done: list[Item]) -> None:
            app.done = tuple(item.deed for item in done if item.deed)

        app.push_screen(Bulk(app, heading, verb.capitalize(), items, docker, act, ended))

    @work
    async def action_remove(self) -> None:
        if self.marks:
            forced_ = any(row.status in FORCED for row in self.aimed)
            self._many("remove", {"force": True} if forced_ else NO_PARAMS)
            return
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
        row = None if self.marks else self.ready("kill")
        if row is None and not (self.marks and self.may_change()):
            return
        whom = row.name if row else f"the {len(self.marks)} marked containers"
        signal = await self.longshore.push_screen_wait(Menu("Kill", f"Which signal for {whom}?", SIGNALS))
        if signal and row:
            self.perform(Verb.KILL, row, {"signal": signal})
        elif signal:
            self._many("kill", {"signal": signal})

    def action_shell(self) -> None:
        self._join("shell", "open a shell in", sessions.shell)

    def action_attach(self) -> None:
        self._join("attach", "attach to", sessions.attach)

    def _join(self, name: str, what: str, session: Session) -> None:
        row, app = self.ready(name), self.longshore
        if row is None:
            return
        if row.status is Status.PAUSED:
            app.say(f"cannot {what} {row.name}: it is frozen, and would not answer; p thaws it", "warn")
        elif row.status is not Status.RUNNING:
            app.say(f"cannot {what} {row.name}: it is {row.status}; s starts it", "warn")
        else:
            ahead = ExitStack()
            self._talk(row, session, ahead.enter_context(app.typed.diverted()), ahead)

    @work(group="session")
    async def _talk(self, row: ContainerRow, session: Session, keys: list[Key], ahead: ExitStack) -> None:
        """`keys`: what is typed from now on is meant for the session. If none comes about, it is meant for nobody."""
        app = self.longshore
        with ahead:
            try:
                app.notice = await session(app, row, keys)
            except SuspendNotSupported:
                app.say("there is no terminal here that could be handed over", "bad")
            except (EngineError, OSError) as error:
                app.say(f"✘ {error}", "bad")

    @work
    async def action_rename(self) -> None:
        row = self.ready("rename")
        if row is None:
            return
        names = {other.name for other in self.longshore.scene.world.containers.values()}
        if name := await self.longshore.push_screen_wait(Rename(row.name, names.__contains__, self.longshore.docker)):
            self.perform(Verb.RENAME, row, {"name": name})

    def action_undo(self) -> None:
        """Take back what was done last: one at once, many with their plan."""
        if not self.may_change():
            return
        done = self.longshore.done
        back = [deed for deed in map(inverse, done) if deed]
        if not done:
            self.longshore.say("nothing was done from here yet", "warn")
        elif not back:
            what = f"{done[0].verb} of {done[0].row.name}" if len(done) == 1 else f"{done[0].verb} of {len(done)}"
            self.longshore.say(f"cannot take back the {what}: nothing undoes it", "warn")
        elif len(back) == 1:
            self.perform(*back[0])
        else:
            rows = [self.longshore.scene.row(deed.row.id) or deed.row for deed in back]
            self._plan(back[0].verb, bulk.plan(back[0].verb, rows))

    # From the tabs

    @on(HealthTab.Probe)
    @work(group="deeds")
    async def _probe(self, event: HealthTab.Probe) -> None:
        row = self.longshore.scene.row(event.id)
        if row is None or not self.may_change():
            return
        self.longshore.say(f"probing {row.name} …", "dim")
        try:
            probe = await self.longshore.engine.probe(row.id)
        except (EngineError, OSError) as error:
            self.longshore.say(f"✘ {error}", "bad")
            return
        good = probe.exit_code == 0
        self.longshore.say(f"{'✔' if good else '✘'} the probe of {row.name}: {ended(probe)}", "good" if good else "bad")

    @on(ProcessesTab.Kill)
    @work
    async def _kill_process(self, event: ProcessesTab.Kill) -> None:
        if not self.may_change():
            return
        app, process = self.longshore, event.process
        question = f"Which signal for process {process.pid}, {process.command}?"
        signal = await app.push_screen_wait(Menu("Kill one process", question, SIGNALS))
        if signal is None:
            return
        said = f"kill -{signal} {process.pid}"
        try:
            await app.engine.signal(event.id, process.pid, signal)
        except (EngineError, OSError) as error:
            app.notice = Notice(command=said, text=f"✘ {error}", tone="bad")
            return
        app.notice = Notice(command=said, text=f"✔ sent to {process.command}", tone="good")
        event.tab.touch()

    @on(Tab.Copied)
    def _copied(self, event: Tab.Copied) -> None:
        self.longshore.copy_to_clipboard(event.text)
        self.longshore.say(f"copied {event.what}", "good")

    @work
    async def action_explain(self) -> None:
        app, row = self.longshore, self.row
        if row is None:
            app.say("there is no container to explain; n makes one", "warn")
            return
        with app.typed.held():
            try:
                container = await app.engine.inspect(row.id)
            except (EngineError, OSError) as error:
                app.say(f"✘ {error}", "bad")
                return
            row = app.scene.row(row.id) or row
            app.push_screen(Tell(f"Why is {row.name} {row.status}?", explain(row, container)))

    @work
    async def action_new(self) -> None:
        await self.new()

    async def new(self, *, lesson: bool = False, image: str = "") -> bool:
        """Ask for a container, and make it; `image` is filled in. False: nothing was begun."""
        app = self.longshore
        if not self.may_change():
            return False
        world = app.scene.world
        names = {row.name for row in world.containers.values()}
        tags = sorted(tag for image in world.images.values() for tag in image.tags or (image.id,))
        networks = sorted({DEFAULT, *(n.name for n in world.networks.values())}, key=lambda name: (name in BUILT_IN, name))
        form = NewContainer(tags, names.__contains__, app.docker, networks=networks, lesson=lesson, image=image)
        made = cast(Made | None, await app.push_screen_wait(form))
        if made is None:
            return False
        if made.lesson:
            self._teach("create", "", made.params)
        else:
            self.perform(Verb.CREATE, None, made.params)
        return True

    @work(group="deeds")
    async def perform(self, verb: Verb, row: ContainerRow | None, params: Params = NO_PARAMS, back: Params = NO_PARAMS) -> None:
        """Ask the engine, and say how it went. `back`: what undo needs to know."""
        done = await self.longshore.perform(verb, row, params, back)
        if done and verb is Verb.CREATE:
            self.select(done.id)

    def _docker(self, verb: str, name: str, params: Params = NO_PARAMS) -> str:
        return command(verb, name, params, self.longshore.docker)

    @work
    async def action_lesson(self) -> None:
        row = self.row
        if row and row.lesson:
            self._resume(row.id)
            return
        if not self.may_change():
            return
        choices = [Choice(verb, str(verb), about) for verb, about in _ABOUT.items() if row and allowed(verb, row.status)]
        choices.append(Choice(Verb.CREATE, "create", "a new container, from the first directory on"))
        question = "Nothing happens before Space."
        if row:
            question = f"Which verb, step by step, for {row.name}? {question}"
        verb = cast(Verb | None, await self.longshore.push_screen_wait(Menu("Lesson", question, choices)))
        if verb is Verb.CREATE:
            await self.new(lesson=True)
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
    async def _resume(self, id: str) -> None:
        """Go on with a lesson on a container or a network that was left parked."""
        with self.longshore.typed.held():
            try:
                plan = await self.longshore.engine.steps(id)
            except (EngineError, OSError) as error:
                self.longshore.say(f"✘ {error}", "bad")
                return
            self.longshore.push_screen(LessonScreen(self.longshore, plan))

    def action_copy(self) -> None:
        app = self.longshore
        text = app.notice.command or (self._docker("inspect", self.row.name) if self.row else f"{app.docker} ps -a")
        app.copy_to_clipboard(text)
        app.notice = Notice(text="copied", tone="good", command=text)
