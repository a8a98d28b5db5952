"""Attempts from inside a namespace, in bounded time: a TCP connection, a datagram, an ICMP echo, a question about a name."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.exception
import dns.message
import dns.rdatatype

from engine.host.netns import inside
from engine.host.rtnetlink import family_of
from engine.host.sight import Answer, Attempt
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.errors import HostFailed

DATAGRAM = b"\n"
"""What a UDP service is sent: empty, some programs would take it for the end."""

IP_RECVERR, IPV6_RECVERR = 11, 25
"""ip(7), ipv6(7): ICMP errors are errors of the socket."""
ECHO_REQUEST, ECHO_REPLY = {socket.AF_INET: 8, socket.AF_INET6: 128}, {socket.AF_INET: 0, socket.AF_INET6: 129}
ECHO = struct.Struct("!BBHHH")


async def probe(netns: str, address: str, port: int, protocol: str, seconds: float) -> Attempt:
    """Try once. Raises `HostFailed` where there is no such namespace."""
    call = {"tcp": _tcp, "udp": _udp, "icmp": _icmp}[protocol]
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "icmp": socket.SOCK_RAW}[protocol]
    async with _socket(netns, address, kind) as sock:
        began, error = time.monotonic(), ""
        try:
            async with asyncio.timeout(seconds):
                await call(sock, address, port)
            answer = Answer.ANSWERED
        except TimeoutError:
            answer = Answer.SILENT
        except ConnectionRefusedError as refused:
            answer, error = Answer.REFUSED, _words(refused)
        except OSError as refused:
            answer, error = Answer.UNREACHABLE, _words(refused)
        return Attempt(answer=answer, error=error, source=_source(sock), ms=(time.monotonic() - began) * 1000)


async def resolve(netns: str, server: str, name: str, seconds: float) -> tuple[str, ...]:
    """The addresses that a name server says a name has, as somebody inside would hear it; none: there is no such name.

    Raises `HostFailed` when it does not answer, or cannot tell.
    """
    found: list[str] = []
    for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        query = dns.message.make_query(name, kind)
        with doing(f"ask the name server {server}"):
            async with _socket(netns, server, socket.SOCK_DGRAM) as sock, _patience(server, seconds):
                sock.connect((server, 53))
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(sock, query.to_wire())
                said = await loop.sock_recv(sock, 4096)
        try:
            reply = dns.message.from_wire(said)
        except dns.exception.DNSException as error:
            raise HostFailed(f"the name server {server} answers rubbish: {error}") from error
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise HostFailed(f"the name server {server} answers {dns.rcode.to_text(reply.rcode())}")
        found += [str(record) for answer in reply.answer if answer.rdtype == kind for record in answer]
    return tuple(found)


@asynccontextmanager
async def _patience(server: str, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise HostFailed(f"the name server {server} does not answer within {seconds:g} s") from None


@asynccontextmanager
async def _socket(netns: str, address: str, kind: socket.SocketKind) -> AsyncIterator[socket.socket]:
    """A socket that lives in the namespace."""
    family = family_of(address)
    protocol = 0
    if kind == socket.SOCK_RAW:
        protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    with doing(f"open a socket in {netns}"):
        sock = await short(inside, netns, lambda: socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol))
    with sock:
        sock.setblocking(False)
        yield sock


async def _tcp(sock: socket.socket, address: str, port: int) -> None:
    await asyncio.get_running_loop().sock_connect(sock, (address, port))


async def _udp(sock: socket.socket, address: str, port: int) -> None:
    sock.connect((address, port))  # sends nothing yet
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, DATAGRAM)
    await loop.sock_recv(sock, 1)


async def _icmp(sock: socket.socket, address: str, port: int) -> None:
    """RFC 792, RFC 4443 4.1: the reply carries the number we gave. Of IPv6 the kernel makes the checksum."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    sock.connect((address, 0))
    loop, number = asyncio.get_running_loop(), int.from_bytes(os.urandom(2), "big")
    head = ECHO.pack(ECHO_REQUEST[sock.family], 0, 0, number, 1)
    await loop.sock_sendall(sock, ECHO.pack(ECHO_REQUEST[sock.family], 0, _checksum(head), number, 1))
    while True:
        said = await loop.sock_recv(sock, 4096)
        if sock.family == socket.AF_INET:
            said = said[4 * (said[0] & 0xF) :]
        kind, _, _, theirs, _ = ECHO.unpack_from(said)
        if kind == ECHO_REPLY[sock.family] and theirs == number:
            return


def _checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _source(sock: socket.socket) -> str:
    return str(sock.getsockname()[0])


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
