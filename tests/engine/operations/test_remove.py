"""remove: past the point of no return, everything create made is taken away."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import Conflict, NotFound
from engine.model.status import FORCED, Status
from tests.engine.operations.seen import told
from tests.engine.worlds import REACH, settle


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED])
async def test_nothing_is_left(engine: Engine, world: SimulatedWorld, status: Status) -> None:
    before = world.owned()
    await REACH[status](engine)
    await engine.do("remove", "web")
    assert world.owned() == before
    with pytest.raises(NotFound, match="No such container: web"):
        engine.resolve("web")
    assert (await told(engine))[-1] == "destroy"


@pytest.mark.parametrize("status", sorted(FORCED))
async def test_what_lives_is_removed_only_by_force(engine: Engine, world: SimulatedWorld, status: Status) -> None:
    before = world.owned()
    await REACH[status](engine)
    with pytest.raises(Conflict, match=f"it is {status}.*force"):
        await engine.do("remove", "web")
    assert engine.resolve("web").status is status
    await engine.do("remove", "web", {"force": True})
    assert world.owned() == before
    events = await told(engine)
    killed = status.alive  # between two starts there is nothing to kill
    assert ("kill 9" in events) is killed and "stop" not in events
    assert events.index("die 137" if killed else "die 7") < events.index("destroy")


async def test_one_made_to_be_removed_goes_when_it_ends(engine: Engine, world: SimulatedWorld) -> None:
    before = world.owned()
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"AutoRemove": True}}
    await engine.do("create", "", {"name": "web", "body": body})
    await engine.do("start", "web")
    await engine.do("stop", "web")
    await settle(engine)
    assert world.owned() == before
    assert (await told(engine))[-1] == "destroy"
