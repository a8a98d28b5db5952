"""A client joined to a process's streams: bytes both ways, until one side has had enough.

Each direction waits for its own reader only. A client that shuts down its sending side has said all, and still listens; one
that has closed its connection is gone, and what it had sent before still arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from enum import Enum
from typing import Protocol

from engine.host import within
from engine.sessions.detach import Scanner

GRACE = 10.0
"""Seconds that a process gets to read what a client had sent before it went."""


class Peer(Protocol):
    """Who is at the other end of a connection."""

    gone: asyncio.Event
    """Set when it has closed the connection, or the connection broke."""

    @property
    def waiting(self) -> bool:
        """Does a `send` wait for it to read?"""

    async def receive(self) -> bytes:
        """What it has sent; empty when it will send no more."""

    async def send(self, stream: str, data: bytes) -> None:
        """Give it output (`stdout`, `stderr`) or an `error`; waits while it does not read. Raises `ConnectionError`."""


class Streams(Protocol):
    """A process's side."""

    def read(self) -> AsyncGenerator[tuple[str, bytes], None]: ...

    async def write(self, data: bytes) -> None: ...


class End(Enum):
    """Why a client and a process parted."""

    OUTPUT = "the output has ended"
    LEFT = "the client has left"
    DETACHED = "the client has typed the detach keys"


async def join(
    peer: Peer,
    streams: Streams,
    *,
    outputs: frozenset[str],
    stdin: bool,
    keys: bytes = b"",
    close_stdin: Callable[[], Awaitable[None]] | None = None,
) -> End:
    """Carry bytes until the output ends or the client leaves.

    `outputs`: the streams it wants. `stdin`: what it sends goes to the process, else it is dropped. `keys`: typed, they leave.
    `close_stdin`: what the end of its input means for the process; None: with its input the client leaves.
    """
    sending = asyncio.create_task(_send(peer, streams, outputs))
    receiving = asyncio.create_task(_receive(peer, streams, stdin, keys, close_stdin))
    leaving = asyncio.create_task(_leave(peer))
    tasks: tuple[asyncio.Task[End] | asyncio.Task[End | None], ...] = (sending, receiving, leaving)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done() and receiving.result() is None:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if leaving.done() and not sending.done() and stdin:
            in_time = await within(GRACE, asyncio.shield(receiving))
            if close_stdin and not in_time:
                await within(1.0, close_stdin())
        return next(end for task in tasks if task.done() and (end := task.result()))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(peer: Peer, streams: Streams, outputs: frozenset[str]) -> End:
    async with aclosing(streams.read()) as pieces:
        async for stream, data in pieces:
            if stream in outputs:
                try:
                    await peer.send(stream, data)
                except ConnectionError:
                    return End.LEFT
    return End.OUTPUT


async def _receive(
    peer: Peer, streams: Streams, stdin: bool, keys: bytes, close_stdin: Callable[[], Awaitable[None]] | None
) -> End | None:
    """None: it has said all, and listens on."""
    scanner = Scanner(keys) if keys else None
    while data := await peer.receive():
        if not stdin:
            continue
        typed = False
        if scanner:
            data, typed = scanner.feed(data)
        await streams.write(data)
        if typed:
            return End.DETACHED
    if not stdin:
        return None
    if scanner:
        await streams.write(scanner.rest())
    if close_stdin is None:
        return End.LEFT
    await close_stdin()
    return None


async def _leave(peer: Peer) -> End:
    await peer.gone.wait()
    return End.LEFT
