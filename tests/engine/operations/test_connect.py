"""connect: another network, at once where it runs, with the next start where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import EngineError, Forbidden, Invalid, NotFound
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import BODY, REACH


@pytest.fixture
async def engine(engine: Engine) -> Engine:
    for name, body in (
        ("front", {"IPAM": {"Config": [{"Subnet": "172.30.0.0/24"}]}}),
        ("back", {}),
        ("inner", {"Internal": True}),
    ):
        await engine.do("create_network", "", {"body": {"Name": name} | body})
    return engine


async def test_a_running_one_is_plugged_in_at_once(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine)
    await engine.do("connect", "web", {"network": "front"})
    c = engine.resolve("web")
    assert steps(engine) == ["Attach", "PlugVeth", "GiveAddress", "AnswerNames", "RewriteNetworkFiles"]
    assert [(e.network, e.interface) for e in c.plugged] == [("bridge", "eth0"), ("front", "eth1")]
    assert world.names == {c.sandbox} and "172.30.0.2" in world.network_files[c.id]
    assert (await told(engine))[-1] == "network connect"


async def test_the_way_out_is_the_first_by_name(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RUNNING](engine, BODY | {"HostConfig": {"NetworkMode": "front"}})
    c = engine.resolve("web")
    await engine.do("connect", "web", {"network": "back"})
    assert "SetDefaultRoute" in steps(engine) and world.routes[c.sandbox] == engine.networks.all["back"].gateway
    await engine.do("disconnect", "web", {"network": "back"})
    assert world.routes[c.sandbox] == engine.networks.all["front"].gateway


async def test_published_ports_wait_for_a_way_out(engine: Engine, world: SimulatedWorld) -> None:
    bindings = {"80/tcp": [{"HostPort": "8080"}]}
    await REACH[Status.RUNNING](engine, BODY | {"HostConfig": {"NetworkMode": "inner", "PortBindings": bindings}})
    assert not world.ports and not world.routes
    await engine.do("connect", "web", {"network": "front"})
    c = engine.resolve("web")
    assert {str(p) for p in c.ports} == {"0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"} and world.forwards[c.id][
        0
    ] == "172.30.0.2"
    await engine.do("disconnect", "web", {"network": "front"})
    assert not world.ports and not world.forwards and not engine.resolve("web").ports


async def test_one_that_does_not_run_is_plugged_in_by_its_start(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.CREATED](engine)
    await engine.do("connect", "web", {"network": "front", "endpoint": {"IPAMConfig": {"IPv4Address": "172.30.0.77"}}})
    assert not world.plugs
    await engine.do("start", "web")
    assert [e.address for e in engine.resolve("web").plugged][1] == "172.30.0.77"


@pytest.mark.parametrize(
    ("mode", "network", "endpoint", "error"),
    [
        ("bridge", "nobody", {}, NotFound),
        ("bridge", "bridge", {}, Forbidden),
        ("bridge", "host", {}, Invalid),
        ("bridge", "none", {}, Invalid),
        ("host", "front", {}, Invalid),
        ("none", "front", {}, Invalid),
        ("bridge", "front", {"IPAMConfig": {"IPv4Address": "10.1.1.1"}}, EngineError),
        ("bridge", "front", {"IPAMConfig": {"IPv4Address": "172.30.0.1"}}, Forbidden),
        ("bridge", "front", {"IPAMConfig": {"IPv4Address": "172.30.0.255"}}, EngineError),
        ("bridge", "back", {"IPAMConfig": {"IPv4Address": "10.86.0.9"}}, Invalid),
        ("bridge", "front", {"MacAddress": "nonsense"}, Invalid),
        ("front", "bridge", {"Aliases": ["db"]}, Invalid),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    engine: Engine, world: SimulatedWorld, mode: str, network: str, endpoint: dict[str, Any], error: type[EngineError]
) -> None:
    await REACH[Status.RUNNING](engine, BODY | {"HostConfig": {"NetworkMode": mode}})
    before = engine.resolve("web"), world.owned()
    with pytest.raises(error):
        await engine.do("connect", "web", {"network": network, "endpoint": endpoint})
    assert (engine.resolve("web"), world.owned()) == before


async def test_two_never_get_the_same_address(engine: Engine) -> None:
    for name in ("a1", "b1"):
        await engine.do("create", "", {"name": name, "body": BODY | {"HostConfig": {"NetworkMode": "front"}}})
        await engine.do("start", name)
    await REACH[Status.RUNNING](engine)
    await engine.do("connect", "web", {"network": "front"})
    found = [e.address for c in engine.ledger.records.values() for e in c.plugged]
    assert len(found) == len(set(found)) == 4
