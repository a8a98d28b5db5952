"""What comes to the sockets in user space reaches the container unchanged, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import select
import socket
import struct
import subprocess
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from engine.host.ports import HostPorts
from engine.host.ports.holder.loop import Loop
from engine.host.ports.holder.ports import Port
from engine.model.network import Target
from tests.engine.host.helpers import helpers
from tests.engine.host.ports.world import (
    CONTAINER,
    ID,
    Make,
    datagrams,
    exchange,
    files,
    has_files,
    server,
    tcp,
    udp,
)

ONLY_IPV4 = ("127.0.0.1", "127.0.0.2", "::1")
"""Addresses of the host, from which a container that has only IPv4 is to be reached."""


@pytest.mark.parametrize("address", ONLY_IPV4)
async def test_megabytes_both_ways(ports: HostPorts, address: str) -> None:
    data = random.Random(1).randbytes(8 << 20)
    async with server() as port:
        await ports.take(ID, (tcp(port, 8080, host_ip=""),), CONTAINER)
        heard = await exchange(data, 8080, address)
    assert hashlib.sha256(heard).digest() == hashlib.sha256(data).digest()


async def test_ipv6_goes_to_the_containers_own(ports: HostPorts) -> None:
    async def name(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("sockname")[0].encode())

    async with server(name, "::1") as port:
        await ports.take(ID, (tcp(port, 8080, host_ip=""),), Target(bridge="", address="127.0.0.9", address6="::1"))
        assert await exchange(b"", 8080, "::1") == b"::1"


async def test_a_container_that_has_only_ipv6(ports: HostPorts) -> None:
    async with server(address="::1") as port:
        await ports.take(ID, (tcp(port, 8080, host_ip=""),), Target(bridge="", address="", address6="::1"))
        assert await exchange(b"carried over", 8080) == b"carried over"


async def test_the_end_of_one_direction_leaves_the_other_open(ports: HostPorts) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = len(await reader.read())  # to the end
        writer.write(f"{length}\n".encode())
        assert writer.can_write_eof()

    async with server(count) as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        assert await exchange(100_000 * b"x", 8080) == b"100000\n"
        assert await exchange(b"", 8080) == b"0\n"  # an end before we are connected


async def test_the_containers_end_leaves_the_clients_direction_open(ports: HostPorts) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def ends_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        heard.set_result(await reader.read())

    async with server(ends_first) as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
        assert await reader.read() == b""
        writer.write(b"after the end")
        writer.close()
        assert await heard == b"after the end"


async def test_who_does_not_read_makes_the_other_wait(ports: HostPorts, path: Path) -> None:
    may_read = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        writer.write(hashlib.sha256(await reader.read()).digest())

    async with server(late) as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        holder = psutil.Process(*helpers(path))
        before = holder.memory_info().rss
        data = random.Random(2).randbytes(64 << 20)
        with socket.create_connection(("127.0.0.1", 8080)) as client:
            client.settimeout(0.3)
            sent = fill(client, data)
            assert sent < 32 << 20
            assert holder.memory_info().rss - before < 4 << 20
            cpu = sum(holder.cpu_times()[:2])
            await asyncio.sleep(0.2)
            assert sum(holder.cpu_times()[:2]) - cpu < 0.1  # it waits, and does not spin
            may_read.set()
            client.shutdown(socket.SHUT_WR)
            digest = await asyncio.to_thread(client.recv, 100)
        assert digest == hashlib.sha256(data[:sent]).digest()


def fill(client: socket.socket, data: bytes) -> int:
    """Send until nothing more is taken for a while; how much it was."""
    sent = 0
    try:
        while sent < len(data):
            sent += client.send(data[sent : sent + 100_000])
    except TimeoutError:
        pass
    return sent


async def test_a_reset_is_handed_on(ports: HostPorts) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with server(reset) as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        with pytest.raises(ConnectionResetError):
            await exchange(b"x", 8080)


async def test_nobody_listens_in_the_container(ports: HostPorts, path: Path) -> None:
    async with server() as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
    [pid] = helpers(path)
    before = files(pid)
    with pytest.raises(ConnectionResetError):
        await exchange(b"x", 8080)
    await has_files(pid, before)


async def test_a_client_that_breaks_off_frees_a_container_that_does_not_read(ports: HostPorts, path: Path) -> None:
    broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await broken

    async with server(deaf) as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        [pid] = helpers(path)
        before = files(pid)
        client = socket.create_connection(("127.0.0.1", 8080))
        client.settimeout(0.3)
        assert await asyncio.to_thread(fill, client, bytes(64 << 20)) < 32 << 20
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await has_files(pid, before)
        broken.set_result(None)


async def test_thousands_of_connections_leave_nothing(ports: HostPorts, path: Path) -> None:
    async with server() as port:
        await ports.take(ID, (tcp(port, 8080, host_ip=""),), CONTAINER)
        [pid] = helpers(path)
        before = files(pid)

        async def client(number: int) -> None:
            for _ in range(100):
                if number % 4:
                    assert await exchange(b"hello", 8080, "::1") == b"hello"
                else:
                    _, writer = await asyncio.open_connection("127.0.0.1", 8080)
                    writer.transport.abort()

        await asyncio.gather(*map(client, range(20)))
        await has_files(pid, before)


async def test_connections_end_with_what_they_came_by(ports: HostPorts) -> None:
    async with server() as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        await ports.give_back(ID)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_another_target(ports: HostPorts) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"the other one")

    async with server() as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        assert await exchange(b"x", 8080) == b"x"
    async with server(other, "127.0.0.10", port):
        before = await ports.look(ID)
        await ports.take(ID, (tcp(port, 8080),), Target(bridge="", address="127.0.0.10"))
        assert await ports.look(ID) == before
        assert await exchange(b"", 8080) == b"the other one"


@pytest.mark.parametrize("address", ONLY_IPV4)
async def test_datagrams_there_and_back(ports: HostPorts, address: str) -> None:
    with datagrams() as container, datagrams(address) as one, datagrams(address) as two:
        await ports.take(ID, (udp(container.getsockname()[1], 5353, host_ip=""),), CONTAINER)
        for client in (one, two):
            client.connect((address, 5353))  # takes no answer from elsewhere: 127.0.0.2 answers as 127.0.0.2
        one.send(b"one")
        data, way = container.recvfrom(100)
        two.send(b"two")
        other, other_way = container.recvfrom(100)
        assert (data, other) == (b"one", b"two") and way != other_way
        container.sendto(b"for two", other_way)
        container.sendto(60_000 * b"1", way)
        container.sendto(b"", way)
        assert two.recv(100) == b"for two"
        assert one.recv(65536) == 60_000 * b"1"
        assert one.recv(100) == b""
        one.send(b"again")
        assert container.recvfrom(100) == (b"again", way)


async def test_the_way_back_of_a_silent_client_is_forgotten(make: Make, path: Path) -> None:
    ports = make(idle=0.05)
    with datagrams() as container, datagrams("127.0.0.1") as client:
        await ports.take(ID, (udp(container.getsockname()[1], 5353),), CONTAINER)
        [pid] = helpers(path)
        before = files(pid)
        client.sendto(b"1", ("127.0.0.1", 5353))
        container.recv(100)
        await has_files(pid, before)
        client.sendto(b"2", ("127.0.0.1", 5353))
        data, way = container.recvfrom(100)
        container.sendto(b"answer", way)
        assert (data, client.recv(100)) == (b"2", b"answer")


async def test_datagrams_to_nobody_are_lost_and_no_more(ports: HostPorts) -> None:
    with datagrams() as container, datagrams("127.0.0.1") as client:
        port = container.getsockname()[1]
        await ports.take(ID, (udp(port, 5353),), CONTAINER)
        container.close()
        client.sendto(b"lost", ("127.0.0.1", 5353))
        await ports.look(ID)
        with datagrams(port=port) as container:
            client.sendto(b"heard", ("127.0.0.1", 5353))
            while container.recv(100) != b"heard":
                continue


@pytest.fixture
def narrow(machine: None) -> Loop:
    """A holder's loop with few file descriptors; every turn of it is the test's."""
    subprocess.run(["busybox", "ip", "link", "set", "lo", "up"], check=True)
    return Loop(idle=90.0, most=100)


def test_udp_clients_without_number(narrow: Loop) -> None:
    """The most silent ones are forgotten: the newest have a way back, and the files suffice."""
    with datagrams() as container:
        held = Port(narrow, ID, ("udp", "127.0.0.1", 5353), container.getsockname()[1], ("127.0.0.9", ""))
        before = files(os.getpid())
        for number in range(200):
            with datagrams("127.0.0.1") as client:
                client.connect(("127.0.0.1", 5353))
                client.send(str(number).encode())
                narrow.turn()
                data, way = container.recvfrom(100)
                container.sendto(data, way)
                narrow.turn()
                assert client.recv(100) == str(number).encode()
        assert files(os.getpid()) - before == narrow.most_timed
        held.close()
        assert files(os.getpid()) == before - 1


def test_tcp_clients_without_number(narrow: Loop) -> None:
    """Who finds no room is reset, at once; who has it is served."""
    with socket.create_server(("127.0.0.9", 0)) as container, ExitStack() as stack:
        held = Port(narrow, ID, ("tcp", "127.0.0.1", 8080), container.getsockname()[1], ("127.0.0.9", ""))

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", 8080), timeout=10))

        first = connect()
        narrow.turn()
        served, _ = container.accept()
        narrow.room = 0
        second = connect()
        narrow.turn()
        with pytest.raises(ConnectionResetError):
            second.recv(1)
        first.send(b"x")
        while not select.select([served], [], [], 0)[0]:
            narrow.turn()
        assert served.recv(1) == b"x"
        served.close()
        held.close()
