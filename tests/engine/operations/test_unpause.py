"""unpause: pause, reversed."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import EngineError
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import REACH


async def test_it_thaws(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.PAUSED](engine)
    await engine.do("unpause", "web")
    c = engine.resolve("web")
    assert c.status is Status.RUNNING and "Freeze" not in c.held
    assert not world.tasks[c.id].frozen
    assert steps(engine) == ["-Freeze"]
    assert (await told(engine))[-1] == "unpause"


@pytest.mark.parametrize("status", [Status.CREATED, Status.RUNNING, Status.EXITED])
async def test_of_what_is_not_frozen_it_is_an_error_as_docker_says_it(engine: Engine, status: Status) -> None:
    await REACH[status](engine)
    with pytest.raises(EngineError, match="not paused") as error:
        await engine.do("unpause", "web")
    assert error.value.status == 500
