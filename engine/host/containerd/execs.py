"""Execs: more processes inside a running container, beside its init.

    Exec      the shim notes the process and where its streams go
    Wait      armed now: it answers with the exit code, also when it is asked late
    Start     runc makes the process
    Delete    the shim forgets it; the answer to Wait is gone with that

What is begun is seen through, whoever is cancelled meanwhile: only then is it known what there is to reap. Nobody but
`forget` deletes: until then the shim goes on copying what the process has left in its pipes, and remembers how it ended.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import Any, Final
from weakref import WeakValueDictionary

from engine.host import Pipes, within
from engine.host.containerd.client import WORK_SECONDS, Client, any_of, cannot_run
from engine.host.containerd.pipes import check
from engine.host.containerd.proto.tasks_pb2 import (
    DeleteProcessRequest,
    ExecProcessRequest,
    KillRequest,
    StartRequest,
    WaitRequest,
)
from engine.model.errors import Conflict, EngineError, HostFailed, NotFound

_PROCESS_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_REAP_SECONDS: Final = 1.0
"""How long `forget` waits for a killed process. A frozen one ends when it is thawed, and is reaped then, in the background."""
_AGAIN_SECONDS: Final = 0.1


@dataclass(eq=False)
class _Exec:
    id: str
    exec_id: str
    started: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Its pid; 0 when a former engine started it."""
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Its exit code."""
    waiting: asyncio.Task[None] | None = None
    reaping: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return f"exec {self.exec_id[:12]} in {self.id[:12]}"

    def end(self, code: int | None = None) -> None:
        """`code` None: there is no such process, or there is no container any more."""
        if self.ended.done():
            return
        if code is None:
            self.ended.set_exception(NotFound(f"cannot wait for {self}: there is none, or its container has gone"))
            self.ended.exception()  # nobody has to be waiting
        else:
            self.ended.set_result(code)


class Execs:
    """The execs in the containers of one containerd, from `start` until `forget`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._execs: dict[tuple[str, str], _Exec] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One exec at a time is started in a container."""
        self._begun = asyncio.Event()

    async def start(self, id: str, exec_id: str, process: dict[str, Any], pipes: Pipes) -> int:
        """See `engine.host.Tasks.exec`. Who is cancelled here leaves nothing; afterwards `forget` is the caller's."""
        if (old := self._execs.get((id, exec_id))) and old.reaping:
            await asyncio.shield(old.reaping)
        if (id, exec_id) in self._execs:
            raise Conflict(f"cannot begin exec {exec_id[:12]} in {id[:12]}: there is one of this id")
        exec = _Exec(id, exec_id)
        exec.started = asyncio.create_task(self._start(exec, process, pipes), name=f"start {exec}")
        self._keep(exec)
        try:
            return await asyncio.shield(exec.started)
        except asyncio.CancelledError:
            self._reap(exec)
            raise
        except EngineError:
            await self.forget(id, exec_id)
            raise

    async def wait(self, id: str, exec_id: str) -> int:
        """See `engine.host.Tasks.wait_exec`. Whoever is cancelled here ends nothing."""
        exec = self._get(id, exec_id)
        await asyncio.shield(exec.started)
        return await asyncio.shield(exec.ended)

    async def kill(self, id: str, exec_id: str, signal: int) -> None:
        kill = KillRequest(container_id=id, exec_id=exec_id, signal=signal)
        await self._client.call(f"send signal {signal} to exec {exec_id[:12]} in {id[:12]}", self._client.tasks.Kill, kill)

    async def forget(self, id: str, exec_id: str) -> None:
        """See `engine.host.Tasks.forget_exec`. What takes longer than a second goes on in the background."""
        exec = self._execs.get((id, exec_id)) or self._add(id, exec_id)
        await within(_REAP_SECONDS, asyncio.shield(self._reap(exec)))

    async def begun(self, id: str, exec_id: str) -> None:
        """Wait until somebody begins it."""
        while (id, exec_id) not in self._execs:
            await self._begun.wait()

    async def started(self, id: str, exec_id: str) -> None:
        """Wait while it is being started, however that ends."""
        if exec := self._execs.get((id, exec_id)):
            await asyncio.wait((exec.started,))

    def drop(self, id: str) -> None:
        """The container's task is deleted, and its execs with it."""
        for exec in [exec for exec in self._execs.values() if exec.id == id]:
            exec.end()
            self._let_go(exec)

    async def close(self) -> None:
        """Let go of all; what is left is for `forget` after the next start."""
        execs = self._execs.values()
        left = [future for exec in execs for future in (exec.started, exec.waiting, exec.reaping) if future]
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _get(self, id: str, exec_id: str) -> _Exec:
        """The exec, also one of a former engine."""
        exec = self._execs.get((id, exec_id))
        if exec is None:
            exec = self._add(id, exec_id)
            self._arm(exec)
        return exec

    def _add(self, id: str, exec_id: str) -> _Exec:
        exec = _Exec(id, exec_id)
        exec.started.set_result(0)
        self._keep(exec)
        return exec

    def _keep(self, exec: _Exec) -> None:
        self._execs[exec.id, exec.exec_id] = exec
        self._begun.set()
        self._begun.clear()

    async def _start(self, exec: _Exec, process: dict[str, Any], pipes: Pipes) -> int:
        await check(pipes, f"start {exec}")
        request = ExecProcessRequest(
            container_id=exec.id,
            exec_id=exec.exec_id,
            stdin=pipes.stdin,
            stdout=pipes.stdout,
            stderr=pipes.stderr,
            terminal=pipes.terminal,
            spec=any_of(_PROCESS_TYPE, json.dumps(process).encode()),
        )
        async with self._turns.setdefault(exec.id, asyncio.Lock()):
            try:
                await self._register(exec, request)
                self._arm(exec)
                start = StartRequest(container_id=exec.id, exec_id=exec.exec_id)
                reply = await self._client.call(f"start {exec}", self._client.tasks.Start, start, seconds=WORK_SECONDS)
            except HostFailed as error:
                raise cannot_run(error) from error
            except NotFound as error:
                raise NotFound(f"cannot start {exec}: the container does not run") from error
        return reply.pid

    async def _register(self, exec: _Exec, request: ExecProcessRequest) -> None:
        try:
            await self._client.call(f"start {exec}", self._client.tasks.Exec, request)
        except Conflict:  # a dead engine's, which no list shows
            await within(_REAP_SECONDS, self._end(_Exec(exec.id, exec.exec_id)))
            await self._client.call(f"start {exec}", self._client.tasks.Exec, request)

    def _arm(self, exec: _Exec) -> None:
        """Begin to wait for its exit. Once is enough."""
        if exec.waiting is None:
            exec.waiting = asyncio.create_task(self._wait(exec), name=f"wait for {exec}")

    async def _wait(self, exec: _Exec) -> None:
        request = WaitRequest(container_id=exec.id, exec_id=exec.exec_id)
        while True:
            try:
                reply = await self._client.call(f"wait for {exec}", self._client.tasks.Wait, request, seconds=None)
            except NotFound:
                exec.end()
                self._let_go(exec)
                return
            except EngineError:
                # containerd is away, or the shim is, and containerd is about to notice.
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                exec.end(reply.exit_status)
                return

    def _reap(self, exec: _Exec) -> asyncio.Task[None]:
        if exec.reaping is None:
            exec.reaping = asyncio.create_task(self._reap_at_last(exec), name=f"reap {exec}")
        return exec.reaping

    async def _reap_at_last(self, exec: _Exec) -> None:
        await asyncio.gather(exec.started, return_exceptions=True)
        while True:
            try:
                await self._end(exec)
                break
            except EngineError:
                await asyncio.sleep(_AGAIN_SECONDS)  # containerd is away, or the shim is dying
        exec.end()
        self._let_go(exec)

    async def _end(self, exec: _Exec) -> None:
        """Kill it, if it still runs, and have the shim forget it."""
        delete = DeleteProcessRequest(container_id=exec.id, exec_id=exec.exec_id)
        with suppress(NotFound):
            try:
                await self._client.call(f"reap {exec}", self._client.tasks.DeleteProcess, delete)
            except HostFailed:  # it runs
                with suppress(NotFound):
                    await self.kill(exec.id, exec.exec_id, SIGKILL)
                self._arm(exec)
                await asyncio.wait((exec.ended,))
                await self._client.call(f"reap {exec}", self._client.tasks.DeleteProcess, delete)

    def _let_go(self, exec: _Exec) -> None:
        if exec.waiting and exec.waiting is not asyncio.current_task():
            exec.waiting.cancel()
        if self._execs.get((exec.id, exec.exec_id)) is exec:
            del self._execs[exec.id, exec.exec_id]
