"""What only waits can be joined: nobody stands behind somebody's `stop -t -1`, and a lesson keeps nobody from ending."""

from __future__ import annotations

import asyncio

import pytest

from engine.core import Engine
from engine.model.errors import Conflict, NotFound
from engine.model.run import Move
from engine.model.status import Status
from tests.engine.worlds import engine_on, world_in


async def waiting(engine: Engine) -> asyncio.Task[object]:
    """A stop without end, of a process that ignores SIGTERM."""
    task: asyncio.Task[object] = asyncio.create_task(engine.do("stop", "web", {"t": -1}))
    while not ((run := engine.resolve("web").run) and run.verb == "stop" and run.at == 1):
        await asyncio.sleep(0)
    return task


@pytest.fixture
async def stubborn() -> Engine:
    world = await world_in(Status.RUNNING)
    engine = await engine_on(world)
    world.stubborn.add(engine.resolve("web").id)
    return engine


async def test_kill_joins_a_stop(stubborn: Engine) -> None:
    stop = await waiting(stubborn)
    await stubborn.do("kill", "web")
    await stop
    c = stubborn.resolve("web")
    assert c.status is Status.EXITED and c.state.exit_code == 137


async def test_a_shorter_stop_joins_a_longer_one(stubborn: Engine) -> None:
    stop = await waiting(stubborn)
    with pytest.raises(Exception, match="exited already"):
        await stubborn.do("stop", "web", {"t": 0})
    await stop
    assert stubborn.resolve("web").status is Status.EXITED


async def test_a_forced_remove_joins_a_stop(stubborn: Engine) -> None:
    stop = await waiting(stubborn)
    await stubborn.do("remove", "web", {"force": True})
    await stop
    with pytest.raises(NotFound):
        stubborn.resolve("web")


async def test_a_harmless_signal_leaves_the_stop_waiting(stubborn: Engine) -> None:
    stop = await waiting(stubborn)
    await stubborn.do("kill", "web", {"signal": "HUP"})
    assert not stop.done()
    await stubborn.do("kill", "web")
    await stop


async def test_a_lesson_locks_and_is_left_by_who_ends_the_container() -> None:
    engine = await engine_on(await world_in(Status.RUNNING))
    await engine.begin("pause", "web")
    with pytest.raises(Conflict, match="walked through step by step"):
        await engine.do("pause", "web")
    with pytest.raises(Conflict, match="walked through step by step"):
        await engine.begin("pause", "web")
    await engine.do("stop", "web", {"t": 0})
    c = engine.resolve("web")
    assert c.status is Status.EXITED
    with pytest.raises(Conflict, match="no lesson"):
        await engine.advance("web", Move.NEXT)


async def test_a_process_that_ends_unwinds_the_lesson() -> None:
    world = await world_in(Status.RUNNING)
    engine = await engine_on(world)
    await engine.begin("pause", "web")
    host_tasks = engine.host.tasks
    await host_tasks.kill(engine.resolve("web").id, 9)
    assert await engine.wait("web") == 137
    assert engine.resolve("web").status is Status.EXITED and not engine.lessons


async def test_no_way_back_behind_a_signal() -> None:
    engine = await engine_on(await world_in(Status.RUNNING))
    await engine.begin("kill", "web", {"signal": "HUP"})
    plan = await engine.advance("web", Move.NEXT)
    assert plan.way == "done"
    await engine.begin("stop", "web", {"t": 0})
    await engine.advance("web", Move.NEXT)
    for move in (Move.BACK, Move.ABORT):
        with pytest.raises(Conflict, match="no way back"):
            await engine.advance("web", move)
    plan = await engine.advance("web", Move.RUN)
    assert plan.way == "done" and engine.resolve("web").status is Status.EXITED


async def test_the_end_a_lesson_brings_about_does_not_disturb_it() -> None:
    """The process ends while its signal is being sent; the lesson goes on step by step."""
    engine = await engine_on(await world_in(Status.RUNNING))
    plan = await engine.begin("stop", "web")
    while plan.running:
        plan = await engine.advance("web", Move.NEXT)
    assert plan.way == "done" and engine.resolve("web").state.exit_code == 143


async def test_a_start_that_was_given_up_leaves_the_record_as_it_was() -> None:
    engine = await engine_on(await world_in(Status.CREATED))
    before = engine.resolve("web").state
    await engine.begin("start", "web")
    for move in (Move.NEXT, Move.NEXT, Move.ABORT, Move.NEXT, Move.NEXT):
        plan = await engine.advance("web", move)
    assert plan.way == "undone" and "given up" in plan.error
    assert engine.resolve("web").state == before
