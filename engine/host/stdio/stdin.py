"""Our end of a process's standard input.

The FIFO is opened for reading and writing (fifo(7)): opening it for writing alone fails until the shim has its end open.
So there always is a reader, and no write ends with EPIPE; what nobody reads goes with the FIFO.
"""

from __future__ import annotations

import asyncio
import os


class Stdin:
    """Lives in the event loop. Not opened yet, writers wait; closed, what they write is dropped."""

    def __init__(self) -> None:
        self._fd = -1
        self._closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    def open(self, path: str) -> None:
        """Raises `OSError`. After `close` it stays closed."""
        if self._fd < 0 and not self._closed:
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def write(self, data: bytes, gone: asyncio.Future[None]) -> None:
        """Write all of it, in as many pieces as the pipe takes, unless it is closed or the writer has `gone` meanwhile."""
        rest = memoryview(data)
        while rest and not self._closed and not gone.done():
            try:
                written = os.write(self._fd, rest) if self._fd >= 0 else 0
            except BlockingIOError:
                written = 0
            rest = rest[written:]
            if rest:
                await self._room(gone)

    async def _room(self, gone: asyncio.Future[None]) -> None:
        room = asyncio.get_running_loop().create_future()
        self._waiting.add(room)
        if self._fd >= 0:
            asyncio.get_running_loop().add_writer(self._fd, self._wake)
        try:
            await asyncio.wait((room, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(room)

    def _wake(self) -> None:
        """Let every writer try: whoever finds no room waits again."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_writer(self._fd)
        for room in self._waiting:
            if not room.done():
                room.set_result(None)
