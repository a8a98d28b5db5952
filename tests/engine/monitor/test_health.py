"""The health monitor on a host in memory: what it writes down, what it tells, and what it survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.container import Container
from engine.model.errors import HostFailed
from engine.model.status import Status
from engine.monitor.health import Health
from tests.engine.faults import Faults
from tests.engine.worlds import BODY, engine_on

SECOND = 10**9
CHECKED = BODY | {"Healthcheck": {"Test": ["CMD", "true"], "Interval": SECOND, "Retries": 2}}


class Wards(Faults):
    """A host whose probes answer from a list, the last for ever, and whose saves fail while told so."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[int] = [0]
        self.failing: set[str] = set()
        self.refused = 0

    async def call(self, name: str, call: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        if name in self.failing:
            self.refused += 1
            raise HostFailed(f"{name} fails")
        if name == "tasks.probe":
            return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]), b"said\n"
        return await super().call(name, call, *args, **kwargs)


@pytest.fixture
def wards() -> Wards:
    return Wards()


@pytest.fixture
async def engine(wards: Wards) -> AsyncIterator[Engine]:
    engine = await engine_on(SimulatedWorld(), wards)
    health = Health(engine)
    health.open()
    await engine.do("create", "", {"name": "web", "body": CHECKED})
    yield engine
    await health.close()
    await engine.close()


async def until(engine: Engine, status: str) -> Container:
    async with asyncio.timeout(5):
        while not ((health := (c := engine.resolve("web")).state.health) and health.status == status):
            await engine._change()
    return c


async def test_it_becomes_healthy_then_unhealthy_then_healthy(engine: Engine, wards: Wards) -> None:
    wards.answers = [0, 1, 1, 0]
    await engine.do("start", "web")
    for status in ("starting", "healthy", "unhealthy", "healthy"):
        c = await until(engine, status)
    assert c.state.health and c.state.health.log[-1].output == "said\n"
    with engine.events.subscribe(since=0, until=engine.events.clock()) as messages:
        told = [message.action async for message in messages if message.action.startswith("health_status")]
    assert told == ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"]


async def test_a_pause_makes_unhealthy_and_the_next_probe_after_it_healthy(engine: Engine, wards: Wards) -> None:
    await engine.do("start", "web")
    await until(engine, "healthy")
    await engine.do("pause", "web")
    paused = engine.resolve("web")
    assert paused.status is Status.PAUSED and paused.state.health and paused.state.health.status == "unhealthy"
    await engine.do("unpause", "web")
    await until(engine, "healthy")


async def test_it_goes_on_when_a_result_could_not_be_saved(engine: Engine, wards: Wards) -> None:
    wards.answers = [1]
    await engine.do("start", "web")
    await until(engine, "unhealthy")
    wards.failing.add("records.save")
    async with asyncio.timeout(5):
        while wards.refused < 2:
            await asyncio.sleep(0)
    wards.failing.clear()
    wards.answers = [0]
    await until(engine, "healthy")


async def test_it_begins_once_a_dead_engines_probe_can_be_reaped(engine: Engine, wards: Wards) -> None:
    wards.failing.add("tasks.forget_exec")
    await engine.do("start", "web")
    async with asyncio.timeout(5):
        while wards.refused < 2:
            await asyncio.sleep(0)
    wards.failing.clear()
    await until(engine, "healthy")
