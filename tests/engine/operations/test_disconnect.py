"""disconnect: the cable is pulled, and what hung on it goes over to the next way out."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import EngineError, NotFound
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import BODY, REACH, WIRED


@pytest.fixture
async def engine(engine: Engine) -> Engine:
    for name in ("back", "front"):
        await engine.do("create_network", "", {"body": {"Name": name}})
    return engine


async def test_the_last_cable(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine)
    await engine.do("disconnect", "web", {"network": "bridge"})
    c = engine.resolve("web")
    assert steps(engine) == ["-RewriteNetworkFiles", "SetDefaultRoute", "-GiveAddress", "-PlugVeth", "-Attach"]
    assert not c.plugged and not c.networks and not world.plugs and not world.addresses and not world.routes
    assert c.status is Status.RUNNING and (await told(engine))[-1] == "network disconnect"
    await engine.do("kill", "web")
    await engine.do("start", "web")
    assert not engine.resolve("web").plugged


async def test_ports_go_over_to_the_next_way_out(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine, WIRED)
    await engine.do("connect", "web", {"network": "front"})
    c = engine.resolve("web")
    address = next(e.address for e in c.plugged if e.network == "front")
    await engine.do("disconnect", "web", {"network": "back"})
    assert world.forwards[c.id][0] == address and world.ports[c.id] == c.ports
    assert world.names == {c.sandbox}


async def test_names_end_with_the_last_network_that_has_them(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine)
    await engine.do("connect", "web", {"network": "front"})
    await engine.do("disconnect", "web", {"network": "front"})
    assert not world.names and engine.resolve("web").status is Status.RUNNING
    await engine.do("stop", "web", {"t": 0})
    assert not world.plugs and not world.netns


async def test_one_that_is_not_connected(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine, BODY)
    with pytest.raises(EngineError, match="is not connected to network front"):
        await engine.do("disconnect", "web", {"network": "front"})
    with pytest.raises(NotFound):
        await engine.do("disconnect", "web", {"network": "nobody"})
