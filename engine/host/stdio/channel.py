"""Clients at a container's own process: what it says goes to each of them, what they write goes to it.

A client may come before the container is started: its console is there from the first of both on. The copier hands every
piece to every client (`send`) and stops taking from this container's pipes while one of them is full.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

from engine.host.stdio.stdin import Stdin

LIMIT: Final = 1024 * 1024
"""Bytes that wait for a client before the container waits for it."""
LAST: Final = 4 * LIMIT
"""The same at its end, when a shim that holds the rest would not wait as long as a client may."""

OVERHEAD: Final = 256
"""Bytes that a piece costs besides its own: a process that writes letter by letter must not fill the memory."""


class Attached:
    """The port's `Channel`."""

    def __init__(self, console: Console) -> None:
        """Made in the event loop."""
        self._console = console
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[tuple[str, bytes]] = deque()
        self._put = self._taken = 0
        self._more = asyncio.Event()
        self._told = False
        self._ended = False
        self._gone: asyncio.Future[None] = self._loop.create_future()

    async def read(self) -> AsyncGenerator[tuple[str, bytes], None]:
        while not self._gone.done():
            if self._pieces:
                piece = self._pieces.popleft()
                self._taken += len(piece[1]) + OVERHEAD
                self._console.audience.relieve()
                yield piece
            elif self._ended:
                return
            else:
                self._more.clear()
                if not self._pieces:  # the copier may have put one in just now
                    await self._more.wait()

    async def write(self, data: bytes) -> None:
        await self._console.stdin.write(data, self._gone)

    async def close(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
            self._more.set()
            self._pieces.clear()
            self._console.leave(self)

    def end(self) -> None:
        """There will be no more pieces."""
        self._ended = True
        self._more.set()

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client, and what they cost."""
        return self._put - self._taken  # each is written by one thread only

    def send(self, stream: str, data: bytes) -> None:
        """Called by the copier, in its thread: at most one call waits in the event loop."""
        self._pieces.append((stream, data))
        self._put += len(data) + OVERHEAD
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._told = False
        self._more.set()


class Audience:
    """Whoever is attached to one container. The copier reads it while the event loop changes it."""

    def __init__(self) -> None:
        self.channels: tuple[Attached, ...] = ()
        self._resume: Callable[[], object] | None = None

    # The copier's side.

    def send(self, stream: str, data: bytes) -> None:
        for channel in self.channels:
            channel.send(stream, data)

    def full(self, limit: int = LIMIT) -> bool:
        return any(channel.waiting >= limit for channel in self.channels)

    @property
    def waited_for(self) -> bool:
        return self._resume is not None

    def wait_for(self, resume: Callable[[], object]) -> None:
        """Have `resume` called, in either thread, when there is room again."""
        self._resume = resume
        self.relieve()  # it may have come just now

    # Either's.

    def relieve(self) -> None:
        """Let the container go on when every client has room for half of the limit."""
        if self._resume and all(channel.waiting <= LIMIT // 2 for channel in self.channels):
            resume, self._resume = self._resume, None
            if resume is not None:  # the other thread may have been quicker
                resume()


class Console:
    """The live ends of one container's streams."""

    def __init__(self, on_left: Callable[[], None]) -> None:
        """`on_left`: called when a client has gone."""
        self.audience = Audience()
        self.stdin = Stdin()
        self._on_left = on_left

    def attach(self) -> Attached:
        channel = Attached(self)
        self.audience.channels += (channel,)
        return channel

    def leave(self, channel: Attached) -> None:
        self.audience.channels = tuple(other for other in self.audience.channels if other is not channel)
        self.audience.relieve()
        self._on_left()

    def end(self) -> None:
        """The process has ended: no further output, and nobody reads what is written."""
        self.stdin.close()
        for channel in self.audience.channels:
            channel.end()
