"""The engine: resolves names, asks the transition table, runs operations one at a time for each container.

Operations belong to the engine, not to the request that asked: a client that vanishes cancels nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from signal import SIGKILL, SIGTERM
from typing import Any, TypeVar

from engine.events import Events
from engine.flow.hub import Hub
from engine.flow.ledger import Ledger
from engine.flow.runner import Runner
from engine.flow.step import Operation
from engine.host import Freeze, Host, within
from engine.lesson import Lesson, lay_out
from engine.model.container import Container, from_disk, to_disk
from engine.model.errors import AlreadySo, Conflict, EngineError, Invalid, NotFound
from engine.model.frames import Changed, Frame, Gone, ImagesChanged, StepMoved
from engine.model.image import Image
from engine.model.interface import NO_PARAMS, Done, LogLine, Params
from engine.model.run import Move, Plan, Run
from engine.model.status import Status, Verb
from engine.model.world import ContainerRow
from engine.networks import Networks
from engine.operations.create import create, identify, settle
from engine.operations.exited import exited
from engine.operations.kill import kill
from engine.operations.pause import pause
from engine.operations.remove import remove
from engine.operations.start import start
from engine.operations.stop import grace, stop
from engine.operations.unpause import unpause
from engine.spec.happened import happened
from engine.spec.legality import check, check_condition, find, refuse
from engine.spec.rows import container_row, image_row, network_name
from engine.spec.signals import parse_signal
from engine.steps.task import ConnectOutput

log = logging.getLogger(__name__)
T = TypeVar("T")

GOODBYE_SECONDS = 15.0
"""How long an ending engine waits when none of its operations gets anywhere."""


class Engine:
    """What `longshored` is, without the socket. Implements `EngineInterface`."""

    def __init__(self, host: Host, networks: Networks) -> None:
        self.host, self.networks = host, networks
        self.hub = Hub()
        self.events = Events()
        self.ledger: Ledger[Container] = Ledger(host.records, "containers", to_disk, from_disk)
        self.runner: Runner[Host, Container] = Runner(host, self.ledger, host.clock)
        self.freezers: dict[str, Freeze] = {}
        self.missing: dict[str, tuple[str, ...]] = {}
        self.lessons: dict[str, Lesson] = {}
        self.on_shutdown: Callable[[bool], None] = lambda containers: None
        """Asked by a client to end; True: and to end the containers first. Set by whoever holds the process."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self.ledger.listen(self._tell)
        self.ledger.listen_moves(self._tell_move)

    # --- starting up -------------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Load every record, then take up what a dead engine left open, all records side by side."""
        await self.ledger.load()
        for c in self.ledger.records.values():
            self.publish(c)
        await self.refresh_images()
        await asyncio.gather(*(self.spawn(self._recover(id)) for id in list(self.ledger.records)))

    async def _recover(self, id: str) -> None:
        async with self.ledger.lock(id):
            c = self.ledger.records[id]
            try:
                await self._connect_output(c)
                if c.run and c.run.open:
                    c = await self.runner.resume(c)
                await self._adopt(c)
            except EngineError as error:
                log.warning("cannot recover %s: %s", c.name, error)
            except Exception:  # one container's trouble must not keep the engine from the others
                log.exception("cannot recover %s", c.name)
        self._after(Verb.EXITED, id)

    async def _connect_output(self, c: Container) -> None:
        """Copy what the process says, or has said, before its task can be deleted: the shim waits only 2 s for a reader."""
        if ConnectOutput.__name__ in c.held and await self.host.tasks.look(c.id):
            await self.host.stdio.make(c.id, self.host.stdio.log_path(c.id))

    async def _adopt(self, c: Container) -> None:
        """Take over a container that a former engine started: its process, its output, its freezer."""
        if c.id not in self.ledger.records or not c.state.status.alive:
            return
        task = await self.host.tasks.look(c.id)
        if task is None or task.status == "stopped":
            await self.runner.run(exited(c), c)
            return
        await self.host.tasks.adopt(c.id)

    async def end_all(self) -> None:
        """Stop every container, as its own stop signal and grace time say."""
        alive = [c for c in self.ledger.records.values() if c.state.status.alive]
        await asyncio.gather(*(self.quietly(Verb.STOP, c.id) for c in alive))

    async def close(self) -> None:
        """Let every operation come to its end; lessons unwind. What only waits is left to the next engine."""
        for lesson in list(self.lessons.values()):
            lesson.leave()
        while self._tasks:
            done, _ = await asyncio.wait(set(self._tasks), timeout=GOODBYE_SECONDS)
            if not done:
                log.warning("%d operations are not over; the next engine takes them up", len(self._tasks))
                return

    # --- the interface -----------------------------------------------------------------------------------------------

    def watch(self) -> AsyncIterator[Frame]:
        return self.hub.watch()

    async def do(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Done:
        verb = _verb(verb, params)
        if verb is Verb.CREATE:
            c = await self._new(params)
        else:
            c = self.resolve(target)
            if verb in (Verb.STOP, Verb.KILL) or (verb is Verb.REMOVE and params.get("force")):
                if await self._join(verb, c, params) and verb is Verb.KILL:
                    return Done(id=c.id)
            elif c.id in self.lessons:
                raise Conflict(f"cannot {verb} {c.name}: it is being walked through step by step", "wait for the lesson to end")
        await self._owned(self._run(verb, c.id, params))
        return Done(id=c.id, warnings=c.warnings if verb is Verb.CREATE else ())

    async def plan(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        verb = _verb(verb, params)
        if verb is Verb.CREATE:
            c = identify(await settle(self.host, params), self.ledger.records.values(), params)
            operation = create(c)
        else:
            c, operation = self._decide(verb, self.resolve(target), params)
        rows = tuple(step.row(c) for step in operation.steps)
        return await lay_out(self.host, c, Run(verb=verb, rows=rows, began=self.host.clock.now()))

    async def begin(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        verb = _verb(verb, params)
        c = await self._new(params) if verb is Verb.CREATE else self.resolve(target)
        if c.id in self.lessons:
            raise Conflict(f"cannot {verb} {c.name}: it is being walked through step by step", "end that lesson first")
        lesson = self.lessons[c.id] = Lesson(self.host, c)
        lesson.task = self.spawn(self._run(verb, c.id, params, lesson))
        return await lesson.plan()

    async def advance(self, target: str, move: Move) -> Plan:
        c = self.resolve(target)
        lesson = self.lessons.get(c.id)
        if lesson is None:
            raise Conflict(f"cannot take a step with {c.name}: no lesson is under way", "begin one")
        lesson.move(move)
        return await lesson.plan()

    async def steps(self, target: str) -> Plan:
        c = self.resolve(target)
        lesson = self.lessons.get(c.id)
        return await lay_out(self.host, c, c.run, lesson, running=_moving(c))

    async def inspect(self, target: str) -> Container:
        return self.resolve(target)

    async def containers(self) -> list[ContainerRow]:
        return sorted(self.hub.world.containers.values(), key=lambda row: row.created, reverse=True)

    async def images(self) -> list[Image]:
        return await self.host.images.load_all()

    async def wait(self, target: str, condition: str = "not-running") -> int:
        check_condition(condition)
        c = self.resolve(target)
        finished, code = c.state.finished_at, c.state.exit_code
        while True:
            now = self.ledger.get(c.id)
            code = now.state.exit_code if now else code
            if now is None or (condition == "not-running" and _settled(now)):
                return code
            if condition == "next-exit" and _settled(now) and now.state.finished_at != finished:
                return code
            await self._change()

    async def logs(self, target: str, *, follow: bool = False, tail: int | None = None) -> AsyncIterator[LogLine]:
        c = self.resolve(target)
        async for line in self.host.stdio.read(c.id, follow=follow and c.status.alive, tail=tail):
            yield line

    # --- inside ------------------------------------------------------------------------------------------------------

    def resolve(self, target: str) -> Container:
        """A container by full id, exact name, or a prefix that fits one id only. Raises `NotFound`, `Invalid`."""
        return find(target, self.ledger.records)

    async def _new(self, params: Params) -> Container:
        """A record for a container to be created. Its name is looked up and taken in one tick."""
        settled = await settle(self.host, params)
        c = identify(settled, self.ledger.records.values(), params)
        self.ledger.claim(c)
        return c

    def _decide(self, verb: Verb, c: Container, params: Params) -> tuple[Container, Operation[Host, Container]]:
        """Ask the table, then decide all that the steps need to know."""
        refuse(verb, c, forced=bool(params.get("force")))
        match verb:
            case Verb.CREATE:
                return c, create(c)
            case Verb.START:
                c = self.networks.wire(c, self.ledger.records.values())
                return c, start(c)
            case Verb.STOP:
                signal = params.get("signal") or c.config.stop_signal
                return c, stop(c, parse_signal(signal) if signal else SIGTERM, grace(c, params))
            case Verb.KILL:
                signal = parse_signal(params.get("signal") or "SIGKILL")
                own = c.config.stop_signal
                return c, kill(c, signal, is_stop_signal=not own or signal == parse_signal(own))
            case Verb.PAUSE:
                return c, pause(c)
            case Verb.UNPAUSE:
                return c, unpause(c)
            case Verb.REMOVE:
                return c, remove(c)
            case Verb.EXITED:
                if (pid := params.get("pid")) and pid != c.state.pid:
                    raise AlreadySo(f"{c.name} stands by another process by now")
                return c, exited(c)

    async def _owned(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work that goes on when whoever asked for it has gone."""
        return await asyncio.shield(self.spawn(work))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        """A task is over. Whoever asked may be gone: the record tells of what failed, the log of a defect."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, EngineError):
            log.error("a defect of the engine: %s", error, exc_info=error)

    async def _run(self, verb: Verb, id: str, params: Params, lesson: Lesson | None = None) -> None:
        """One operation under the record's lock."""
        async with self.ledger.lock(id):
            c = self.ledger.get(id)
            try:
                if c is None:
                    raise NotFound(f"No such container: {id[:12]}")
                if verb is Verb.START and network_name(c) != "none":
                    await self.networks.mend()
                c, operation = self._decide(verb, c, params)
                self.networks.claim(c)
                if lesson:
                    lesson.steps = operation.steps
                await self.runner.run(operation, c, lesson)
            finally:
                self.networks.release(id)
                if lesson:
                    del self.lessons[id]
                self._after(verb, id)

    def _after(self, verb: Verb, id: str) -> None:
        """A container made with `--rm` goes when it has ended, and when it could not be started."""
        c = self.ledger.get(id)
        if c is None or not c.host_config.auto_remove or c.status.alive or c.status is Status.CREATING:
            return
        if verb is Verb.START or c.has_been_started_before:
            self.spawn(self.quietly(Verb.REMOVE, id, {"force": True}))

    async def quietly(self, verb: Verb, id: str, params: Params = NO_PARAMS) -> None:
        """An operation nobody asked for: what stops it is logged, not raised."""
        try:
            await self._run(verb, id, params)
        except (AlreadySo, NotFound) as error:
            log.debug("%s", error)
        except EngineError as error:
            log.warning("%s", error)

    async def ended(self, id: str, pid: int) -> None:
        """The process of a container has ended. `pid` 0: whichever it was."""
        lesson = self.lessons.get(id)
        if lesson and lesson.can_unwind:
            lesson.leave()
        await self.quietly(Verb.EXITED, id, {"pid": pid})

    async def _join(self, verb: Verb, c: Container, params: Params) -> bool:
        """End what only waits: a lesson is left, a stop's grace time is cut short. True when a stop was helped to its end."""
        lesson = self.lessons.get(c.id)
        if lesson:
            lesson.leave()
        if not (_moving(c) and c.run and c.run.verb == Verb.STOP):
            return False
        if verb is Verb.STOP:
            seconds = grace(c, params)
            await within(seconds if seconds >= 0 else FOREVER, self._idle(c.id))
        signal = parse_signal(params.get("signal") or "SIGKILL") if verb is Verb.KILL else SIGKILL
        now = self.ledger.get(c.id)
        if now and now.run and now.run.open:
            with suppress(NotFound):
                await self.host.tasks.kill(c.id, signal)
        if verb is Verb.KILL and signal == SIGKILL:
            await self._idle(c.id)
        return True

    async def _idle(self, id: str) -> None:
        while (c := self.ledger.get(id)) and _moving(c):
            await self._change()

    async def _change(self) -> None:
        """Wait until some record has changed."""
        await self._changed.wait()

    # --- telling -----------------------------------------------------------------------------------------------------

    def publish(self, c: Container) -> None:
        """Tell of a container as it is now; whoever looked at the kernel for it may hold an older record."""
        now = self.ledger.told(c.id)
        if now is None:
            self._gone(c.id)
            return
        row = container_row(now, self.freezers.get(c.id), self.missing.get(c.id, ()))
        if self.hub.world.containers.get(c.id) != row:
            self.hub.publish(Changed(row=row))

    def _gone(self, id: str) -> None:
        self.freezers.pop(id, None)
        self.missing.pop(id, None)
        if id in self.hub.world.containers:
            self.hub.publish(Gone(id=id))

    async def refresh_images(self) -> None:
        self.hub.publish(ImagesChanged(images={image.id: image_row(image) for image in await self.images()}))

    def _tell(self, before: Container | None, after: Container | None) -> None:
        for event in happened(before, after):
            self.events.publish(event.type, event.action, event.id, event.attributes)
        if after:
            if before and before.state.status is not after.state.status:
                self.freezers.pop(after.id, None)  # read before the change: it would look like somebody else's doing
            self.publish(after)
        elif before:
            self._gone(before.id)
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell_move(self, c: Container, at: int) -> None:
        assert c.run
        row = c.run.rows[at]
        lesson = self.lessons.get(c.id)
        if lesson:
            lesson.last = c
        self.hub.publish(
            StepMoved(id=c.id, verb=c.run.verb, at=at, of=len(c.run.rows), title=row.title, mark=row.mark, ms=row.ms)
        )


FOREVER = 1e9

ASKED = tuple(verb for verb in Verb if verb is not Verb.EXITED)
"""The verbs somebody can ask for. That a process has ended only the kernel says."""


def _verb(word: str, params: Params) -> Verb:
    if word not in ASKED:
        raise Invalid(f"there is no verb {word!r}", f"take one of {', '.join(ASKED)}")
    check(Verb(word), params)
    return Verb(word)


def _settled(c: Container) -> bool:
    """Neither running nor on its way down."""
    return not c.status.alive and not _moving(c)


def _moving(c: Container) -> bool:
    return c.run is not None and c.run.moving
