"""One namespace's queries: by UDP and TCP, answered at once or when somebody else has answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from dns.rcode import Rcode

from engine.host.names.answers import Lookup, answer, failure
from engine.host.names.query import Query, Unanswerable, parse
from engine.host.names.upstream import Upstream, framed

MOST_ASKED = 1024
"""Queries of one namespace that wait for other servers; more are refused."""
MOST_ASKED_BY_ALL = 4096
"""The same, of all namespaces together: each takes one of the engine's files."""
MOST_CONNECTIONS = 256
"""TCP connections of one namespace."""
IDLE = 15.0
"""Seconds that a TCP connection may say nothing: more than three servers may take."""
TURN = 16
"""Queries of one connection that are taken at once: some 3 ms."""
MOST_BUFFERED = 2 * (2 + 65535)
"""Bytes received and not yet taken, of one connection: at least one whole message."""

Reply = Callable[[bytes], None]
Asked = set[asyncio.Task[None]]


class Service:
    """The two sockets of one namespace, served from `start` to `close`."""

    def __init__(self, udp: socket.socket, tcp: socket.socket, lookup: Lookup, upstream: Upstream, everybody: Asked) -> None:
        """`everybody`: the queries of all namespaces that wait for other servers."""
        self.udp, self.tcp = udp, tcp
        self.lookup, self.upstream, self.everybody = lookup, upstream, everybody
        self.connections: set[asyncio.Transport] = set()
        self._asked: Asked = set()
        self._datagrams: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: Datagrams(self), sock=self.udp)
        self._listener = await loop.create_server(lambda: Connection(self), sock=self.tcp)

    def close(self) -> None:
        for task in self._asked:
            task.cancel()
        for connection in tuple(self.connections):
            connection.abort()
        if self._datagrams:
            self._datagrams.abort()
        if self._listener:
            self._listener.close()
        self.udp.close()
        self.tcp.close()

    def take(self, wire: bytes, reply: Reply, *, tcp: bool) -> None:
        """Answer a query, now or later."""
        try:
            query = parse(wire)
        except Unanswerable as error:
            if error.reply:
                reply(error.reply)
            return
        own = answer(query, self.lookup, tcp=tcp)
        if own is not None:
            reply(own)
        elif len(self._asked) >= MOST_ASKED or len(self.everybody) >= MOST_ASKED_BY_ALL:
            reply(failure(query, Rcode.REFUSED))
        else:
            task = asyncio.create_task(self._ask(query, reply, tcp))
            for asked in (self._asked, self.everybody):
                asked.add(task)
                task.add_done_callback(asked.discard)

    async def _ask(self, query: Query, reply: Reply, tcp: bool) -> None:
        found = await self.upstream.ask(query, tcp=tcp)
        reply(found or failure(query, Rcode.SERVFAIL))


class Datagrams(asyncio.DatagramProtocol):
    """Queries by UDP: one datagram, one message."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.service.take(data, lambda found: self.transport.sendto(found, addr), tcp=False)

    def error_received(self, exc: Exception) -> None:
        """A client is gone before its answer came: nothing to do."""


class Connection(asyncio.Protocol):
    """Queries by TCP: any number on one connection, each answered when its answer is there (RFC 7766)."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.received = bytearray()
        self.full = self.due = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.idle = asyncio.get_running_loop().call_later(IDLE, transport.abort)
        self.service.connections.add(transport)
        if len(self.service.connections) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.cancel()
        self.service.connections.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._rest()
        if not self.due:
            self._work()

    def pause_writing(self) -> None:
        """The client does not read its answers: no more questions from it until it does."""
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if not self.due:
            self._work()

    def _work(self) -> None:
        """Take some of what was received. The rest waits for its turn: others have questions too."""
        self.due = False
        for _ in range(TURN):
            if self.full or self.transport.is_closing() or (message := self._next()) is None:
                break
            self.service.take(message, self._reply, tcp=True)
        else:
            self.due = True
            asyncio.get_running_loop().call_soon(self._work)
        if len(self.received) > MOST_BUFFERED:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _next(self) -> bytes | None:
        end = 2 + int.from_bytes(self.received[:2])
        if len(self.received) < max(end, 2):
            return None
        message = bytes(self.received[2:end])
        del self.received[:end]
        return message

    def _reply(self, found: bytes) -> None:
        if not self.transport.is_closing():
            self._rest()
            self.transport.write(framed(found))

    def _rest(self) -> None:
        self.idle.cancel()
        self.idle = asyncio.get_running_loop().call_later(IDLE, self.transport.abort)
