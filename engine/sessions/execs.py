"""Execs: more processes in a running container (reference 4.10).

An exec is made first, then started, with its maker listening or not. From its start on it belongs to the engine: a client that
leaves ends nothing, and an engine that starts anew takes up what the last one left (`recover`).

    create ─ start ─┬─ Exec ─ tasks.exec ─ wait ─ all is heard ─ reap ─ exec_die
                    └─ join: a client's bytes, both ways
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any

from engine.core import Engine
from engine.host import ExecStreams, within
from engine.model.container import Container
from engine.model.errors import Conflict, EngineError, HostFailed, Invalid, NotFound
from engine.sessions import detach
from engine.sessions.joined import End, Peer, join
from engine.spec.execs import ExecConfig, check_exec
from engine.spec.links import told_anew
from engine.spec.oci import process
from engine.steps.task import CreateTask

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds of output after its end, where others (a daemon it left behind) keep its pipes open."""
LOOK = 0.1
READY = 10.0
"""Seconds that a resize waits for the start."""
KEPT = 300.0
"""Seconds after which an exec that has ended can be removed, and again until it is."""
KILLED_SECONDS = 2.0
"""How long `run` waits for what it has killed; a frozen process ends when it is thawed."""

START_SECONDS = 30.0
"""How long `run` waits for a start (dockerd's cap for health checks)."""

COULD_NOT_START = 126
KILLED = 137


class Exec:
    """One process beside the init, from its making until it is forgotten."""

    def __init__(self, c: Container, config: ExecConfig, keys: bytes, id: str = "") -> None:
        self.id = id or secrets.token_hex(32)
        self.container, self.init, self.config = c.id, c.state.pid, config
        self.keys = keys
        """What leaves its terminal, as asked for; empty: the default."""
        self.pid = 0
        self.running = False
        self.exit_code: int | None = None
        self.can_remove = False
        self.begun = asyncio.Event()
        self.exited = asyncio.Event()
        self.heard = asyncio.Event()
        """Whoever listens has all that it said, or nobody listens."""
        self.listener: Peer | None = None
        self.streams: ExecStreams | None = None
        self.failure: EngineError | None = None
        """Why it could not be started."""

    async def started(self) -> None:
        """Wait for its start. Raises why it could not."""
        await self.begun.wait()
        if self.failure:
            raise self.failure


class Timeout(TimeoutError):
    """`Execs.run` took too long. `output`: what it said until then."""

    def __init__(self, seconds: float, output: bytes) -> None:
        super().__init__(f"it ran for longer than {seconds:g} s")
        self.output = output


