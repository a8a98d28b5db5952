"""pause: the freezer, and nothing else."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import Conflict
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import REACH


async def test_it_freezes(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine)
    await engine.do("pause", "web")
    c = engine.resolve("web")
    assert c.status is Status.PAUSED and c.state.status.alive and c.held[-1] == "Freeze"
    assert world.tasks[c.id].frozen
    assert steps(engine) == ["Freeze"]
    assert (await told(engine))[-1] == "pause"


@pytest.mark.parametrize("status", [Status.CREATED, Status.PAUSED, Status.EXITED])
async def test_only_what_runs_is_frozen(engine: Engine, status: Status) -> None:
    await REACH[status](engine)
    with pytest.raises(Conflict, match=f"cannot pause web: it is {status}"):
        await engine.do("pause", "web")
    assert engine.resolve("web").status is status
