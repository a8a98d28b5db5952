"""`/containers/{name}/attach`: the standard streams of a container's own process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from aiohttp import WSMsgType, web

from engine.api.hijack import RAW, Connection, Taken
from engine.api.query import flag
from engine.api.reply import Routes, engine_of
from engine.model.container import Container
from engine.model.errors import EngineError
from engine.sessions.attach import Wanted, attach
from engine.sessions.joined import Peer


def _wanted(request: web.Request) -> Wanted:
    return Wanted(
        stdin=flag(request, "stdin"),
        stdout=flag(request, "stdout"),
        stderr=flag(request, "stderr"),
        logs=flag(request, "logs"),
        stream=flag(request, "stream"),
        keys=request.query.get("detachKeys", ""),
    )


async def attach_raw(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/attach"""
    async with AsyncExitStack() as stack:

        async def take(c: Container) -> Peer:
            return await stack.enter_async_context(Connection(request, framed=not c.config.tty))

        try:
            await attach(engine_of(request), request.match_info["name"], _wanted(request), take)
        except EngineError as error:
            # dockerd has the connection by now, and writes its answer by hand.
            response = web.Response(status=error.status, body=f"{error}\r\n".encode(), content_type=RAW)
            response.force_close()
            return response
    return Taken()


class _WebSocket:
    """A browser: a `Peer` that gets every stream as it is, in binary messages."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self.gone = asyncio.Event()
        self.waiting = False

    async def receive(self) -> bytes:
        message = await self._socket.receive()
        while message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                self.gone.set()
                return b""
            message = await self._socket.receive()
        data = message.data
        return data if isinstance(data, bytes) else str(data).encode()

    async def send(self, stream: str, data: bytes) -> None:
        self.waiting = True
        try:
            await self._socket.send_bytes(data)
        finally:
            self.waiting = False


async def attach_socket(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/attach/ws"""
    socket = web.WebSocketResponse()

    async def take(c: Container) -> Peer:
        await socket.prepare(request)
        return _WebSocket(socket)

    await attach(engine_of(request), request.match_info["name"], _wanted(request), take)
    await socket.close()
    return socket


ROUTES: Routes = (
    ("POST", "/containers/{name}/attach", attach_raw),
    ("GET", "/containers/{name}/attach/ws", attach_socket),
)
