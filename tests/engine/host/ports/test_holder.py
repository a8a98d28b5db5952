"""The holder as a process: it outlives the engine, is found, started again, and gone when it is not needed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from engine.host.ports import HostPorts
from engine.model.errors import HostFailed
from tests.engine.host.helpers import ended, helpers
from tests.engine.host.ports.world import CONTAINER, ID, OTHER, Make, exchange, free, server, tcp, udp

ENGINE = """
import asyncio, sys
from engine.host.ports import HostPorts
from tests.engine.host.ports.world import CONTAINER, ID, tcp

async def main():
    ports = HostPorts(sys.argv[1])
    print(await ports.take(ID, (tcp(int(sys.argv[2]), 8080),), CONTAINER), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def engine(root: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that has published the container's port on 8080."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENGINE, str(root), str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout and b"8080" in await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_connections_outlive_an_engine_that_is_killed(make: Make, path: Path) -> None:
    following = make()
    async with server() as port:
        async with engine(path.parent, port) as process:
            [pid] = helpers(path)
            assert os.getsid(pid) not in (os.getsid(0), os.getsid(process.pid))
            assert os.readlink(f"/proc/{pid}/cwd") == "/"
            reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            process.kill()
            await process.wait()
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        assert await exchange(b"a new one", 8080) == b"a new one"
        assert await following.owners() == {ID}
        assert await following.look(ID) == f"127.0.0.1:8080 tcp held by pid {pid}"
        await following.take(ID, (tcp(port, 8080),), CONTAINER)
        writer.write(b"later")
        assert await reader.readexactly(5) == b"later"
        writer.close()
        await following.give_back(ID)
        assert free(8080)


async def test_killed_it_is_started_again_and_holds_the_same(ports: HostPorts, path: Path) -> None:
    async with server() as port:
        published = await ports.take(ID, (tcp(port, host_ip=""), udp(port)), CONTAINER)
        await ports.take(OTHER, (tcp(port, 8080),), CONTAINER)
        [first] = helpers(path)
        os.kill(first, signal.SIGKILL)
        await ended(first)
        line = await ports.look(ID)
        [second] = helpers(path)
        assert line and line.endswith(f"held by pid {second}") and second != first
        assert await ports.owners() == {ID, OTHER}
        assert await exchange(b"again", published[1].host_port, "::1") == b"again"
        assert await ports.take(ID, (tcp(port, host_ip=""), udp(port)), CONTAINER) == published


async def test_killed_it_is_started_again_unasked(ports: HostPorts, path: Path) -> None:
    async with server() as port:
        await ports.take(ID, (tcp(port, 8080),), CONTAINER)
        [first] = helpers(path)
        os.kill(first, signal.SIGKILL)
        heard = b""
        while not heard:
            with suppress(ConnectionError):
                heard = await exchange(b"again", 8080)
            await asyncio.sleep(0.005)
        assert heard == b"again"


async def test_killed_between_two_engines(make: Make, path: Path) -> None:
    first = make()
    await first.take(ID, (tcp(80, 8080),), CONTAINER)
    await first.close()
    [pid] = helpers(path)
    os.kill(pid, signal.SIGKILL)
    await ended(pid)
    second = make()
    assert await second.look(ID) is None
    await second.give_back(ID)
    await second.take(ID, (tcp(80, 8080),), CONTAINER)
    assert not free(8080)


async def test_it_ends_when_it_is_not_needed(ports: HostPorts, path: Path) -> None:
    await ports.take(ID, (tcp(80, 8080),), CONTAINER)
    [pid] = helpers(path)
    await ports.give_back(ID)
    await ports.close()
    await ended(pid)
    assert os.listdir(path.parent) == []


async def test_it_stays_while_it_holds(make: Make, path: Path) -> None:
    first = make()
    await first.take(ID, (tcp(80, 8080),), CONTAINER)
    [pid] = helpers(path)
    await first.close()
    second = make()
    assert await second.owners() == {ID}
    await second.give_back(ID)
    await second.close()
    await ended(pid)


async def test_looking_and_giving_back_start_none(ports: HostPorts, path: Path) -> None:
    await ports.give_back(ID)
    assert await ports.look(ID) is None and await ports.owners() == set()
    assert helpers(path) == []


async def test_one_that_cannot_start_is_said(tmp_path: Path) -> None:
    ports = HostPorts(str(tmp_path / "none"))
    with pytest.raises(HostFailed, match=r"cannot start the process that holds published ports: .*No such file"):
        await ports.take(ID, (tcp(80, 8080),), CONTAINER)
    await ports.close()


@pytest.mark.parametrize("request_", [b"nonsense", b"[]", b'["jump", "a"]', b'["take", "a"]', b'["take", "a", [1], ["", ""]]'])
async def test_nonsense_is_refused_and_harms_nobody(ports: HostPorts, path: Path, request_: bytes) -> None:
    await ports.take(ID, (tcp(80, 8080),), CONTAINER)
    before = await ports.look(ID)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request_ + b"\n")
    assert b"not understood" in await reader.readline()
    writer.close()
    assert await ports.look(ID) == before
    assert await ports.owners() == {ID}


async def test_many_at_once(ports: HostPorts) -> None:
    ids = [f"{number:064x}" for number in range(50)]
    await asyncio.gather(*(ports.take(id, (tcp(80, host_ip=""),), CONTAINER) for id in ids))
    assert await ports.owners() == set(ids)
    lines = await asyncio.gather(*map(ports.look, ids))
    assert len(set(lines)) == 50
    await asyncio.gather(*map(ports.give_back, ids))
    assert await ports.owners() == set()


async def test_only_root_may_ask(ports: HostPorts, path: Path) -> None:
    await ports.take(ID, (tcp(80, 8080),), CONTAINER)
    assert path.stat().st_mode & 0o077 == 0
