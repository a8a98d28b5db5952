"""`kill -9` of a real engine at every change that a commit makes: the next engine thaws what it finds frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.client import Client
from engine.model.container import Container
from engine.model.errors import Unavailable
from engine.model.status import Status
from tests.engines import EngineProcess
from tests.real.test_kill_matrix import BODY, StandingEngine

pytestmark = pytest.mark.timeout(300)


def frozen(place: EngineProcess, c: Container) -> bool:
    """What the kernel says, on either version of cgroups."""
    for root in (Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup")):
        own = root / place.cgroup_parent.strip("/") / c.id
        if (own / "freezer.state").exists():
            return (own / "freezer.state").read_text().strip() != "THAWED"
        if (own / "cgroup.freeze").exists():
            return (own / "cgroup.freeze").read_text().strip() == "1"
    raise AssertionError("the container has no freezer")


async def commit(client: Client) -> None:
    try:
        await client.commit("web", repository="made")
    except Unavailable:
        pass


async def test_no_kill_leaves_a_container_frozen(place_engine: Callable[[], EngineProcess]) -> None:
    engine = StandingEngine(place_engine())
    await engine.start()
    async with engine.place.client() as client:
        await client.do("create", "", {"name": "web", "body": BODY})
        await client.do("start", "web")
    seen = []
    for number in range(100):
        async with engine.place.client() as client:
            pid = (await client.inspect("web")).state.pid
            engine.stand.write_text(str(number))
            work = asyncio.create_task(commit(client))
            if not await engine.stands(work):
                break
            seen.append(frozen(engine.place, await client.inspect("web")))
            await engine.place.kill9()
            await work
        await engine.start()
        async with engine.place.client() as client:
            c = await client.inspect("web")
            assert (c.status, c.state.pid) == (Status.RUNNING, pid), f"change {number}"
            assert not (c.run and c.run.open) and not frozen(engine.place, c), f"change {number}"
    engine.stand.unlink()
    assert True in seen and False in seen, "it was killed while the container was frozen, and before or after"
    async with engine.place.client() as client:
        assert "made:latest" in {tag for image in await client.images() for tag in image.tags}
