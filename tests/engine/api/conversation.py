"""A raw conversation with the engine's socket: what a client sends and gets, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.engine.api.test_streams import frames

UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


class Conversation:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def post(self, url: str, body: bytes = b"", headers: str = UPGRADE) -> tuple[int, dict[str, str]]:
        """Ask; the head of the answer."""
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"POST {url} HTTP/1.1\r\nHost: x\r\n{headers}{kind}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        async with asyncio.timeout(5):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines if line)

    async def rest(self) -> bytes:
        """All until the end of the connection."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def frames(self) -> list[tuple[int, bytes]]:
        return frames(await self.rest())

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(size)

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    def shut(self) -> None:
        """Send no more, and listen on."""
        self.writer.write_eof()

    def vanish(self) -> None:
        """As a killed process does."""
        self.writer.transport.abort()


@asynccontextmanager
async def talking(path: str) -> AsyncIterator[Conversation]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield Conversation(reader, writer)
    finally:
        writer.transport.abort()
