"""stop: ask, wait, insist; then all of start in reverse."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import AlreadySo
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import BODY, REACH

DOWN = (
    *("CreateTask", "HandOverSpec", "ConnectOutput", "WriteNetworkFiles"),
    *("GiveAddress", "PlugVeth", "MakeNetworkNamespace", "MountLayers"),
)


async def test_what_start_put_up_comes_down_last_first(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.CREATED](engine)
    before = world.owned()
    await engine.do("start", "web")
    await engine.do("stop", "web")
    c = engine.resolve("web")
    assert c.status is Status.EXITED and c.state.exit_code == 143 and c.has_been_manually_stopped
    assert [step for step in steps(engine) if step.startswith("-") and step[1:] in DOWN] == [f"-{name}" for name in DOWN]
    assert steps(engine)[:4] == ["SendSignal", "WaitForExit", "Insist", "RecordExit"]
    assert world.owned() == before
    assert (await told(engine))[3:] == ["kill 15", "network disconnect", "die 143", "stop"]


async def test_who_does_not_listen_is_killed_after_the_grace_time(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine)
    world.stubborn.add(engine.resolve("web").id)
    await engine.do("stop", "web", {"t": 0})
    assert engine.resolve("web").state.exit_code == 137
    assert [event for event in await told(engine) if event.startswith("kill")] == ["kill 15", "kill 9"]


async def test_the_containers_own_signal_is_sent(engine: Engine) -> None:
    await engine.do("create", "", {"name": "web", "body": {**BODY, "StopSignal": "SIGINT", "StopTimeout": 0}})
    await engine.do("start", "web")
    await engine.do("stop", "web")
    assert "kill 2" in await told(engine)


async def test_the_frozen_is_asked_first_and_then_thawed(engine: Engine) -> None:
    await REACH[Status.PAUSED](engine)
    await engine.do("stop", "web")
    assert steps(engine)[:3] == ["SendSignal", "-Freeze", "WaitForExit"]
    assert engine.resolve("web").state.exit_code == 143


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED])
async def test_what_does_not_run_is_stopped_already(engine: Engine, status: Status) -> None:
    await REACH[status](engine)
    with pytest.raises(AlreadySo):
        await engine.do("stop", "web")
