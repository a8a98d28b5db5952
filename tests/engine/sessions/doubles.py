"""Two ends of a session, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator


class Terminal:
    """A client: a `Peer`. `says` puts words into its mouth."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.waiting = False
        self.got: list[tuple[str, bytes]] = []
        self.reads = asyncio.Event()
        """Cleared: it does not read."""
        self.reads.set()
        self._said: asyncio.Queue[bytes] = asyncio.Queue()

    def says(self, *pieces: bytes) -> None:
        """An empty piece: no more."""
        for piece in pieces:
            self._said.put_nowait(piece)

    def goes(self) -> None:
        self.says(b"")
        self.gone.set()

    async def receive(self) -> bytes:
        return await self._said.get()

    async def send(self, stream: str, data: bytes) -> None:
        self.waiting = True
        try:
            await self.reads.wait()
        finally:
            self.waiting = False
        if self.gone.is_set():
            raise ConnectionResetError
        self.got.append((stream, data))

    def of(self, stream: str) -> bytes:
        return b"".join(data for name, data in self.got if name == stream)


class Process:
    """A process's streams. `says` puts words into its mouth, `ends` ends its output."""

    def __init__(self) -> None:
        self.heard = b""
        self.listens = asyncio.Event()
        """Cleared: it does not read."""
        self.listens.set()
        self.closed = asyncio.Event()
        self._said: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()

    def says(self, stream: str, data: bytes) -> None:
        self._said.put_nowait((stream, data))

    def ends(self) -> None:
        self._said.put_nowait(None)

    async def read(self) -> AsyncGenerator[tuple[str, bytes], None]:
        while piece := await self._said.get():
            yield piece

    async def write(self, data: bytes) -> None:
        await self.listens.wait()
        self.heard += data

    async def close_stdin(self) -> None:
        self.closed.set()
