"""The port `Tasks` on containerd's gRPC: containers (a spec), tasks (shim and runc), and how they end.

A shim that was killed takes a moment to be missed: containerd still lists its task, and cannot say how it is. Then it kills
what is left of the container, and lists it no more. `look` waits for that moment to pass; `all` tells of a task that stays
so, as when its shim hangs, as `unknown`, since its processes may live. A status may only be read until the task is deleted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC
from signal import SIGKILL, pidfd_send_signal
from typing import Any, Final

from engine.host import Exit, Facts, Freeze, Pipes, Task, within
from engine.host.containerd.client import WORK_SECONDS, Client, any_of, cannot_run
from engine.host.containerd.execs import Execs
from engine.host.containerd.exits import Exits, exit_of
from engine.host.containerd.freezing import Freezing
from engine.host.containerd.pipes import check
from engine.host.containerd.proto.containers_pb2 import (
    Container,
    CreateContainerRequest,
    DeleteContainerRequest,
    GetContainerRequest,
)
from engine.host.containerd.proto.events_pb2 import Envelope
from engine.host.containerd.proto.runc_options_pb2 import Options
from engine.host.containerd.proto.task_events_pb2 import TaskExit, TaskOOM
from engine.host.containerd.proto.tasks_pb2 import (
    CreateTaskRequest,
    DeleteTaskRequest,
    GetRequest,
    KillRequest,
    ListPidsRequest,
    ListTasksRequest,
    StartRequest,
    UpdateTaskRequest,
    WaitRequest,
)
from engine.host.containerd.proto.types_pb2 import CREATED, PAUSED, PAUSING, RUNNING, STOPPED, UNKNOWN, Process
from engine.host.containerd.shims import Remains
from engine.host.containerd.streams import Streams
from engine.model.errors import Conflict, EngineError, HostFailed, NotFound, Unavailable

log = logging.getLogger(__name__)

NAMESPACE: Final = "longshore"
RUNTIME: Final = "io.containerd.runc.v2"

_SPEC_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
_RESOURCES_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
_EXIT, _OOM = "/tasks/exit", "/tasks/oom"
_STATUS: Final = {CREATED: "created", RUNNING: "running", STOPPED: "stopped", PAUSED: "paused", PAUSING: "pausing"}
_END_SECONDS: Final = 10.0
"""How long a process may take to end after SIGKILL."""
_AGAIN_SECONDS: Final = 0.1
_DYING_SECONDS: Final = 5.0
"""How long containerd may take to notice that a shim is gone."""
_BUNDLE_SECONDS: Final = 10.0
"""How long the remains of a task creation that was cut off may be in the way; containerd takes up to 9 s to clear them."""


class ContainerdTasks:
    """The port, for one containerd at one socket. Made inside a running event loop.

    `freezer` reads the container's freezer, `freeze` and `thaw` write it. Engines that share a containerd each need a
    `namespace` of their own.
    """

    def __init__(
        self,
        address: str,
        facts: Facts,
        *,
        freezer: Callable[[str], Awaitable[Freeze | None]],
        freeze: Callable[[str], Awaitable[None]],
        thaw: Callable[[str], Awaitable[None]],
        namespace: str = NAMESPACE,
    ) -> None:
        self._namespace = namespace
        self._thaw_file = thaw
        runc_root = f"{facts.exec_root}/runtime-runc"
        options = Options(binary_name="runc", root=runc_root, systemd_cgroup=facts.systemd_cgroup)
        self._options = any_of("containerd.runc.v1.Options", options.SerializeToString())
        self._client = Client(address, namespace)
        self._exits = Exits(self._client)
        self._remains = Remains(address, namespace, runc_root, self.all, self.look, thaw)
        self._execs = Execs(self._client)
        self._freezing = Freezing(self._client, self.look, freezer, freeze, thaw)
        self._streams = Streams(self._client, self._exits, self._execs)
        self._starved: list[Callable[[str], None]] = []
        self._troubled: list[Callable[[str], None]] = []
        self._following: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def connect(self, seconds: float = 30.0) -> None:
        """Reach containerd, and follow it from then on. Raises `Unavailable` when it does not answer in time."""
        await self._client.ready(seconds)
        try:
            await self._remains.end_useless()
        except EngineError as error:  # shims that do not answer are no reason not to look after the others
            log.warning("shims without a task are looked for later: %s", error)
        self._following = asyncio.create_task(self._follow(), name="containerd events")

    async def close(self) -> None:
        """Let go of containerd; tasks run on."""
        for task in filter(None, (self._following, self._sweeping)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._execs.close()
        await self._exits.close()
        await self._client.close()

    async def version(self) -> str:
        """containerd's own version."""
        return await self._client.version()

    def on_exit(self, callback: Callable[[str, Exit], None]) -> None:
        self._exits.on_exit(callback)

    def on_oom(self, callback: Callable[[str], None]) -> None:
        self._starved.append(callback)

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        self._troubled.append(callback)

    # The container: a spec that containerd keeps.

    async def register(self, id: str, spec: dict[str, Any]) -> None:
        runtime = Container.Runtime(name=RUNTIME, options=self._options)
        container = Container(id=id, runtime=runtime, spec=any_of(_SPEC_TYPE, json.dumps(spec).encode()))
        request = CreateContainerRequest(container=container)
        doing = f"register container {id[:12]} with containerd"
        try:
            await self._client.call(doing, self._client.containers.Create, request)
        except Conflict:
            await self.unregister(id)
            await self._client.call(doing, self._client.containers.Create, request)

    async def unregister(self, id: str) -> None:
        await self.delete(id)  # containerd would let the container go and leave the task without an owner
        with suppress(NotFound):
            await self._client.call(
                f"remove container {id[:12]} from containerd", self._client.containers.Delete, DeleteContainerRequest(id=id)
            )
        self._exits.forget(id)
        self._execs.drop(id)

    async def look_registered(self, id: str) -> str | None:
        request = GetContainerRequest(id=id)
        try:
            reply = await self._client.call(f"look for container {id[:12]}", self._client.containers.Get, request)
        except NotFound:
            return None
        c = reply.container
        made = c.created_at.ToDatetime(UTC)
        spec = f"spec of {len(c.spec.value)} bytes"
        return f"{c.id[:12]} in namespace {self._namespace}: {c.runtime.name}, {spec}, {made:%F %T} UTC"

    # The task: shim, process, cgroup.

    async def create(self, id: str, pipes: Pipes) -> int:
        self._exits.forget(id)
        pid = await self._create(id, pipes)
        self._streams.made(id)
        return pid

    async def _create(self, id: str, pipes: Pipes) -> int:
        doing = f"create the task of {id[:12]}"
        request = CreateTaskRequest(
            container_id=id,
            stdin=pipes.stdin,
            stdout=pipes.stdout,
            stderr=pipes.stderr,
            terminal=pipes.terminal,
            options=self._options,
        )
        give_up, cleared = asyncio.get_running_loop().time() + _BUNDLE_SECONDS, False
        while True:
            await self._remains.clear(id)
            await check(pipes, doing)
            try:
                return (await self._client.call(doing, self._client.tasks.Create, request, seconds=WORK_SECONDS)).pid
            except Conflict:
                task = await self.look(id)
                if task and task.exit is None:
                    return task.pid  # made by an engine that died before it heard of it
                await self.delete(id)
            except HostFailed as error:
                if not self._remains.spoil(id, error.message):
                    raise cannot_run(error) from error
            if asyncio.get_running_loop().time() > give_up:
                if cleared:
                    raise HostFailed(f"cannot {doing}: the remains of an earlier one are in the way")
                await self._remains.clear_bundle(id)
                cleared = True
            await asyncio.sleep(_AGAIN_SECONDS)

    async def start(self, id: str) -> None:
        task = await self._get(id, "start")
        self._exits.arm(id, task.pid)
        if task.status != "created":
            return
        try:
            await self._client.call(
                f"start the process of {id[:12]}",
                self._client.tasks.Start,
                StartRequest(container_id=id),
                seconds=WORK_SECONDS,
            )
        except EngineError as error:
            self._exits.forget(id)  # what never ran does not exit
            if isinstance(error, HostFailed):
                raise cannot_run(error) from error
            raise

    async def adopt(self, id: str) -> None:
        task = await self.look(id)
        self._exits.arm(id, task.pid if task else 0)

    async def wait(self, id: str) -> Exit:
        if not self._exits.armed(id):
            await self.adopt(id)
        return await self._exits.wait(id)

    async def look(self, id: str) -> Task | None:
        request = GetRequest(container_id=id)
        give_up = asyncio.get_running_loop().time() + _DYING_SECONDS
        while True:
            try:
                reply = await self._client.call(f"look at the task of {id[:12]}", self._client.tasks.Get, request)
            except NotFound:
                return None
            if reply.process.status != UNKNOWN:
                return _task(reply.process)
            if asyncio.get_running_loop().time() > give_up:
                raise Unavailable(f"cannot tell how {id[:12]} is: its shim does not answer", "look whether it is stopped")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def all(self) -> list[Task]:
        list_all = self._client.tasks.List  # it waits 2 s for every shim that does not answer
        reply = await self._client.call("list the tasks", list_all, ListTasksRequest(), seconds=WORK_SECONDS)
        tasks = await asyncio.gather(*(self._sure(process) for process in reply.tasks))
        return [task for task in tasks if task]

    async def _sure(self, process: Process) -> Task | None:
        """A task that was listed; None when it went meanwhile."""
        if process.status != UNKNOWN:
            return _task(process)
        id = process.container_id or process.id
        try:
            return await self.look(id)
        except Unavailable:
            return Task(id=id, pid=process.pid, status="unknown")

    async def pids(self, id: str) -> list[int]:
        request = ListPidsRequest(container_id=id)
        reply = await self._client.call(f"list the processes of {id[:12]}", self._client.tasks.ListPids, request)
        return [process.pid for process in reply.processes]

    async def signal(self, id: str, pid: int, signal: int) -> None:
        gone = NotFound(f"cannot send signal {signal} to process {pid}: {id[:12]} has no such process")
        # Held first and checked then: if it ends meanwhile, its number may be another's, but never this descriptor.
        try:
            process = os.pidfd_open(pid)
        except (OSError, OverflowError):
            raise gone from None
        try:
            if pid not in await self.pids(id):
                raise gone
            pidfd_send_signal(process, signal)
        except ProcessLookupError:
            raise gone from None
        finally:
            os.close(process)

    async def update(self, id: str, resources: dict[str, Any]) -> None:
        request = UpdateTaskRequest(container_id=id, resources=any_of(_RESOURCES_TYPE, json.dumps(resources).encode()))
        await self._client.call(f"change the limits of {id[:12]}", self._client.tasks.Update, request, seconds=WORK_SECONDS)

    async def kill(self, id: str, signal: int) -> None:
        await self._client.call(
            f"send signal {signal} to {id[:12]}", self._client.tasks.Kill, KillRequest(container_id=id, signal=signal)
        )

    async def delete(self, id: str) -> None:
        task = await self.look(id)
        if task and task.exit is None:
            await self._end(task)
        if task:
            with suppress(NotFound):
                reply = await self._client.call(
                    f"delete the task of {id[:12]}",
                    self._client.tasks.Delete,
                    DeleteTaskRequest(container_id=id),
                    seconds=WORK_SECONDS,
                )
                self._exits.settle(id, exit_of(task.pid, reply.exit_status, reply.exited_at))
        await self._remains.clear(id)

    async def _end(self, task: Task) -> None:
        """SIGKILL to every process of the task, and wait until its init has ended."""
        doing = f"end the processes of {task.id[:12]}"
        kill = KillRequest(container_id=task.id, signal=SIGKILL, all=True)
        paused = task.status in ("paused", "pausing")
        with suppress(NotFound):
            if not paused:
                await self._thaw_file(task.id)
            try:
                await self._client.call(doing, self._client.tasks.Kill, kill)
            except HostFailed:  # its cgroup was removed: runc cannot list the processes, but they end with their init
                await self.kill(task.id, SIGKILL)
            if paused:
                await self._thaw_file(task.id)  # on cgroup v1 only what runs can die
            wait = self._client.call(doing, self._client.tasks.Wait, WaitRequest(container_id=task.id), seconds=None)
            if not await within(_END_SECONDS, wait):
                why = f"no exit {_END_SECONDS:g} s after SIGKILL"
                raise HostFailed(f"cannot {doing}: {why}", "look whether a cgroup above it is frozen, or its stack in /proc")

    async def pause(self, id: str) -> None:
        await self._freezing.pause(id)

    async def resume(self, id: str) -> None:
        await self._freezing.resume(id)

    # More processes inside, and the streams of all.

    async def exec(self, id: str, exec_id: str, process: dict[str, Any], pipes: Pipes) -> int:
        return await self._execs.start(id, exec_id, process, pipes)

    async def wait_exec(self, id: str, exec_id: str) -> int:
        return await self._execs.wait(id, exec_id)

    async def kill_exec(self, id: str, exec_id: str, signal: int) -> None:
        await self._execs.kill(id, exec_id, signal)

    async def forget_exec(self, id: str, exec_id: str) -> None:
        await self._execs.forget(id, exec_id)

    async def close_stdin(self, id: str, exec_id: str = "") -> None:
        await self._streams.close_stdin(id, exec_id)

    async def resize(self, id: str, exec_id: str, width: int, height: int) -> None:
        await self._streams.resize(id, exec_id, width, height)

    async def _get(self, id: str, verb: str) -> Task:
        """The task, for a verb that needs a process."""
        task = await self.look(id)
        if task is None:
            raise NotFound(f"cannot {verb} {id[:12]}: it has no task")
        return task

    async def _follow(self) -> None:
        """Follow exit events. The stream's end is how we learn at once that containerd went away."""
        away = False
        while True:
            try:
                await self._client.ready()
                if away:
                    away = False
                    self.report("")
                await self._exits.check()
                if self._sweeping:
                    self._sweeping.cancel()
                self._sweeping = asyncio.create_task(self._remains.sweep(), name="sweep shims")
                async for envelope in self._client.subscribe(_EXIT, _OOM):
                    self._heard(envelope)
            except EngineError as error:
                if not away:
                    away = True
                    self.report(str(error))
                await asyncio.sleep(_AGAIN_SECONDS)

    def _heard(self, envelope: Envelope) -> None:
        if envelope.topic == _OOM:
            for callback in self._starved:
                callback(TaskOOM.FromString(envelope.event.value).container_id)
            return
        exit = TaskExit.FromString(envelope.event.value)
        if exit.id == exit.container_id:
            self._exits.hint(exit.container_id)

    def report(self, trouble: str) -> None:
        """Tell of trouble with containerd or what hangs on it (a sentence), or that it is over (empty)."""
        for callback in self._troubled:
            callback(trouble)


def _task(process: Process) -> Task:
    """containerd's words for a task whose status it knows."""
    exit = exit_of(process.pid, process.exit_status, process.exited_at) if process.status == STOPPED else None
    return Task(id=process.container_id or process.id, pid=process.pid, status=_STATUS[process.status], exit=exit)
