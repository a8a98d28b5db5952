"""The engine: resolves names, asks the transition table, runs operations one at a time for each container.

Operations belong to the engine, not to the request that asked: a client that vanishes cancels nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from datetime import datetime
from functools import partial
from signal import SIGKILL
from typing import Any, TypeVar

from engine.defaults import DEFAULTS, Defaults
from engine.events import Events
from engine.flow.hub import Hub
from engine.flow.ledger import Ledger
from engine.flow.runner import Runner
from engine.flow.step import Operation
from engine.host import Freeze, Host, LogQuery, within
from engine.images.commit import Commits
from engine.images.imports import Imports
from engine.images.pull import Pulls
from engine.images.push import Pushes
from engine.images.upkeep import Upkeep
from engine.lesson import Lesson, lay_out
from engine.model.container import Container, Probe, from_disk, to_disk
from engine.model.errors import AlreadySo, Conflict, EngineError, Invalid, NotFound
from engine.model.frames import Changed, Frame, Gone, ImagesChanged, StepMoved
from engine.model.image import Image
from engine.model.interface import NO_PARAMS, Done, LogLine, Params, Top
from engine.model.run import Move, Plan, Run, Way
from engine.model.status import NetworkVerb, Status, Verb
from engine.model.world import ContainerRow
from engine.names import Directory
from engine.network_verbs import NetworkVerbs
from engine.networks import Networks
from engine.operations.create import create, identify, settle
from engine.operations.restart import to_be_started
from engine.operations.stop import grace
from engine.spec.happened import container_event, happened
from engine.spec.legality import check, check_condition, find
from engine.spec.references import Reference
from engine.spec.rows import container_row, image_row
from engine.spec.signals import parse_signal
from engine.verbs import decide
from engine.waits import FOREVER, moving, wait

log = logging.getLogger(__name__)
T = TypeVar("T")

GOODBYE_SECONDS = 15.0
"""How long an ending engine waits when none of its operations gets anywhere."""


class Engine:
    """What `longshored` is, without the socket. Implements `EngineInterface`."""

    def __init__(self, host: Host, networks: Networks, defaults: Defaults = DEFAULTS) -> None:
        self.host, self.networks, self.defaults = host, networks, defaults
        self.hub = Hub()
        self.events = Events()
        self.ledger: Ledger[Container] = Ledger(host.records, "containers", to_disk, from_disk)
        self.runner: Runner[Host, Container] = Runner(host, self.ledger, host.clock)
        self.pulls, self.pushes = Pulls(host, partial(self._moved, "pull")), Pushes(host, partial(self._moved, "push"))
        self.commits = Commits(host, self.ledger, self.runner, self.tell, self._made)
        self.imports = Imports(host, self._made)
        self.upkeep = Upkeep(host, self.ledger, self.events, self._made, self.refresh_images)
        self.freezers: dict[str, Freeze] = {}
        self.missing: dict[str, tuple[str, ...]] = {}
        self.probe_due: dict[str, datetime] = {}
        """When the next health probe of a container begins, as its monitor says."""
        self.lessons: dict[str, Lesson[Any]] = {}
        self.network_verbs = NetworkVerbs(self)
        self.on_shutdown: Callable[[bool], None] = lambda containers: None
        """Asked by a client to end; True: and to end the containers first. Set by whoever holds the process."""
        self.on_probe: Callable[[Container], Awaitable[Probe]] = _nobody_probes
        """Asked by a client to run a health check now. Set by the health monitor."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._door, self._changed = asyncio.Lock(), asyncio.Event()
        self.names = host.names.directory = Directory(self.ledger.records)
        host.ports.called = self.names.called
        self.ledger.listen(self._tell)
        self.ledger.listen_moves(self._tell_move)

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
        if verb in NETWORK_VERBS:
            return await self._owned(self.network_verbs.do(NetworkVerb(verb), target, params))
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
        now = self.ledger.get(c.id)
        return Done(id=c.id, warnings=now.warnings if now and verb in (Verb.CREATE, Verb.UPDATE) else ())

    async def plan(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        if verb in NETWORK_VERBS:
            return await self.network_verbs.plan(NetworkVerb(verb), target, params)
        verb = _verb(verb, params)
        if verb is Verb.CREATE:
            c = identify(await settle(self.host, params, self.defaults.log), self.ledger.records.values(), params)
            operation = create(c)
        else:
            c, operation = self.decide(verb, self.resolve(target), params)
        rows = tuple(step.row(c) for step in operation.steps)
        return await lay_out(self.host, c, Run(verb=verb, rows=rows, began=self.host.clock.now()))

    async def begin(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        if verb in NETWORK_VERBS:
            return await self.network_verbs.begin(NetworkVerb(verb), target, params)
        verb = _verb(verb, params)
        c = await self._new(params) if verb is Verb.CREATE else self.resolve(target)
        if c.id in self.lessons:
            raise Conflict(f"cannot {verb} {c.name}: it is being walked through step by step", "end that lesson first")
        lesson = self.lessons[c.id] = Lesson(self.host, c)
        lesson.task = self.spawn(self._run(verb, c.id, params, lesson))
        return await lesson.plan()

    async def advance(self, target: str, move: Move) -> Plan:
        c = self.networks.ledger.get(target) or self.resolve(target)
        lesson = self.lessons.get(c.id)
        if lesson is None:
            raise Conflict(f"cannot take a step with {c.name}: no lesson is under way", "begin one")
        lesson.move(move)
        return await lesson.plan()

    async def steps(self, target: str) -> Plan:
        if n := self.networks.ledger.get(target):
            return await lay_out(self.host, n, n.run, self.lessons.get(n.id), running=n.run is not None and n.run.moving)
        c = self.resolve(target)
        return await lay_out(self.host, c, c.run, self.lessons.get(c.id), running=moving(c))

    async def inspect(self, target: str) -> Container:
        return self.resolve(target)

    async def containers(self) -> list[ContainerRow]:
        return sorted(self.hub.world.containers.values(), key=lambda row: row.created, reverse=True)

    async def images(self) -> list[Image]:
        return await self.host.images.load_all()

    async def wait(self, target: str, condition: str = "not-running") -> int:
        check_condition(condition)
        return (await wait(self.ledger, self.resolve(target), condition)).exit_code

    async def logs(
        self,
        target: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[LogLine]:
        c = self.resolve(target)
        query = LogQuery(
            driver=c.host_config.log_config.type, follow=follow and c.status.alive, tail=tail, since=since, until=until
        )
        async with aclosing(self.host.stdio.read(c.id, query)) as lines:
            async for line in lines:
                yield line

    async def top(self, target: str, arguments: str = "-ef") -> Top:
        c = self._with_process(target, "list the processes of")
        found = await self.host.processes.top(arguments, await self.host.tasks.pids(c.id))
        self.tell(c, "top")
        return found

    async def signal(self, target: str, pid: int, signal: str) -> None:
        c = self._with_process(target, "signal a process of")
        await self.host.tasks.signal(c.id, pid, parse_signal(signal))

    async def probe(self, target: str) -> Probe:
        return await self.on_probe(self.resolve(target))

    def _with_process(self, target: str, doing: str) -> Container:
        c = self.resolve(target)
        if not c.status.alive:
            raise Conflict(f"cannot {doing} {c.name}: it is {c.status}", "start it first")
        return c

    # --- inside ------------------------------------------------------------------------------------------------------

    def resolve(self, target: str) -> Container:
        """A container by full id, exact name, or a prefix that fits one id only. Raises `NotFound`, `Invalid`."""
        return find(target, self.ledger.records)

    async def _new(self, params: Params) -> Container:
        """A record for a container to be created. Its name is looked up and taken in one tick."""
        settled = await settle(self.host, params, self.defaults.log)
        c = identify(settled, self.ledger.records.values(), params)
        self.ledger.claim(c)
        return c

    def decide(self, verb: Verb, c: Container, params: Params) -> tuple[Container, Operation[Host, Container]]:
        others = self.ledger.records.values()
        return decide(verb, c, params, host=self.host, networks=self.networks, others=others)

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

    async def _run(self, verb: Verb, id: str, params: Params, lesson: Lesson[Container] | None = None) -> None:
        """One operation under the record's lock; of a compound verb, one after the other."""
        async with self._door:  # to decide takes a millisecond: between two of a hundred others have their turn
            await asyncio.sleep(0)
        async with self.ledger.lock(id):
            try:
                c = await self.walk(verb, id, params, lesson)
                if to_be_started(c):
                    await self.walk(verb, id, params, lesson)
            finally:
                self.networks.release(id)
                if lesson:
                    del self.lessons[id]
                self.clean_after(verb, id)

    async def walk(self, verb: Verb, id: str, params: Params, lesson: Lesson[Container] | None = None) -> Container:
        """Decide and walk one operation; the record as it then is."""
        if verb in STARTING and (broken := self.ledger.get(id)) and broken.run and broken.run.way is Way.BROKEN:
            await self.runner.resume(broken)  # what could not be ended then may be now
        c = self.ledger.get(id)
        if c is None:
            raise NotFound(f"No such container: {id[:12]}")
        if verb in STARTING:
            await self.networks.mend(c)
        c, operation = self.decide(verb, c, params)
        self.networks.claim(c)
        if lesson:
            lesson.begin(operation.steps)
        return await self.runner.run(operation, c, lesson)

    def clean_after(self, verb: Verb, id: str) -> None:
        """A container made with `--rm` goes when it has ended, and when it could not be started."""
        c = self.ledger.get(id)
        if c is None or not c.host_config.auto_remove or c.status.alive or c.status is Status.CREATING:
            return
        if verb in STARTING or c.has_been_started_before:
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
        """The process of a container has ended. `pid` 0: whichever it was. Raises why that could not be recorded."""
        lesson = self.lessons.get(id)
        if lesson and lesson.can_unwind:
            lesson.leave()
        with suppress(AlreadySo, NotFound):
            await self._run(Verb.EXITED, id, {"pid": pid})

    async def _join(self, verb: Verb, c: Container, params: Params) -> bool:
        """End what only waits: a lesson is left, a stop's grace time is cut short. True when a stop was helped to its end."""
        lesson = self.lessons.get(c.id)
        if lesson:
            lesson.leave()
        if not (moving(c) and c.run and c.run.verb == Verb.STOP):
            return False
        if verb is Verb.STOP:
            seconds = grace(c, params)
            await within(seconds if seconds >= 0 else FOREVER, self._idle(c.id))
        signal = parse_signal(params.get("signal") or "SIGKILL") if verb is Verb.KILL else SIGKILL
        now = self.ledger.get(c.id)
        if now and now.run and now.run.open:
            with suppress(NotFound):
                await self.host.tasks.kill(c.id, signal)
                self.tell(now, "kill", signal=str(signal))
        if verb is Verb.KILL and signal == SIGKILL:
            await self._idle(c.id)
        return True

    async def _idle(self, id: str) -> None:
        while (c := self.ledger.get(id)) and moving(c):
            await self.change()

    async def change(self) -> None:
        """Wait until some record has changed."""
        await self._changed.wait()

    # --- telling -----------------------------------------------------------------------------------------------------

    def tell(self, c: Container, action: str, **attributes: str) -> None:
        """Tell Docker's clients of something that no change of the record stands for."""
        event = container_event(c, action, **attributes)
        self.events.publish(event.type, event.action, event.id, event.attributes)

    def publish(self, c: Container) -> None:
        """Tell of a container as it is now; whoever looked at the kernel for it may hold an older record."""
        now = self.ledger.told(c.id)
        if now is None:
            self._gone(c.id)
            return
        row = container_row(now, self.freezers.get(c.id), self.missing.get(c.id, ()), self.probe_due.get(c.id))
        if self.hub.world.containers.get(c.id) != row:
            self.hub.publish(Changed(row=row))

    def _gone(self, id: str) -> None:
        self.freezers.pop(id, None)
        self.missing.pop(id, None)
        self.probe_due.pop(id, None)
        if id in self.hub.world.containers:
            self.hub.publish(Gone(id=id))

    async def refresh_images(self) -> None:
        self.hub.publish(ImagesChanged(images={image.id: image_row(image) for image in await self.images()}))

    async def _moved(self, action: str, image: Image, reference: Reference) -> None:
        """An image has come from a registry, or gone to one."""
        await self.refresh_images()
        self.events.publish("image", action, reference.familiar, (image.config.labels or {}) | {"name": reference.name})

    async def _made(self, image: Image, action: str, name: str) -> None:
        """An image was made here, or has been given a name."""
        await self.refresh_images()
        self.events.publish("image", action, image.id, (image.config.labels or {}) | {"name": name})

    def _tell(self, before: Container | None, after: Container | None) -> None:
        for event in happened(before, after):
            self.events.publish(event.type, event.action, event.id, event.attributes)
        self.names.changed()
        if after:
            if before and before.state.status is not after.state.status:
                self.freezers.pop(after.id, None)  # read before the change: it would look like somebody else's doing
            self.publish(after)
        elif before:
            self._gone(before.id)
            self.spawn(self.upkeep.free_after(before))
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


NETWORK_VERBS = tuple(NetworkVerb)
ASKED = tuple(verb for verb in Verb if verb.asked)
STARTING = (Verb.START, Verb.AGAIN, Verb.RESTART)
"""Verbs that need the networks."""


def _verb(word: str, params: Params) -> Verb:
    if word not in ASKED:
        raise Invalid(f"there is no verb {word!r}", f"take one of {', '.join(ASKED)}")
    check(Verb(word), params)
    return Verb(word)


async def _nobody_probes(c: Container) -> Probe:
    raise Conflict(f"cannot probe {c.name}: nobody looks after its health")
