"""create_network: a bridge, its rules, and ranges that nobody else has."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from engine.core import Engine
from engine.host.simulated import simulated
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import Conflict, EngineError, Forbidden, Invalid, NotBuilt, NotFound
from engine.model.network import Network
from engine.model.run import Move
from engine.model.status import NetworkVerb
from engine.networks import Networks
from engine.operations.create_network import create_network
from tests.engine.faults import KINDS, Faults, Killed
from tests.engine.operations.seen import told


async def made(engine: Engine, **body: Any) -> Network:
    done = await engine.do("create_network", "", {"body": {"Name": "front"} | body})
    return engine.networks.find(done.id)


async def test_a_bridge_with_rules_and_a_range_of_its_own(engine: Engine, world: SimulatedWorld) -> None:
    n = await made(engine, Labels={"a": "b"})
    assert n.bridge == f"br-{n.id[:12]}" and n.bridge in world.bridges and n.bridge in world.tables
    assert not ip_network(n.subnet).overlaps(ip_network(engine.networks.all["bridge"].subnet))
    assert n.gateway == str(ip_network(n.subnet)[1]) and n.labels == {"a": "b"} and not n.ipv6
    assert engine.hub.world.networks["front"].up and engine.hub.world.networks["front"].nat
    assert await told(engine) == ["network create"]


async def test_what_is_asked_for_is_kept(engine: Engine) -> None:
    aux = {"nas": "172.30.5.1"}
    ipv4 = {"Subnet": "172.30.0.0/16", "IPRange": "172.30.5.0/24", "Gateway": "172.30.0.9", "AuxiliaryAddresses": aux}
    ranges = [ipv4, {"Subnet": "fd00:30::/64"}]
    options = {"com.docker.network.bridge.name": "front0", "com.docker.network.driver.mtu": "1400"}
    n = await made(engine, IPAM={"Config": ranges}, EnableIPv6=True, Internal=True, Options=options)
    assert n.ipv4 and n.ipv6 and n.internal
    assert (n.ipv4.subnet, n.ipv4.gateway, n.ipv4.ip_range, n.ipv4.aux) == (
        "172.30.0.0/16",
        "172.30.0.9",
        "172.30.5.0/24",
        aux,
    )
    assert (n.ipv6.subnet, n.ipv6.gateway, n.bridge, n.mtu) == ("fd00:30::/64", "fd00:30::1", "front0", 1400)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"Name": "bridge"}, Forbidden),
        ({"Name": ""}, Invalid),
        ({"Name": "a/b"}, Invalid),
        ({"Driver": "host"}, Forbidden),
        ({"Driver": "overlay"}, Forbidden),
        ({"Driver": "macvlan"}, NotBuilt),
        ({"Driver": "nonsense"}, NotFound),
        ({"ConfigOnly": True}, NotBuilt),
        ({"IPAM": {"Driver": "dhcp"}}, Invalid),
        ({"IPAM": {"Config": [{"Subnet": "172.30.0.0"}, {"Subnet": "172.31.0.0/16"}]}}, Invalid),
        ({"IPAM": {"Config": [{"Subnet": "172.30.0.0/33"}]}}, Invalid),
        ({"IPAM": {"Config": [{"Gateway": "172.30.0.1"}]}}, Invalid),
        ({"IPAM": {"Config": [{"Subnet": "10.84.0.0/24"}]}}, Forbidden),
        ({"IPAM": {"Config": [{"Subnet": "172.30.0.0/24", "Gateway": "172.31.0.1"}]}}, Forbidden),
        ({"IPAM": {"Config": [{"Subnet": "172.30.0.0/24", "IPRange": "172.31.0.0/25"}]}}, Invalid),
        ({"IPAM": {"Config": [{"Subnet": "172.30.0.0/24", "AuxiliaryAddresses": {"a": "1.2.3.4"}}]}}, Forbidden),
        ({"Options": {"com.docker.network.bridge.enable_icc": "maybe"}}, Invalid),
        ({"Options": {"com.docker.network.bridge.name": "much-too-long-a-name"}}, Invalid),
        ({"Options": {"com.docker.network.driver.mtu": "12"}}, Invalid),
        ({"Options": {"com.docker.network.bridge.name": "longshore0"}}, Forbidden),
        ("nonsense", Invalid),
    ],
)
async def test_what_cannot_be_is_refused_and_leaves_nothing(
    engine: Engine, world: SimulatedWorld, body: Any, error: type[EngineError]
) -> None:
    before = dict(world.records)
    with pytest.raises(error):
        await engine.do("create_network", "", {"body": {"Name": "front"} | body if isinstance(body, dict) else body})
    assert world.records == before and world.bridges == {"longshore0"}


async def test_a_name_is_taken_once(engine: Engine) -> None:
    await made(engine)
    with pytest.raises(Conflict, match="already exists"):
        await made(engine)


async def test_ranges_go_round(engine: Engine) -> None:
    first, second = await made(engine), await made(engine, Name="back")
    await engine.do("remove_network", "front")
    third = await made(engine, Name="third")
    assert len({first.subnet, second.subnet, third.subnet}) == 3


async def test_a_lesson_makes_it_step_by_step(engine: Engine, world: SimulatedWorld) -> None:
    plan = await engine.begin("create_network", "", {"body": {"Name": "front"}})
    assert [step.name for step in plan.steps] == ["Make a bridge", "Write the firewall's rules"] and plan.name == "front"
    plan = await engine.advance(plan.container, Move.NEXT)
    assert plan.steps[0].now == "up" and len(world.bridges) == 2
    plan = await engine.advance(plan.container, Move.BACK)
    assert len(world.bridges) == 1
    plan = await engine.advance(plan.container, Move.RUN)
    assert plan.way == "done" and len(world.bridges) == 2


@pytest.mark.parametrize("verb", list(NetworkVerb))
async def test_a_fault_at_any_call_leaves_it_whole_or_not_at_all(verb: NetworkVerb) -> None:
    at, struck = 0, True
    while struck:
        for kind in KINDS:
            struck = await strike(verb, at, kind)
        at += 1
    assert at > 2


async def strike(verb: NetworkVerb, at: int, kind: str) -> bool:
    world = SimulatedWorld()
    faults = Faults()
    networks = Networks(faults.wrap(simulated(world)))
    await networks.open()
    if verb is NetworkVerb.REMOVE:
        n = await networks.new({"Name": "front"})
        await networks.run(create_network(n), n)
    faults.plan = {len(faults.calls) + at: kind}
    try:
        n = await networks.new({"Name": "front"}) if verb is NetworkVerb.CREATE else networks.find("front")
        await networks.run(create_network(n) if verb is NetworkVerb.CREATE else networks.removal(n, ()), n)
    except (EngineError, Killed):
        pass
    after = Networks(simulated(world))
    await after.open()
    names = {n.bridge for n in after.all.values() if n.bridge}
    assert world.bridges == world.tables == names, f"{verb}, {kind} at {at}"
    return bool(faults.fired)
