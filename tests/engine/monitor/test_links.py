"""What is taken away with a link is told when the kernel tells of it, not when the next round comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import HostFailed
from engine.model.frames import Changed, NetworksChanged
from engine.monitor import links
from engine.monitor.links import Links
from engine.monitor.missing import Missing
from tests.engine.worlds import BODY, engine_on, settle


@pytest.fixture
async def world() -> SimulatedWorld:
    return SimulatedWorld()


@pytest.fixture
async def engine(world: SimulatedWorld) -> AsyncIterator[Engine]:
    engine = await engine_on(world)
    await engine.do("create", "", {"name": "web", "body": BODY})
    await engine.do("start", "web")
    await engine.refresh_networks()
    yield engine
    await settle(engine)


@pytest.fixture
def bell(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Released once for every time that the kernel tells of a change."""
    rings = asyncio.Semaphore(0)
    monkeypatch.setattr(engine.host.links, "changed", rings.acquire)
    monkeypatch.setattr(links, "SECONDS", 0.0)
    monkeypatch.setattr(links, "REST", 0)
    return rings


async def test_a_cable_and_a_bridge_that_are_deleted_are_told_of_at_once(
    engine: Engine, world: SimulatedWorld, bell: asyncio.Semaphore
) -> None:
    following = Links(engine, Missing(engine))
    following.follow(True)
    veth = engine.resolve("web").endpoints[0].veth
    async with asyncio.timeout(5), aclosing(engine.watch()) as frames:  # type: ignore[type-var]
        world.plugs.clear()
        bell.release()
        async for frame in frames:
            if isinstance(frame, Changed):
                assert frame.row.missing == (veth,)
                break
        world.bridges.clear()
        bell.release()
        async for frame in frames:
            if isinstance(frame, NetworksChanged):
                assert not any(row.up for row in frame.networks.values())
                break
    await following.close()


async def test_after_trouble_it_follows_again(engine: Engine, world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0

    async def changed() -> None:
        nonlocal tried
        tried += 1
        raise HostFailed("the kernel does not tell")

    monkeypatch.setattr(engine.host.links, "changed", changed)
    following = Links(engine, Missing(engine))
    for _ in range(2):
        following.follow(True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert tried == 2
    await following.close()


async def test_nobody_follows_what_nobody_sees(
    engine: Engine, bell: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    missing = Missing(engine)
    monkeypatch.setattr(missing, "look", looks.append)
    following = Links(engine, missing)
    following.follow(True)
    await asyncio.sleep(0)
    following.follow(False)
    bell.release()
    await asyncio.sleep(0.01)
    assert looks == []
    await following.close()
