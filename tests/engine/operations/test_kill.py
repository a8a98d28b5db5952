"""kill: SIGKILL ends the container and takes it down; any other signal is only sent."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import Conflict, Invalid
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import REACH


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED])
async def test_sigkill_ends_it(engine: Engine, world: SimulatedWorld, status: Status) -> None:
    await REACH[Status.CREATED](engine)
    before = world.owned()
    await engine.do("start", "web")
    if status is Status.PAUSED:
        await engine.do("pause", "web")
    await engine.do("kill", "web")
    c = engine.resolve("web")
    assert c.status is Status.EXITED and c.state.exit_code == 137
    assert world.owned() == before
    assert steps(engine)[:2] == ["Insist", "RecordExit"]
    events = await told(engine)
    assert "kill 9" in events and "die 137" in events and "stop" not in events


async def test_another_signal_is_only_sent(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine)
    before = world.owned()
    await engine.do("kill", "web", {"signal": "HUP"})
    assert engine.resolve("web").status is Status.RUNNING
    assert world.owned()["tasks"] == before["tasks"]
    assert steps(engine) == ["SendSignal"]
    assert (await told(engine))[-1] == "kill 1"


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED])
async def test_what_does_not_run_cannot_be_killed(engine: Engine, status: Status) -> None:
    await REACH[status](engine)
    with pytest.raises(Conflict, match=f"cannot kill web: it is {status}"):
        await engine.do("kill", "web")


async def test_a_signal_nobody_knows(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)
    with pytest.raises(Invalid, match="LOUD"):
        await engine.do("kill", "web", {"signal": "LOUD"})
    assert engine.resolve("web").status is Status.RUNNING
