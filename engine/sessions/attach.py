"""Attach: a client at the standard streams of a container's own process (reference 4.11).

It may come before the start: `docker run` does, so that it misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime

from msgspec import Struct

from engine.core import Engine
from engine.host import Channel, LogQuery
from engine.model.container import Container
from engine.model.errors import Conflict, EngineError
from engine.model.status import Status
from engine.sessions import detach
from engine.sessions.joined import End, Peer, join
from engine.waits import wait


class Wanted(Struct, frozen=True, kw_only=True):
    """What a client asks for."""

    stdin: bool = False
    """To write, where the container has a standard input."""
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    """First what it has said so far."""
    stream: bool = False
    """Then what it says."""
    keys: str = ""
    """What leaves its terminal; empty: ctrl-p,ctrl-q."""

    @property
    def outputs(self) -> frozenset[str]:
        return frozenset(name for name in ("stdout", "stderr") if getattr(self, name))


async def attach(engine: Engine, target: str, wanted: Wanted, take: Callable[[Container], Awaitable[Peer]]) -> None:
    """Serve a client until the container ends or the client leaves.

    `take` is called once nothing is in the way: what it does before it returns, a start for example, is not missed. Until then
    errors are raised (`NotFound`, `Invalid`, `Conflict`); afterwards they are told to the client.
    """
    c = engine.resolve(target)
    _check(c)
    keys = detach.parse(wanted.keys) if wanted.keys else detach.DEFAULT
    now = engine.host.clock.now()
    channel = engine.host.stdio.attach(c.id) if wanted.stream else None
    try:
        peer = await take(c)
        try:
            await _serve(engine, c, wanted, keys if c.config.tty else b"", peer, channel, now)
        except EngineError as error:
            await peer.send("error", f"{error}\n".encode())
    except ConnectionError:
        return
    finally:
        if channel:
            await channel.close()


async def resize(engine: Engine, target: str, width: int, height: int) -> None:
    """Set the columns and rows of a container's terminal. Raises `Conflict` where it has no process."""
    c = engine.resolve(target)
    if not c.status.up:
        raise Conflict(f"cannot resize {c.name}: Container {c.id} is not running", "start it first")
    await engine.host.tasks.resize(c.id, "", width, height)
    engine.tell(c, "resize", height=str(height), width=str(width))


def _check(c: Container) -> None:
    """Raises `Conflict` where no client can join."""
    cannot = f"cannot attach to {c.name}: "
    if c.status is Status.PAUSED:
        raise Conflict(f"{cannot}Container {c.id} is paused", "unpause the container before attach")
    if c.status is Status.RESTARTING:
        raise Conflict(f"{cannot}Container {c.id} is restarting", "wait until the container is running")


async def _serve(
    engine: Engine, c: Container, wanted: Wanted, keys: bytes, peer: Peer, channel: Channel | None, since: datetime
) -> None:
    if wanted.logs:
        await _replay(engine, c, wanted.outputs, peer, since)
    engine.tell(c, "attach")
    if channel is None:
        return

    async def close_stdin() -> None:
        await engine.host.tasks.close_stdin(c.id)  # waits for the start: until the shim has its end, the pipe lives by ours
        await engine.host.stdio.close_stdin(c.id)

    ending = asyncio.create_task(_end_with(engine, c))
    try:
        end = await join(
            peer,
            channel,
            outputs=wanted.outputs,
            stdin=wanted.stdin and c.config.open_stdin,
            keys=keys,
            close_stdin=close_stdin if c.config.stdin_once and not c.config.tty else None,
        )
    finally:
        ending.cancel()
    now = engine.ledger.get(c.id)
    over = now is None or (now.has_been_started_before and not now.status.alive)
    if end is not End.LEFT or over:  # `docker attach` leaves when it has the exit code, which is before the output's end
        engine.tell(now or c, "detach")


async def _replay(engine: Engine, c: Container, outputs: frozenset[str], peer: Peer, until: datetime) -> None:
    """What the log has from before `until`: what came later waits in the channel."""
    query = LogQuery(driver=c.host_config.log_config.type, until=until)
    async with aclosing(engine.host.stdio.read(c.id, query)) as lines:
        async for line in lines:
            if line.stream in outputs:
                await peer.send(line.stream, line.log)


async def _end_with(engine: Engine, c: Container) -> None:
    """A container that is removed without ever being started has no output whose end could be seen."""
    await wait(engine.ledger, c, "removed")
    await engine.host.stdio.drop(c.id)
