"""A machine of a test's own: a network namespace for engines, an uplink, and a host at its other end."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from engine.host.netns import inside
from tests.bench.peer import Namespace

ADDRESS = "192.0.2.1"
"""The machine's own, on its uplink (TEST-NET-1, RFC 5737)."""
OUTSIDE = "192.0.2.9"
WEB, DNS = 8080, 53
NAMED = "198.51.100.7"
"""What the name server outside answers, whatever the name."""
PATIENCE = 10.0
"""Seconds until a packet that does not come counts as lost."""


@dataclass
class Machine:
    """Nobody knows a way back to containers: only masqueraded packets are answered by the host outside."""

    own: Namespace
    outside: Namespace
    asked: list[bytes] = field(default_factory=list)
    """Questions that reached the name server."""

    def shown(self, *command: str) -> str:
        """Output of a command that must succeed, run on the machine."""
        return run(*self.own.enter, *command)

    def kernel(self) -> dict[str, str]:
        """All that an engine could change, in words that do not change by themselves (indexes, counters, carriers)."""
        routes, rules = self.shown("ip", "route"), self.shown("nft", "--stateless", "list", "ruleset")
        return {
            "links": "\n".join(sorted(line.split()[0] for line in self.shown("ip", "-brief", "link").splitlines())),
            "addresses": "\n".join(sorted(self.shown("ip", "-brief", "-4", "address").split())),
            "routes": "\n".join(sorted(line.replace(" linkdown", "").strip() for line in routes.splitlines())),
            "rules": rules,
            "forwarding": self.shown("sysctl", "-a", "-r", r"^net\.ipv4\.(ip_forward|conf\..*\.forwarding)$"),
        }


async def fetch(netns: str, address: str, port: int, timeout: float = PATIENCE) -> str | None:
    """What a web server says to somebody in a namespace (a path); None when there is no answer in time, or a refusal.

    As a process in there would ask, but for a timeout that works: busybox's wget dies of its own.
    """
    client = _socket(netns, socket.SOCK_STREAM)
    with client, suppress(OSError, TimeoutError):
        async with asyncio.timeout(timeout):
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (address, port))
            await loop.sock_sendall(client, b"GET / HTTP/1.0\r\n\r\n")
            said = b""
            while more := await loop.sock_recv(client, 4096):
                said += more
            return said.decode().partition("\r\n\r\n")[2].strip()
    return None


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@asynccontextmanager
async def machine(tag: str) -> AsyncIterator[Machine]:
    """`tag` makes the names of its namespaces unique."""
    async with AsyncExitStack() as stack:
        found = Machine(
            stack.enter_context(Namespace(f"longshore-m{tag}")), stack.enter_context(Namespace(f"longshore-o{tag}"))
        )
        inner, outer = found.own.enter, found.outside.enter
        run(*inner, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", found.outside.name)
        for enter, link, address in ((inner, "up0", ADDRESS), (outer, "eth0", OUTSIDE)):
            run(*enter, "ip", "address", "add", f"{address}/24", "dev", link)
            run(*enter, "ip", "link", "set", link, "up")
        await stack.enter_async_context(_web(found.outside))
        await stack.enter_async_context(_dns(found))
        yield found


@asynccontextmanager
async def _web(place: Namespace) -> AsyncIterator[None]:
    """A web server that tells everybody the address it sees."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.0 200 OK\r\n\r\n{writer.get_extra_info('peername')[0]}\n".encode())
        await writer.drain()
        writer.close()

    there = _socket(path(place), socket.SOCK_STREAM)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    there.bind((OUTSIDE, WEB))
    async with await asyncio.start_server(answer, sock=there):
        yield


class _NameServer(asyncio.DatagramProtocol):
    """Answers every question with one A record (RFC 1035)."""

    def __init__(self, asked: list[bytes]) -> None:
        self.asked = asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        self.asked.append(question)
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(NAMED)
        answers = int(question.endswith(b"\0\1\0\1"))  # none where something else than an A record is asked for
        head = data[:2] + b"\x81\x80" + struct.pack(">4H", 1, answers, 0, 0)
        self.transport.sendto(head + question + record * answers, address)


@asynccontextmanager
async def _dns(place: Machine) -> AsyncIterator[None]:
    there = _socket(path(place.outside), socket.SOCK_DGRAM)
    there.bind((OUTSIDE, DNS))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _NameServer(place.asked), sock=there)
    try:
        yield
    finally:
        transport.close()


def path(place: Namespace) -> str:
    return f"/run/netns/{place.name}"


def _socket(netns: str, kind: socket.SocketKind) -> socket.socket:
    """A socket that lives in the namespace it was opened in."""
    made = inside(netns, lambda: socket.socket(socket.AF_INET, kind))
    made.setblocking(False)
    return made
