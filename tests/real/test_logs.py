"""No line of a container's output is lost, doubled or out of order, however often the engine is killed meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from engine.client import Client
from engine.model.container import Container
from engine.model.status import Status
from tests.clients.test_docker import PATIENCE, Docker, lines
from tests.conftest import SpawnEngine
from tests.engines import EngineProcess
from tests.real.watching import run, until

LINES = 25_000
"""On stdout, and as many on stderr."""
KILLS = 5
WORDY = f"i=0; while [ $i -lt {LINES} ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"
MUCH = 8_000
"""Lines: more than one pipe holds, less than the two with the shim between them, so that their writer can end unread."""
TALK = f"i=0; while [ $i -lt {MUCH} ]; do echo line $i; i=$((i+1)); done"
ROTATING = {"max-size": "2k", "max-file": "1000"}
"""A log that takes its time, because each of its many files gets another name with every 2 kB."""
SHIM_SECONDS = 2.0
"""How long a shim waits for the reader of its last output."""
WAITING = f"echo begun; until [ -e /go ]; do sleep 0.02; done; {TALK}; exit 3"
"""Says little, waits for a file, says much, and ends."""


def log_size(engine: EngineProcess, id: str) -> int:
    path = Path(engine.root, "containers", id, f"{id}-json.log")
    return path.stat().st_size if path.exists() else 0


def numbered(word: str, count: int) -> list[str]:
    return [f"{word} {number}" for number in range(count)]


async def waiting(client: Client, host_config: dict[str, Any] | None = None) -> Container:
    """A container that has begun, and whose `/go` is not there yet."""
    await run(client, "web", {"Image": "busybox", "Cmd": ["sh", "-c", WAITING], "HostConfig": host_config or {}})
    c = await client.inspect("web")
    async for line in client.logs("web", follow=True):
        assert line.log == b"begun\n"
        break
    return c


def go(c: Container) -> None:
    Path(f"/proc/{c.state.pid}/root/go").touch()


async def test_killed_again_and_again_while_it_talks(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    async with engine.client() as client:
        id = await run(client, "web", {"Image": "busybox", "Cmd": ["sh", "-c", WORDY]})
    per_line = len('{"log":"out 10000\\n","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}\n')
    for kill in range(KILLS):
        behind = 2 * LINES * per_line * (kill + 1) // (KILLS + 2)
        while log_size(engine, id) <= behind:
            await asyncio.sleep(0.001)
        await engine.kill9()
        await engine.start()
    async with engine.client() as client:
        assert await client.wait("web") == 0
    said = await Docker(engine)("logs", "web")
    assert said.out.splitlines() == numbered("out", LINES)
    assert said.err.splitlines() == numbered("err", LINES)


async def test_it_ends_while_no_engine_lives(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    async with engine.client() as client:
        c = await waiting(client)
    await engine.kill9()
    go(c)
    await until(lambda: not Path(f"/proc/{c.state.pid}").exists())
    await engine.start()
    async with engine.client() as client:
        assert await client.wait("web") == 3
        assert (await client.inspect("web")).status is Status.EXITED
    assert (await Docker(engine)("logs", "web")).out.splitlines() == ["begun", *numbered("line", MUCH)]


async def test_killed_while_the_last_lines_are_written(spawn_engine: SpawnEngine) -> None:
    """The shim still has lines to hand over then; one that is told to go waits only 2 s for somebody who reads them."""
    engine = await spawn_engine()
    async with engine.client() as client:
        c = await waiting(client, {"LogConfig": {"Type": "json-file", "Config": ROTATING}})
    await engine.kill9()
    go(c)
    await until(lambda: not Path(f"/proc/{c.state.pid}").exists())
    await engine.launch()
    directory = Path(engine.root, "containers", c.id)
    await until(lambda: '"Status": "exited"' in (directory / "config.v2.json").read_text())
    await engine.kill9()
    written = sum(path.read_text().count("\n") for path in directory.glob("*-json.log*"))
    assert written < MUCH, "killed too late to show anything"
    await asyncio.sleep(1.5 * SHIM_SECONDS)
    await engine.start()
    async with engine.client() as client:
        assert await client.wait("web") == 3
    assert (await Docker(engine)("logs", "web")).out.splitlines() == ["begun", *numbered("line", MUCH)]


async def test_following_ends_with_the_container(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    docker = Docker(engine)
    async with engine.client() as client, asyncio.timeout(PATIENCE):
        c = await waiting(client)
        async with docker.running("logs", "-f", "--tail", "1", "web") as following:
            assert await lines(following, 1) == ["begun"]
            go(c)
            assert await lines(following, MUCH) == numbered("line", MUCH)
            assert await following.wait() == 0
