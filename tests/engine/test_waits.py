"""Waiting that begins at an awkward moment."""

from __future__ import annotations

import asyncio

import pytest

from engine.host.simulated_world import SimulatedWorld
from engine.model.status import Status
from engine.waits import moving
from tests.engine.api.conftest import until
from tests.engine.worlds import REACH, end, engine_on, settle


async def test_whoever_comes_between_the_exit_and_the_end_of_the_teardown_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await engine_on(SimulatedWorld())
    await REACH[Status.RUNNING](engine)
    go, real = asyncio.Event(), engine.host.stdio.drop

    async def drop(id: str) -> None:
        await go.wait()
        await real(id)

    monkeypatch.setattr(engine.host.stdio, "drop", drop)
    ending = asyncio.create_task(end(engine, 9))
    await until(lambda: engine.resolve("web").status is Status.EXITED and moving(engine.resolve("web")))
    waiting = asyncio.create_task(engine.wait("web", "not-running"))
    await asyncio.sleep(0)
    assert not waiting.done()
    go.set()
    assert await asyncio.wait_for(waiting, 5) == 9
    await ending
    await settle(engine)