class Execs:
    """All execs of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.host = engine, engine.host
        self._execs: dict[str, Exec] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        engine.ledger.listen(self._changed)

    async def recover(self) -> None:
        """Take up the execs of a dead engine: what they say goes to nobody any more, what they read has ended."""
        for id, exec_id in await self.host.stdio.execs():
            self._spawn(self._take_up(id, exec_id))

    async def close(self) -> None:
        """Let go. The processes run on; the next engine takes them up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for timer in self._timers.values():
            timer.cancel()

    # --- what the API asks -------------------------------------------------------------------------------------------

    def create(self, target: str, config: ExecConfig) -> Exec:
        """Make an exec. Raises `NotFound`, `Conflict`, and a plain error for detach keys that nobody can type."""
        c = self._enterable(target)
        try:
            keys = detach.parse(config.detach_keys) if config.detach_keys else b""
        except Invalid as error:
            raise EngineError(error.message, error.hint) from error  # dockerd answers 500
        exec = Exec(c, config, keys)
        self._execs[exec.id] = exec
        self._tell(c, exec, f"exec_create: {_words(exec)}")
        return exec

    def get(self, id: str) -> Exec:
        """Raises `NotFound`."""
        if id not in self._execs:
            raise NotFound(f"No such exec instance: {id}", "its container has ended, or it ended a while ago itself")
        return self._execs[id]

    def of(self, c: Container) -> list[str]:
        """Ids of the execs of a container."""
        return [exec.id for exec in self._execs.values() if exec.container == c.id]

    def start(self, exec: Exec, *, listened: bool, size: tuple[int, int] | None = None) -> None:
        """Start it; `Exec.started` tells how that went. `listened`: `join` follows. `size`: rows and columns.

        Raises `Conflict` when it runs or ran, or its container does not run.
        """
        c = self._enterable(exec.container)
        if exec.running or exec.exit_code is not None:
            raise Conflict(f"Exec {exec.id} {'is already running' if exec.running else 'has already run'}", "create another")
        exec.running = True
        if not listened:
            exec.heard.set()
        self._spawn(self._live(c, exec, size or exec.config.console_size))

    async def join(self, exec: Exec, peer: Peer) -> None:
        """Give a client the streams of an exec that was just started. Raises why it could not be.

        Returns when it has ended, or the client has left.
        """
        config, exec.listener = exec.config, peer
        wanted = {"stdout"} if config.attach_stdout else set()
        wanted |= {"stderr"} if config.attach_stderr else set()
        try:
            await exec.started()
            assert exec.streams
            end = await join(
                peer,
                _Joined(exec, exec.streams),
                outputs=frozenset(wanted),
                stdin=config.attach_stdin,
                keys=(exec.keys or detach.DEFAULT) if config.tty else b"",
                close_stdin=None if config.tty else lambda: self._close_stdin(exec),
            )
        finally:
            exec.listener = None
            if exec.streams:
                await exec.streams.close()
            exec.heard.set()
        if end is End.DETACHED and (c := self.engine.ledger.get(exec.container)):
            self._tell(c, exec, "exec_detach")

    async def resize(self, exec: Exec, width: int, height: int) -> None:
        """Columns and rows of its terminal. Waits a while for its start."""
        if not await within(READY, exec.begun.wait()):
            raise EngineError("timeout waiting for exec session ready", "start it first")
        await self.host.tasks.resize(exec.container, exec.id, width, height)

    # --- what the engine asks ----------------------------------------------------------------------------------------

    async def run(self, c: Container, command: tuple[str, ...], *, timeout: float, limit: int) -> tuple[int, bytes]:
        """Run a command: its exit code, and at most `limit` bytes of both its outputs.

        `timeout`: seconds from its start; then, and when the caller is cancelled, it is killed and reaped.
        Raises `Timeout`, and why it could not be started.
        """
        exec = self.create(c.id, ExecConfig(cmd=command, attach_stdout=True, attach_stderr=True))
        said = bytearray()
        try:
            self.start(exec, listened=True)
            listening = self._spawn(self._listen(exec, said, limit))
            if not await within(START_SECONDS, exec.started()):
                raise HostFailed(f"timed out starting {_words(exec)} in {c.name}: it took more than {START_SECONDS:g} s")
            if not await within(timeout, asyncio.shield(listening)):
                raise Timeout(timeout, bytes(said))
            assert exec.exit_code is not None
            return exec.exit_code, bytes(said)
        finally:
            self._execs.pop(exec.id, None)
            if exec.running:
                await within(KILLED_SECONDS, asyncio.shield(self._spawn(self._end(exec))))

    async def _listen(self, exec: Exec, said: bytearray, limit: int) -> None:
        with suppress(EngineError):
            await exec.started()
            assert exec.streams
            async with aclosing(exec.streams.read()) as pieces:
                async for _, data in pieces:
                    said += data[: limit - len(said)]
        exec.heard.set()
        await exec.exited.wait()

    async def _end(self, exec: Exec) -> None:
        exec.heard.set()
        await exec.begun.wait()
        await self.host.tasks.forget_exec(exec.container, exec.id)
        await exec.exited.wait()

    def _enterable(self, target: str) -> Container:
        """Raises `NotFound`, and `Conflict` where nothing can be run in it, or whom it is linked to does not run."""
        c = self.engine.resolve(target)
        check_exec(c)
        return told_anew(c, self.engine.ledger.records)

    # --- one process -------------------------------------------------------------------------------------------------

    async def _live(self, c: Container, exec: Exec, size: tuple[int, int] | None) -> None:
        try:
            await self._begin(c, exec, size)
        except EngineError as error:
            exec.failure = error
            exec.exit_code = COULD_NOT_START
            if exec.streams:
                await exec.streams.finish()
        else:
            exec.begun.set()
            await self._see_through(exec)
        finally:
            exec.running = False
            exec.begun.set()
            exec.exited.set()
            self._keep_a_while(exec)

    async def _begin(self, c: Container, exec: Exec, size: tuple[int, int] | None) -> None:
        config = exec.config
        self._tell(c, exec, f"exec_start: {_words(exec)}")
        assert c.layers
        groups = tuple(c.host_config.group_add or ())
        user = await self.host.rootfs.user(c.layers.mount_id, config.user or c.config.user, groups)
        spec = process(
            c,
            self.host.facts,
            user,
            config.cmd or (),
            terminal=config.tty,
            size=size,
            env=config.env or (),
            cwd=config.working_dir,
            privileged=config.privileged,
        )
        exec.streams = await self.host.stdio.open_exec(c.id, exec.id, stdin=config.attach_stdin, terminal=config.tty)
        if exec.heard.is_set():
            await exec.streams.close()
        exec.pid = await self.host.tasks.exec(c.id, exec.id, spec, exec.streams.pipes)

    async def _see_through(self, exec: Exec) -> None:
        """To its end: exit code, output, reaping."""
        try:
            exec.exit_code = await self.host.tasks.wait_exec(exec.container, exec.id)
        except NotFound:
            exec.exit_code = KILLED  # with its container, before anybody could see how
        exec.running = False
        exec.exited.set()
        await self._heard(exec)
        await self._reap(exec)
        if c := self.engine.ledger.get(exec.container):
            self._tell(c, exec, "exec_die", exitCode=str(exec.exit_code))

    async def _heard(self, exec: Exec) -> None:
        """Until its listener has all that it said, however slow that is; but no longer than `PATIENCE` for others' output."""
        left = PATIENCE
        while left > 0 and not await within(LOOK, exec.heard.wait()):
            if not (exec.listener and exec.listener.waiting):
                left -= LOOK

    async def _reap(self, exec: Exec) -> None:
        await self.host.tasks.forget_exec(exec.container, exec.id)
        assert exec.streams
        await exec.streams.finish()

    async def _close_stdin(self, exec: Exec) -> None:
        assert exec.streams
        await exec.streams.close_stdin()
        await self.host.tasks.close_stdin(exec.container, exec.id)

    async def _take_up(self, id: str, exec_id: str) -> None:
        c = self.engine.ledger.get(id)
        streams = await self.host.stdio.open_exec(id, exec_id, stdin=False, terminal=False)
        await streams.close()
        waiting = asyncio.ensure_future(self.host.tasks.wait_exec(id, exec_id))
        try:
            await self.host.tasks.close_stdin(id, exec_id)  # who wrote to it is gone
            code = await waiting
            if c:
                self.engine.tell(c, "exec_die", execID=exec_id, exitCode=str(code))
        except NotFound:
            log.debug("exec %s has gone with its container", exec_id)
        finally:
            waiting.cancel()
        await self.host.tasks.forget_exec(id, exec_id)
        await streams.finish()

    # --- keeping -----------------------------------------------------------------------------------------------------

    def _keep_a_while(self, exec: Exec) -> None:
        """Still to be inspected, until it was found twice to be over."""
        if exec.id in self._execs:
            self._timers[exec.id] = asyncio.get_running_loop().call_later(KEPT, self._collect, exec)

    def _collect(self, exec: Exec) -> None:
        if exec.can_remove:
            self._drop(exec)
        else:
            exec.can_remove = True
            self._keep_a_while(exec)

    def _drop(self, exec: Exec) -> None:
        self._execs.pop(exec.id, None)
        if timer := self._timers.pop(exec.id, None):
            timer.cancel()

    def _changed(self, before: Container | None, after: Container | None) -> None:
        """A container's execs end with its task."""
        c = after or before
        assert c
        pid = c.state.pid if after and CreateTask.__name__ in c.held else -1
        for exec in [exec for exec in self._execs.values() if exec.container == c.id and pid not in (0, exec.init)]:
            self._drop(exec)

    def _tell(self, c: Container, exec: Exec, action: str, **attributes: str) -> None:
        self.engine.tell(c, action, execID=exec.id, **attributes)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work that is the engine's, whoever asked for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            known = isinstance(error, EngineError)
            log.error("cannot see an exec through: %s", error, exc_info=None if known else error)


class _Joined:
    """An exec's streams as its listener has them: the output ends when the process has ended, too."""

    def __init__(self, exec: Exec, streams: ExecStreams) -> None:
        self._exec, self._streams = exec, streams

    async def read(self) -> AsyncGenerator[tuple[str, bytes], None]:
        async with aclosing(self._streams.read()) as pieces:
            async for piece in pieces:
                yield piece
        self._exec.heard.set()
        await self._exec.exited.wait()

    async def write(self, data: bytes) -> None:
        await self._streams.write(data)


def _words(exec: Exec) -> str:
    return " ".join(exec.config.cmd or ())
