"""A test double: an engine whose world is a script. It keeps statuses and lessons consistent, and touches nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from engine.model.container import Container, Probe
from engine.model.errors import AlreadySo, Conflict, NotFound, Unavailable
from engine.model.events import Message
from engine.model.frames import Changed, Frame, Gone, Snapshot, StepMoved
from engine.model.image import Image
from engine.model.interface import NO_PARAMS, Done, LogLine, Params, Top
from engine.model.run import Mark, Move, Plan, Way
from engine.model.status import Answer, NetworkVerb, Status, Verb, after, answer
from engine.model.world import (
    ContainerRow,
    World,
)
from engine.stream import Stream
from tests.tui.cabling import ScriptedNetworks
from tests.tui.images import ScriptedImages
from tests.tui.made import BEGAN, PROCESSES, STEPS, probe, record, row, small_world
from tests.tui.paths import ScriptedWhy
from tests.tui.trees import ScriptedTrees


class ScriptedEngine(ScriptedWhy, ScriptedTrees, ScriptedNetworks, ScriptedImages):
    """Implements `EngineInterface`. `calls` is what it was asked, `down` makes the connection fail."""

    def __init__(self, world: World | None = None) -> None:
        ScriptedWhy.__init__(self)
        ScriptedTrees.__init__(self)
        ScriptedNetworks.__init__(self)
        ScriptedImages.__init__(self)
        self.world = small_world() if world is None else world
        self.calls: list[tuple[str, str, str, dict[str, Any]]] = []
        self.down = ""
        self.fails: dict[str, Exception] = {}
        self.queries: list[dict[str, Any]] = []
        """Which log lines were asked for."""
        self.lines: list[LogLine] = []
        self.logged: dict[str, list[LogLine]] = {}
        """What a container of this name has said by `say`; the others have said `lines`, and are silent."""
        self.spoke = asyncio.Event()
        self.plans: dict[str, Plan] = {}
        self.watching = asyncio.Event()
        self.processes = PROCESSES
        self.records: dict[str, Container] = {}
        """Records by id; of the others `record` makes one from the row."""
        self.probes: tuple[Probe, ...] = (probe(),)
        """What inspect shows of every container with a health check, and the last what `probe` answers."""
        self.happened: list[Message] = []
        self.execs: list[dict[str, Any]] = []
        self.typed = b""
        """What has come through the terminal of a shell or of an attached container."""
        self._listeners: list[asyncio.Queue[Message | None]] = []
        self._readers: list[asyncio.Queue[Frame | None]] = []

    # What a test does

    def publish(self, *frames: Frame) -> None:
        for frame in frames:
            match frame:
                case Changed():
                    self.world = self.world.with_container(frame.row)
                case Gone():
                    self.world = self.world.without_container(frame.id)
                case _:
                    pass
            for reader in self._readers:
                reader.put_nowait(frame)

    def say(self, name: str, *lines: LogLine) -> None:
        """A container says something; whoever follows its log hears it."""
        self.logged.setdefault(name, []).extend(lines)
        spoke, self.spoke = self.spoke, asyncio.Event()
        spoke.set()

    def happen(self, *messages: Message) -> None:
        """Events, for who listens and who will."""
        self.happened += messages
        for listener in self._listeners:
            for message in messages:
                listener.put_nowait(message)

    def cut(self, reason: str) -> None:
        """The connection breaks, and stays broken until `down` is emptied."""
        self.down = reason
        for listener in self._listeners:
            listener.put_nowait(None)
        for reader in self._readers:
            reader.put_nowait(None)

    def find(self, target: str) -> ContainerRow:
        if self.down:
            raise Unavailable(self.down)
        for found in self.world.containers.values():
            if target in (found.name, found.id):
                return found
        raise NotFound(f"no such container: {target}")

    # The interface

    async def watch(self) -> AsyncIterator[Frame]:
        if self.down:
            raise Unavailable(self.down)
        reader: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._readers.append(reader)
        self.watching.set()
        try:
            yield Snapshot(world=self.world)
            while (frame := await reader.get()) is not None:
                yield frame
            raise Unavailable(self.down)
        finally:
            self._readers.remove(reader)

    async def do(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Done:
        self.calls.append(("do", verb, target, dict(params)))
        if verb in self.fails:
            raise self.fails[verb]
        if verb in tuple(NetworkVerb):
            return Done(id="n" * 64)
        if verb == "create":
            made = row(params["name"] or "made-up", Status.CREATED, image=params["body"]["Image"])
            self.publish(Changed(row=made))
            return Done(id=made.id)
        found = self.find(target)
        said = answer(Verb(verb), found.status, forced=bool(params.get("force")))
        if said is Answer.SO:
            raise AlreadySo(f"{found.name} is {found.status} already")
        if said is not Answer.GO:
            raise Conflict(f"cannot {verb} {found.name}: it is {found.status}")
        if verb == "rename":
            self.publish(Changed(row=replace(found, name=params["name"])))
        else:
            self._after(Verb(verb), found)
        return Done(id=found.id)

    def _after(self, verb: Verb, found: ContainerRow) -> None:
        status = after(verb, found.status)
        self.publish(
            StepMoved(id=found.id, verb=verb, at=0, of=1, title="x", mark=Mark.DONE),
            Gone(id=found.id) if status is None else Changed(row=row(found.name, status, id=found.id, image=found.image)),
        )

    async def plan(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        if f"plan {verb}" in self.fails:
            raise self.fails[f"plan {verb}"]
        return Plan(verb=verb, container=target, name=target, steps=STEPS)

    async def begin(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        self.calls.append(("begin", verb, target, dict(params)))
        if verb in self.fails:
            raise self.fails[verb]
        steps = tuple(replace(step, now=None, before=None) for step in STEPS)
        if verb in tuple(NetworkVerb):
            name = target or params["body"]["Name"]
            self.plans["n" * 64] = Plan(
                verb=verb, container="n" * 64, name=name, steps=steps, running=True, lesson=True, began=BEGAN
            )
            return self.plans["n" * 64]
        found = row(params["name"] or "made-up", Status.CREATING) if verb == "create" else self.find(target)
        self.publish(Changed(row=replace(found, lesson=True, verb=verb, of=len(STEPS))))
        self.plans[found.id] = Plan(
            verb=verb, container=found.id, name=found.name, steps=steps, running=True, lesson=True, began=BEGAN
        )
        return self.plans[found.id]

    async def advance(self, target: str, move: Move) -> Plan:
        self.calls.append(("advance", move, target, {}))
        plan = self.plans[target]
        if not plan.running:
            raise Conflict(f"cannot take a step with {plan.name}: no lesson is under way", "begin one")
        if move is Move.BACK and plan.at == 0:
            raise Conflict("this is the first step")
        plan = _moved(plan, move)
        while move is Move.RUN and plan.running:
            plan = _moved(plan, Move.NEXT)
        self.plans[target] = plan
        found = self.find(target)
        self.publish(Changed(row=replace(found, lesson=plan.running, verb=plan.verb if plan.running else "", at=plan.at)))
        return plan

    async def steps(self, target: str) -> Plan:
        if target in self.plans:
            return self.plans[target]
        found = self.find(target)
        done = tuple(replace(step, mark=Mark.DONE, ms=2.0) for step in STEPS)
        return Plan(verb="start", container=found.id, name=found.name, steps=done, at=4, way=Way.DONE, began=BEGAN, ms=96.0)

    async def inspect(self, target: str) -> Container:
        found = self.find(target)
        return self.records.get(found.id) or record(found, *self.probes)

    async def top(self, target: str, arguments: str = "-ef") -> Top:
        found = self.find(target)
        self.calls.append(("top", arguments, target, {}))
        if not found.status.alive:
            raise Conflict(f"cannot list the processes of {found.name}: it is {found.status}")
        return self.processes

    async def signal(self, target: str, pid: int, signal: str) -> None:
        self.find(target)
        self.calls.append(("signal", signal, target, {"pid": pid}))
        if str(pid) not in {row[0] for row in self.processes.processes}:
            raise NotFound(f"process {pid} is not, or no longer, in {target}")
        left = tuple(row for row in self.processes.processes if row[0] != str(pid))
        self.processes = replace(self.processes, processes=left)

    async def probe(self, target: str) -> Probe:
        found = self.find(target)
        self.calls.append(("probe", "", target, {}))
        if not found.health or found.status is not Status.RUNNING:
            raise Conflict(f"cannot probe {found.name}: nothing is looked after")
        return self.probes[-1]

    async def events(self, **query: str) -> AsyncIterator[Message]:
        self.calls.append(("events", "", "", dict(query)))
        if self.down:
            raise Unavailable(self.down)
        listener: asyncio.Queue[Message | None] = asyncio.Queue()
        self._listeners.append(listener)
        try:
            since = Decimal(query.get("since") or "Infinity") * 10**9
            for message in [m for m in self.happened if m.time_nano >= since]:
                yield message
            while (fresh := await listener.get()) is not None:
                yield fresh
            raise Unavailable(self.down)
        finally:
            self._listeners.remove(listener)

    async def exec_create(self, target: str, settings: dict[str, Any]) -> str:
        found = self.find(target)
        self.calls.append(("exec", " ".join(settings["Cmd"]), target, {}))
        self.execs.append({"Running": True, "ExitCode": None, "Pid": 0, "name": found.name})
        return str(len(self.execs) - 1)

    async def exec_start(self, exec_id: str, *, tty: bool = False, size: tuple[int, int] | None = None) -> Stream:
        return await self._served(lambda code: self.execs[int(exec_id)].update(Running=False, ExitCode=code, Pid=77))

    async def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        return self.execs[int(exec_id)]

    async def exec_resize(self, exec_id: str, width: int, height: int) -> None:
        self.calls.append(("resize", exec_id, "", {"size": (width, height)}))

    async def attach(self, target: str, *, stdin: bool = False) -> Stream:
        found = self.find(target)
        self.calls.append(("attach", "", target, {"stdin": stdin}))
        return await self._served(lambda code: self.publish(Changed(row=row(found.name, Status.EXITED, exit_code=code))))

    async def resize(self, target: str, width: int, height: int) -> None:
        self.calls.append(("resize", "", target, {"size": (width, height)}))

    async def _served(self, ended: Callable[[int], Any]) -> Stream:
        """A stream with a shell of three words at its other end: `exit N`, `size`, and what it echoes in capitals."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        far_reader, far_writer = await asyncio.open_connection(sock=theirs)

        async def serve() -> None:
            code, typed = 0, b""
            far_writer.write(b"ready\r\n# ")
            while data := await far_reader.read(1024):
                self.typed += data
                typed += data
                while b"\r" in typed:
                    word, _, typed = typed.partition(b"\r")
                    if word.startswith(b"exit"):
                        code = int(word[4:] or b"0")
                        ended(code)
                        far_writer.close()
                        return
                    if word == b"size":
                        word = str([c[3]["size"] for c in self.calls if c[0] == "resize"][-1]).encode()
                    far_writer.write(b"\r\n" + word.upper() + b"\r\n# ")
            far_writer.close()

        self._serving = asyncio.create_task(serve())
        return Stream(reader, writer, framed=False)

    async def containers(self) -> list[ContainerRow]:
        return list(self.world.containers.values())

    async def images(self) -> list[Image]:
        return []

    async def wait(self, target: str, condition: str = "not-running") -> int:
        return self.find(target).exit_code

    async def logs(
        self,
        target: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[LogLine]:
        found = self.find(target)
        self.queries.append({"name": found.name, "follow": follow, "tail": tail, "since": since, "until": until})
        lines = self.logged.get(found.name, self.lines)
        at = len(lines)
        chosen = [n for n in lines if (since is None or n.time >= since) and (until is None or n.time <= until)]
        for said in chosen[-tail if tail else 0 :]:
            yield said
        while follow and found.name in self.logged:
            spoke = self.spoke
            for said in lines[at:]:
                at += 1
                yield said
            await spoke.wait()


def _moved(plan: Plan, move: Move) -> Plan:
    """One move of the scripted run; the last step is final."""
    at = plan.at
    if plan.way is Way.BACK:
        plan = _set(plan, at - 1, Mark.UNDONE)
        ended = at == 1
        return replace(plan, at=at - 1, way=Way.UNDONE if ended else Way.BACK, running=not ended)
    match move:
        case Move.BACK:
            return replace(_set(plan, at - 1, Mark.UNDONE), at=at - 1)
        case Move.ABORT:
            ended = at == 0
            way = Way.UNDONE if ended else Way.BACK
            return replace(plan, way=way, running=not ended, error=f"cannot {plan.verb}: given up")
        case Move.FAIL:
            failed = _set(plan, at, Mark.FAILED)
            return replace(failed, at=at + 1, way=Way.BACK, error="the step was made to fail, as asked")
        case _:
            ended = at + 1 == len(plan.steps)
            return replace(_set(plan, at, Mark.DONE), at=at + 1, way=Way.DONE if ended else Way.FORWARD, running=not ended)


def _set(plan: Plan, at: int, mark: Mark) -> Plan:
    there = STEPS[at].now if mark is Mark.DONE else None
    changed = replace(plan.steps[at], mark=mark, ms=2.0, before=None if mark is Mark.DONE else STEPS[at].now, now=there)
    return replace(plan, steps=(*plan.steps[:at], changed, *plan.steps[at + 1 :]))
