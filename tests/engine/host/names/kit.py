"""Clients inside a namespace, and name servers that do as a test says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import dns.message
import dns.rrset
from dns.message import Message
from dns.rcode import Rcode

from engine.host.names.upstream import framed
from engine.host.netns import KernelNetns, inside

NAMES = "127.0.0.11"
BUSYBOX = "busybox"

Say = Callable[[bytes, bool], list[bytes]]
"""(query, by TCP?) -> answers; none: silence."""


def sock(place: str, tcp: bool = False) -> socket.socket:
    """A socket of a namespace."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    return inside(place, lambda: socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK))


def question(name: str, kind: str = "A", **more: Any) -> bytes:
    return dns.message.make_query(name, kind, **more).to_wire()


async def ask(place: str, name: str, kind: str = "A", *, tcp: bool = False, server: str = NAMES, **more: Any) -> Message:
    """The answer to one question, asked from inside a namespace."""
    return dns.message.from_wire(await exchange(place, question(name, kind, **more), tcp=tcp, server=server))


async def exchange(place: str, wire: bytes, *, tcp: bool = False, server: str = NAMES) -> bytes:
    loop = asyncio.get_running_loop()
    with sock(place, tcp) as client:
        async with asyncio.timeout(10):
            await loop.sock_connect(client, (server, 53))
            if not tcp:
                await loop.sock_sendall(client, wire)
                return await loop.sock_recv(client, 65535)
            await loop.sock_sendall(client, framed(wire))
            return await receive(client)


async def receive(client: socket.socket) -> bytes:
    """One message by TCP."""
    return await _exactly(client, int.from_bytes(await _exactly(client, 2)))


async def _exactly(client: socket.socket, length: int) -> bytes:
    loop, found = asyncio.get_running_loop(), b""
    while len(found) < length:
        part = await loop.sock_recv(client, length - len(found))
        if not part:
            raise EOFError
        found += part
    return found


async def nslookup(netns: KernelNetns, name: str, *words: str) -> str:
    """What busybox finds."""
    child = await asyncio.create_subprocess_exec(
        "nsenter", f"--net={netns.path(name)}", BUSYBOX, "nslookup", *words, NAMES, stdout=asyncio.subprocess.PIPE
    )
    return (await child.communicate())[0].decode()


def said(answer: Message) -> set[str]:
    """What the records say."""
    return {record.to_text() for records in answer.answer for record in records}


class Upstream:
    """A name server at an address of a namespace (None: the test's own), by UDP and TCP. It remembers who asked."""

    def __init__(self, place: str | None, address: str, say: Say) -> None:
        self.address, self.say = address, say
        self.heard: list[tuple[Message, bool]] = []
        self.waiting = asyncio.Condition()
        self._stack = ExitStack()
        self._udp, self._tcp = inside(place, self._bind) if place else self._bind()
        self._tasks = [asyncio.create_task(serve()) for serve in (self._datagrams, self._connections)]

    async def heard_of(self, number: int) -> None:
        """Wait until so many queries have come."""
        async with self.waiting:
            await asyncio.wait_for(self.waiting.wait_for(lambda: len(self.heard) >= number), 10)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stack.close()

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        udp, tcp = (
            self._stack.enter_context(socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK))
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        )
        for held in (udp, tcp):
            held.bind((self.address, 53))
        tcp.listen()
        return udp, tcp

    async def _hear(self, wire: bytes, tcp: bool) -> list[bytes]:
        async with self.waiting:
            self.heard.append((dns.message.from_wire(wire), tcp))
            self.waiting.notify_all()
        return self.say(wire, tcp)

    async def _datagrams(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wire, client = await loop.sock_recvfrom(self._udp, 65535)
            for answer in await self._hear(wire, False):
                await loop.sock_sendto(self._udp, answer, client)

    async def _connections(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._tcp)
            with client:
                for answer in await self._hear(await receive(client), True):
                    await loop.sock_sendall(client, framed(answer))


Start = Callable[..., Awaitable[Upstream]]


def answering(text: str = "203.0.113.7") -> Say:
    """Says this address, whatever the name."""

    def say(wire: bytes, tcp: bool) -> list[bytes]:
        query = dns.message.from_wire(wire)
        answer = dns.message.make_response(query)
        answer.answer.append(dns.rrset.from_text(query.question[0].name, 30, "IN", "A", text))
        return [answer.to_wire()]

    return say


def failing(rcode: Rcode) -> Say:
    def say(wire: bytes, tcp: bool) -> list[bytes]:
        answer = dns.message.make_response(dns.message.from_wire(wire))
        answer.set_rcode(rcode)
        return [answer.to_wire()]

    return say


def silent(wire: bytes, tcp: bool) -> list[bytes]:
    return []
