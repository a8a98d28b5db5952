"""Taking a connection over: after the head it is no HTTP any more, but a process's streams (reference 11.5).

What aiohttp would do is in the way twice. Its protocol closes when the client has sent its last byte, so ours takes its
place. And it cancels the handler when the connection is lost, though what the client had sent before may still wait to be
read; so it hears of that only when the session is over. It must hear of it then: it holds the connection until it does.

What a client sends before it has the head is taken for HTTP and lost. Docker's clients wait.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import suppress
from typing import Any, Self

from aiohttp import hdrs, web

from engine.api import wire
from engine.api.reply import api_version
from engine.host import within
from engine.stream import MULTIPLEXED, PIECE

RAW = "application/vnd.docker.raw-stream"
LINGER = 5.0
"""Seconds that a client gets to hang up. Closing while something it sent is unread would reset the connection under it."""

KINDS = {**wire.STREAM_TYPE, "error": wire.SYSTEM_ERROR}


class Connection(asyncio.StreamReaderProtocol):
    """The server's side of a connection that was taken over: a `Peer`."""

    def __init__(self, request: web.Request, *, framed: bool) -> None:
        """Take it, and send the head. `framed`: output of two streams, told apart."""
        loop = asyncio.get_running_loop()
        assert request.transport
        self._reader = asyncio.StreamReader(limit=PIECE, loop=loop)
        super().__init__(self._reader, loop=loop)
        self._old: Any = request.protocol
        self._transport: Any = request.transport
        self._framed = framed
        self._lost = False
        self._over = False
        self.gone = asyncio.Event()
        self.waiting = False
        self._hung_up: select.epoll | None = None
        self._transport.set_protocol(self)
        self._transport.resume_reading()
        self._reader.set_transport(self._transport)
        self._writer = asyncio.StreamWriter(self._transport, self, self._reader, loop)
        self._watch()
        self._writer.write(_head(request, framed))

    # --- the peer ----------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes:
        try:
            return await self._reader.read(PIECE)
        except ConnectionError:
            return b""

    async def send(self, stream: str, data: bytes) -> None:
        self._writer.write(wire.frame(KINDS[stream], data) if self._framed else data)
        self.waiting = True
        try:
            await self._writer.drain()
        finally:
            self.waiting = False

    # --- its end -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """The session is over. Where all went well: send what is left, then the end, and wait for the client to hang up."""
        try:
            if kind is None:
                with suppress(ConnectionError):
                    await self._say_goodbye()
        finally:
            self._over = True
            self._unwatch()
            self._transport.abort()
            self._tell()

    async def _say_goodbye(self) -> None:
        self._transport.set_write_buffer_limits(0)
        await self._writer.drain()  # however slowly it is read
        if not self.gone.is_set():
            self._transport.write_eof()
            await within(LINGER, self._drop_input())

    async def _drop_input(self) -> None:
        while await self.receive():
            pass

    # --- what aiohttp would hear --------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost = True
        self._unwatch()
        self.gone.set()
        self._tell()

    def _tell(self) -> None:
        if self._over and self._lost:
            self._old.connection_lost(None)

    def _watch(self) -> None:
        """A client that goes is seen also while nothing is read from it (EPOLLHUP, see epoll_ctl(2))."""
        self._hung_up = select.epoll()
        self._hung_up.register(self._transport.get_extra_info("socket").fileno(), 0)
        asyncio.get_running_loop().add_reader(self._hung_up.fileno(), self._on_hang_up)

    def _on_hang_up(self) -> None:
        self._unwatch()
        self.gone.set()

    def _unwatch(self) -> None:
        if self._hung_up:
            asyncio.get_running_loop().remove_reader(self._hung_up.fileno())
            self._hung_up.close()
            self._hung_up = None


class Taken(web.StreamResponse):
    """What a handler returns when the connection was no longer aiohttp's: nothing is sent for it."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def _head(request: web.Request, framed: bool) -> bytes:
    """`UPGRADED` for a client that asks for it; others know only `OK`, and framed content by no name of its own."""
    if hdrs.UPGRADE not in request.headers:
        return f"HTTP/1.1 200 OK\r\nContent-Type: {RAW}\r\n\r\n".encode()
    kind = MULTIPLEXED if framed and api_version(request) >= (1, 42) else RAW
    return f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
