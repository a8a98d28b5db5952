"""remove_network: nothing is left, and nobody loses a network he is on."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import Forbidden, NotFound
from engine.model.status import Status
from tests.engine.operations.seen import told
from tests.engine.worlds import BODY, REACH


async def test_bridge_rules_and_record_go(engine: Engine, world: SimulatedWorld) -> None:
    before = dict(world.records)
    await engine.do("create_network", "", {"body": {"Name": "front"}})
    await engine.do("remove_network", "front")
    assert world.records == before and world.bridges == world.tables == {"longshore0"}
    assert "front" not in engine.hub.world.networks
    assert await told(engine) == ["network create", "network destroy"]


async def test_what_is_in_use_stays(engine: Engine) -> None:
    await engine.do("create_network", "", {"body": {"Name": "front"}})
    await REACH[Status.RUNNING](engine, BODY | {"HostConfig": {"NetworkMode": "front"}})
    with pytest.raises(Forbidden, match="active endpoints of web; disconnect or stop them first"):
        await engine.do("remove_network", "front")
    await engine.do("kill", "web")
    await engine.do("remove_network", "front")
    with pytest.raises(NotFound, match="network front not found"):
        await engine.do("start", "web")


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
async def test_the_predefined_stay(engine: Engine, name: str) -> None:
    with pytest.raises(Forbidden, match="pre-defined"):
        await engine.do("remove_network", name)


async def test_one_that_is_not_there(engine: Engine) -> None:
    with pytest.raises(NotFound):
        await engine.do("remove_network", "nobody")
