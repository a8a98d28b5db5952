"""Processes of the simulated host: their streams, their tasks, their execs.

A container's process says nothing by itself; what is typed to it comes back on its standard output. An exec does the same
until its standard input is closed; one without a standard input ends at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from engine.host import Channel, ExecStreams, Exit, LogQuery, Output, Pipes, Task
from engine.host.simulated_world import Port, SimulatedExec, SimulatedTask, SimulatedWorld
from engine.model.errors import CannotRun, HostFailed, NotFound
from engine.model.interface import LogLine, Top


class SimulatedChannel:
    """What is written comes back."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()

    async def read(self) -> AsyncGenerator[tuple[str, bytes], None]:
        while piece := await self._pieces.get():
            yield piece

    async def write(self, data: bytes) -> None:
        self._pieces.put_nowait(("stdout", data))

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        self._pieces.put_nowait(None)


class SimulatedExecStreams(SimulatedChannel):
    def __init__(self, world: SimulatedWorld, key: tuple[str, str], pipes: Pipes) -> None:
        super().__init__()
        self.world, self.key, self.pipes = world, key, pipes

    async def close_stdin(self) -> None:
        return

    async def finish(self) -> None:
        self.end()
        self.world.exec_streams.pop(self.key, None)


class SimulatedStdio(Port):
    async def make(self, id: str, output: Output) -> None:
        self.world.pipes.add(id)

    async def drain(self, id: str) -> None:
        return

    async def drop(self, id: str) -> None:
        self.world.pipes.discard(id)
        for channel in self.world.channels.pop(id, ()):
            channel.end()

    async def look(self, id: str) -> str | None:
        return "stdout stderr" if id in self.world.pipes else None

    def pipes(self, id: str, output: Output) -> Pipes:
        stdin = f"/simulated/{id}/stdin" if output.stdin or output.terminal else ""
        stderr = "" if output.terminal else f"/simulated/{id}/stderr"
        return Pipes(stdin=stdin, stdout=f"/simulated/{id}/stdout", stderr=stderr, terminal=output.terminal)

    def log_path(self, id: str, driver: str = "json-file") -> str:
        return f"/simulated/{id}-json.log" if driver == "json-file" else ""

    async def read(self, id: str, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        yield LogLine(stream="stdout", time=self.world.time, log=b"hello\n")

    def attach(self, id: str) -> Channel:
        channel = SimulatedChannel()
        self.world.channels.setdefault(id, []).append(channel)
        return channel

    async def close_stdin(self, id: str) -> None:
        return

    async def open_exec(self, id: str, exec_id: str, *, stdin: bool, terminal: bool) -> ExecStreams:
        directory = f"/simulated/{id}-{exec_id}"
        pipes = Pipes(
            stdin=f"{directory}/stdin" if stdin else "",
            stdout=f"{directory}/stdout",
            stderr="" if terminal else f"{directory}/stderr",
            terminal=terminal,
        )
        streams = SimulatedExecStreams(self.world, (id, exec_id), pipes)
        self.world.exec_streams[id, exec_id] = streams
        return streams

    async def execs(self) -> list[tuple[str, str]]:
        return list(self.world.exec_streams)

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        return  # memory has room for every line


class SimulatedTasks:
    """Processes that run until they are signalled. `world.stubborn` ones die only of SIGKILL."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self._exit_callbacks: list[Callable[[str, Exit], None]] = []
        self._oom_callbacks: list[Callable[[str], None]] = []

    async def register(self, id: str, spec: dict[str, Any]) -> None:
        self.world.specs[id] = spec

    async def unregister(self, id: str) -> None:
        self.world.specs.pop(id, None)

    async def look_registered(self, id: str) -> str | None:
        return "spec" if id in self.world.specs else None

    async def create(self, id: str, pipes: Pipes) -> int:
        if id not in self.world.specs or id not in self.world.pipes:
            raise HostFailed(f"cannot create the task of {id}: no spec or no pipes")
        if self.world.specs[id]["process"]["args"][0] == "missing":
            raise CannotRun('exec: "missing": executable file not found in $PATH', 127)
        if id not in self.world.tasks:
            self.world.pids += 1
            self.world.tasks[id] = SimulatedTask(self.world.pids)
        return self.world.tasks[id].pid

    async def delete(self, id: str) -> None:
        if id in self.world.tasks:
            self._end(id, 137)
            del self.world.tasks[id]
            for key in [key for key in self.world.execs if key[0] == id]:
                del self.world.execs[key]

    async def start(self, id: str) -> None:
        task = self._task(id)
        if task.status == "created":
            task.status = "running"

    async def look(self, id: str) -> Task | None:
        task = self.world.tasks.get(id)
        status = "paused" if task and task.frozen and task.status == "running" else task.status if task else ""
        return Task(id=id, pid=task.pid, status=status, exit=task.exit) if task else None

    async def all(self) -> list[Task]:
        return [task for id in list(self.world.tasks) if (task := await self.look(id))]

    async def kill(self, id: str, signal: int) -> None:
        task = self._task(id)
        if task.status == "stopped":
            raise NotFound(f"cannot signal {id}: the process has ended")
        if task.frozen and signal != 9:
            task.pending = signal
        elif signal == 9 or (signal == 15 and id not in self.world.stubborn):
            self._end(id, 128 + signal)

    async def wait(self, id: str) -> Exit:
        task = self._task(id)
        await task.ended.wait()
        assert task.exit
        return task.exit

    async def pause(self, id: str) -> None:
        self._task(id).frozen = True

    async def resume(self, id: str) -> None:
        task = self.world.tasks.get(id)
        if task is None or task.status == "stopped":
            return
        task.frozen, pending, task.pending = False, task.pending, 0
        if pending:
            await self.kill(id, pending)

    async def exec(self, id: str, exec_id: str, process: dict[str, Any], pipes: Pipes) -> int:
        self._task(id)
        if process["args"][0] == "missing":
            raise CannotRun('exec: "missing": executable file not found in $PATH', 127)
        self.world.pids += 1
        made = self.world.execs[id, exec_id] = SimulatedExec(self.world.pids)
        if not pipes.stdin:
            self._end_exec(id, exec_id, 0)
        return made.pid

    async def wait_exec(self, id: str, exec_id: str) -> int:
        return await asyncio.shield(self._exec(id, exec_id).exit)

    async def kill_exec(self, id: str, exec_id: str, signal: int) -> None:
        self._end_exec(id, exec_id, 128 + signal)

    async def forget_exec(self, id: str, exec_id: str) -> None:
        if (id, exec_id) in self.world.execs:
            self._end_exec(id, exec_id, 137)
            del self.world.execs[id, exec_id]

    async def close_stdin(self, id: str, exec_id: str = "") -> None:
        if exec_id:
            self._end_exec(id, exec_id, 0)

    async def resize(self, id: str, exec_id: str, width: int, height: int) -> None:
        if exec_id:
            self._exec(id, exec_id)
        else:
            self._task(id)

    async def update(self, id: str, resources: dict[str, Any]) -> None:
        self._task(id).limits = resources

    async def pids(self, id: str) -> list[int]:
        return [self._task(id).pid, *(e.pid for key, e in self.world.execs.items() if key[0] == id)]

    async def signal(self, id: str, pid: int, signal: int) -> None:
        if pid not in await self.pids(id):
            raise NotFound(f"cannot signal {pid}: it is no process of {id[:12]}")
        if pid == self._task(id).pid:
            await self.kill(id, signal)

    def on_oom(self, callback: Callable[[str], None]) -> None:
        self._oom_callbacks.append(callback)

    def run_out_of_memory(self, id: str) -> None:
        """The kernel kills the process for want of memory."""
        for callback in self._oom_callbacks:
            callback(id)
        self._end(id, 137)

    def _exec(self, id: str, exec_id: str) -> SimulatedExec:
        if (id, exec_id) not in self.world.execs:
            raise NotFound(f"there is no exec {exec_id} in {id}")
        return self.world.execs[id, exec_id]

    def _end_exec(self, id: str, exec_id: str, status: int) -> None:
        made = self._exec(id, exec_id)
        if not made.exit.done():
            made.exit.set_result(status)
            if streams := self.world.exec_streams.get((id, exec_id)):
                streams.end()

    def on_exit(self, callback: Callable[[str, Exit], None]) -> None:
        self._exit_callbacks.append(callback)

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        return

    async def adopt(self, id: str) -> None:
        task = self._task(id)
        if task.exit:
            for callback in self._exit_callbacks:
                callback(id, task.exit)

    def end(self, id: str, status: int = 0) -> None:
        """The process ends by itself."""
        self._end(id, status)

    def _end(self, id: str, status: int) -> None:
        task = self._task(id)
        if task.status != "stopped":
            started = task.status == "running"
            task.status, task.frozen = "stopped", False
            task.exit = Exit(pid=task.pid, status=status, at=self.world.time)
            task.ended.set()
            for _, exec_id in [key for key in self.world.execs if key[0] == id]:
                self._end_exec(id, exec_id, 137)
            for callback in self._exit_callbacks if started else ():
                callback(id, task.exit)

    def _task(self, id: str) -> SimulatedTask:
        if id not in self.world.tasks:
            raise NotFound(f"there is no task {id}")
        return self.world.tasks[id]


class SimulatedProcesses(Port):
    async def top(self, arguments: str, pids: Iterable[int]) -> Top:
        return Top(titles=("PID", "CMD"), processes=tuple((str(pid), "sleep 1000") for pid in pids))
