"""restart: stop, then start, in one go for whoever looks."""

from __future__ import annotations

import asyncio

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import EngineError, HostFailed
from engine.model.run import Move
from engine.model.status import Status
from tests.engine.faults import Faults, Killed
from tests.engine.operations.seen import told
from tests.engine.operations.test_crash_matrix import bury
from tests.engine.worlds import BODY, REACH, engine_on, settle


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED, Status.EXITED, Status.CREATED, Status.RESTARTING])
async def test_it_runs_afterwards_whatever_it_was(engine: Engine, status: Status) -> None:
    await REACH[status](engine)
    pid = engine.resolve("web").state.pid
    await engine.do("restart", "web", {"t": 1})
    c = engine.resolve("web")
    assert c.status is Status.RUNNING and c.state.pid > pid and c.restart_count == 0
    assert (await told(engine))[-2:] == ["start", "restart"]


async def test_its_events_are_those_of_both_halves(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)
    so_far = len(await told(engine))
    await engine.do("restart", "web")
    halves = ["kill 15", "network disconnect", "die 143", "stop", "network connect", "start", "restart"]
    assert (await told(engine))[so_far:] == halves


async def test_one_made_to_be_removed_is_not_between_the_halves(engine: Engine) -> None:
    await engine.do("create", "", {"name": "web", "body": {**BODY, "HostConfig": {"AutoRemove": True}}})
    await engine.do("start", "web")
    await engine.do("restart", "web")
    await settle(engine)
    assert engine.resolve("web").status is Status.RUNNING


async def test_who_waits_for_its_end_hears_of_it(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)
    waiting = asyncio.create_task(engine.wait("web", "next-exit"))
    await asyncio.sleep(0)
    await engine.do("restart", "web")
    async with asyncio.timeout(5):
        assert await waiting == 143


async def test_an_engine_killed_between_the_halves_is_followed_by_one_that_starts_it() -> None:
    world = SimulatedWorld()
    first = await engine_on(world)
    await REACH[Status.RUNNING](first)
    faults = Faults()
    engine = await engine_on(world, faults)
    faults.calls.clear()
    # The first call of the second half.
    faults.plan = {}
    await engine.do("restart", "web")
    at = len(faults.calls) - 1 - faults.calls[::-1].index("rootfs.mount")
    again = Faults({0: ""})
    engine = await engine_on(world, again)
    again.plan = {len(again.calls) + at: "kill before"}
    with pytest.raises((Killed, EngineError)):
        await engine.do("restart", "web")
    assert again.fired
    await bury()
    last = await engine_on(world)
    await settle(last)
    assert last.resolve("web").status is Status.RUNNING


async def test_a_second_half_that_fails_is_told(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)

    async def broken(mount_id: str) -> str:
        raise HostFailed("cannot mount: no")

    engine.host.rootfs.mount = broken  # type: ignore[method-assign]
    with pytest.raises(HostFailed):
        await engine.do("restart", "web")
    assert engine.resolve("web").status is Status.EXITED


async def test_a_lesson_walks_through_both_halves(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)
    plan = await engine.begin("restart", "web")
    assert plan.verb == "stop" and plan.at == 0
    verbs = set()
    while plan.running:
        verbs.add(plan.verb)
        plan = await engine.advance("web", Move.NEXT)
    assert verbs == {"stop", "start"} and plan.way == "done"
    assert engine.resolve("web").status is Status.RUNNING
