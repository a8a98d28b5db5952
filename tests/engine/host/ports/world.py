"""What the tests of published ports start from: containers that answer, and clients of theirs."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from engine.host.ports import HostPorts
from engine.model.network import Binding, Published, Target

ID = "c0ffee" + 58 * "0"
OTHER = "decade" + 58 * "0"
CONTAINER = Target(bridge="lst0", address="127.0.0.9")
"""Stands for a container's address: nothing that is published is bound there."""

Make = Callable[..., HostPorts]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def tcp(port: int, first: int = 0, last: int = 0, host_ip: str = "127.0.0.1", protocol: str = "tcp") -> Binding:
    return Binding(protocol=protocol, port=port, host_ip=host_ip, first=first, last=last)


def udp(port: int, first: int = 0, last: int = 0, host_ip: str = "127.0.0.1") -> Binding:
    return tcp(port, first, last, host_ip, "udp")


def said(published: tuple[Published, ...]) -> list[str]:
    return [str(each) for each in published]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says what it hears; when it hears the end, it ends too."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@asynccontextmanager
async def server(serve: Serve = echo, address: str = CONTAINER.address, port: int = 0) -> AsyncIterator[int]:
    """A container that listens; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, address, port)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def datagrams(address: str = CONTAINER.address, port: int = 0) -> socket.socket:
    """A UDP socket of somebody's, with an end to its patience."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    sock.bind((address, port))
    return sock


async def exchange(data: bytes, port: int, address: str = "127.0.0.1") -> bytes:
    """Everything said, then heard to the end."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(data)
    try:
        writer.write_eof()
    except OSError as error:
        if error.errno != errno.ENOTCONN:  # it is reset already: reading tells
            raise
    answer = await reader.read()
    writer.close()
    return answer


def free(port: int, address: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as sock:
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True


def files(pid: int) -> int:
    """How many file descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


async def has_files(pid: int, number: int) -> None:
    """Wait until a process has so many: nothing tells of it."""
    while files(pid) != number:
        await asyncio.sleep(0.005)


def local_ports(low: int, high: int) -> None:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{low} {high}")


def disable_ipv6() -> None:
    for name in ("all", "default", "lo"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
