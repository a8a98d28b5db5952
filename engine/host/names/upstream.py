"""Asking further: the real name servers, for names that are not ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import NamedTuple

from dns.rcode import Rcode

from engine.host.names.door import Door
from engine.host.names.query import HEADER, Query

PORT = 53
MOST_SERVERS = 3
"""As resolv.conf(5) has it: MAXNS."""
PATIENCE = 4.0
"""Seconds that one server may take."""
TRY_NEXT = (Rcode.SERVFAIL, Rcode.REFUSED)
"""The server cannot say. Every other code is an answer, NXDOMAIN too."""


class Server(NamedTuple):
    address: str
    of_host: bool
    """It listens on the host's own loopback: asked from there, and not from inside the namespace."""


class Upstream:
    """The servers of one namespace, asked one after the other."""

    def __init__(self, namespace: str, servers: Iterable[Server]) -> None:
        self._door = Door(namespace)
        self.servers = tuple(servers)[:MOST_SERVERS]

    async def ask(self, query: Query, *, tcp: bool) -> bytes | None:
        """The first usable answer, unchanged. None: nobody had one."""
        for server in self.servers:
            try:
                async with asyncio.timeout(PATIENCE):
                    reply = await self._ask(server, query, tcp)
            except OSError:  # a timeout too
                continue
            if reply[3] & 0xF not in TRY_NEXT:
                return reply
        return None

    async def _ask(self, server: Server, query: Query, tcp: bool) -> bytes:
        loop = asyncio.get_running_loop()
        # A socket of its own for every query: a stranger who wants to answer in the server's place must guess its port.
        with await self._socket(server, tcp) as peer:
            await loop.sock_connect(peer, (server.address, PORT))
            await loop.sock_sendall(peer, framed(query.wire) if tcp else query.wire)
            while True:
                reply = await _read_framed(peer) if tcp else await loop.sock_recv(peer, 65535)
                if _answers(reply, query):
                    return reply

    async def _socket(self, server: Server, tcp: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        if server.of_host:
            return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        return await self._door.socket(family, kind)


def framed(message: bytes) -> bytes:
    """As it goes over TCP: its length first (RFC 1035, 4.2.2)."""
    return len(message).to_bytes(2) + message


async def _read_framed(peer: socket.socket) -> bytes:
    return await _read(peer, int.from_bytes(await _read(peer, 2)))


async def _read(peer: socket.socket, length: int) -> bytes:
    loop, found = asyncio.get_running_loop(), b""
    while len(found) < length:
        part = await loop.sock_recv(peer, length - len(found))
        if not part:
            raise ConnectionResetError
        found += part
    return found


def _answers(reply: bytes, query: Query) -> bool:
    """Is this the answer to that query, and not a late one or a stranger's? Some servers leave the question out of errors."""
    if len(reply) < HEADER.size or reply[:2] != query.wire[:2] or not reply[2] >> 7:
        return False
    ours, theirs = query.question, reply[HEADER.size : query.end]
    return (theirs[:-4].lower(), theirs[-4:]) == (ours[:-4].lower(), ours[-4:]) or reply[4:6] == b"\0\0"
