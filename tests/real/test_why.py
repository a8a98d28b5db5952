"""Why can A not reach B? Each reason made for real, on a machine of the tests' own, and named before all others."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.host.netns import inside
from engine.model.errors import Invalid, NotFound
from engine.model.reach import Outcome
from engine.spec.reach import Reason
from tests.real.machine import ADDRESS, NAMED, OUTSIDE, WEB, fetch, path, run
from tests.real.reaching import SECOND, World, a_world, published, rule, shown

pytestmark = pytest.mark.asyncio(loop_scope="module")

UDP = 53


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def test_neighbours_reach_each_other_by_name_too(world: World) -> None:
    verdict = await world.reaches("web", "db", 80)
    assert verdict.hops[-1].title == "web finds db by its name" and verdict.protocol == "tcp"
    assert {hop.outcome for hop in verdict.hops} == {Outcome.OK}
    assert (await world.reaches("web", "db")).protocol == "icmp"


async def test_a_port_of_udp(world: World) -> None:
    db = await world.client.inspect("db")
    await world.stops(Reason.NOTHING_LISTENS, "web", "db", UDP, "udp")
    with inside(world.enter(db), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("0.0.0.0", UDP))
        verdict = await world.reaches("web", "db", UDP, "udp")
        assert "UDP tells no more" in shown(verdict)
        assert server.recv(10) == b"\n"


async def test_on_the_default_bridge_there_are_no_names(world: World) -> None:
    async with world.one("bridge") as first, world.one("bridge") as second:
        verdict = await world.reaches(first.name, second.name, 80)
        assert [hop.reason for hop in verdict.hops if hop.outcome is Outcome.NOTED] == [Reason.NAMELESS]
        assert second.endpoints[0].address in verdict.sentence


async def test_what_does_not_run(world: World) -> None:
    async with world.one() as c:
        await world.client.do("stop", c.name)
        assert len((await world.stops(Reason.NOT_RUNNING, "web", c.name, 80)).hops) == 2
        await world.stops(Reason.NOT_RUNNING, c.name, "web", 80)


async def test_what_is_frozen(world: World) -> None:
    """The kernel takes connections for a frozen process, so that only its state tells."""
    async with world.one() as c:
        await world.client.do("pause", c.name)
        await world.stops(Reason.FROZEN, "web", c.name, 80)
        await world.client.do("unpause", c.name)
        await world.reaches("web", c.name, 80)


async def test_no_network(world: World) -> None:
    async with world.one("none") as c:
        await world.stops(Reason.NO_NETWORK, "web", c.name, 80)
        await world.stops(Reason.NO_NETWORK, c.name, OUTSIDE, 80)


async def test_different_bridges(world: World) -> None:
    verdict = await world.stops(Reason.DIFFERENT_BRIDGE, "web", "far", 80)
    assert "web on open" in verdict.sentence and "far on other" in verdict.sentence
    async with world.one() as c:
        await world.client.do("connect", c.name, {"network": "other"})
        await world.reaches(c.name, "far", 80)


async def test_a_network_whose_containers_may_not_talk(world: World) -> None:
    async with world.one("closed") as first, world.one("closed") as second:
        verdict = await world.stops(Reason.CLOSED, first.name, second.name, 80)
        assert "isolated" in verdict.hops[-1].shown
        await world.stops(Reason.CLOSED, first.name, second.name)


@pytest.mark.parametrize("bridged", [True, False])
async def test_what_is_published_neighbours_reach_all_the_same(world: World, bridged: bool) -> None:
    """As with Docker, whether the bridge's packets pass the rules of IP or not."""
    world.shown("sysctl", "-q", f"net.bridge.bridge-nf-call-iptables={int(bridged)}")
    async with world.one("closed") as first, world.one("closed", PortBindings=published(":8091:80")) as second:
        assert await fetch(world.enter(first), second.endpoints[0].address, 80, timeout=0.5) is None
        for asker in (world.enter(first), world.enter(second), path(world.here.outside)):
            assert await fetch(asker, ADDRESS, 8091) is not None
        assert await fetch(world.enter(first), second.endpoints[0].gateway, 8091) is not None
        assert await fetch(path(world.here.own), second.endpoints[0].address, 80) is not None


async def test_an_internal_network(world: World) -> None:
    async with world.one("shut") as c, world.one("shut") as neighbour:
        await world.reaches(c.name, neighbour.name, 80)
        await world.stops(Reason.INTERNAL, c.name, OUTSIDE, WEB)
        await world.stops(Reason.INTERNAL, "outside", c.name, 80)


async def test_nothing_listens(world: World) -> None:
    verdict = await world.stops(Reason.NOTHING_LISTENS, "web", "db", 5432)
    assert "80" in verdict.sentence and "81" not in verdict.sentence


async def test_something_listens_on_loopback_only(world: World) -> None:
    verdict = await world.stops(Reason.LISTENS_ELSEWHERE, "web", "db", 81)
    assert "127.0.0.1" in verdict.sentence
    async with world.one("container:db", script="exec sleep 1000") as c:
        await world.reaches(c.name, "db", 81)


async def test_an_address_of_the_wrong_family(world: World) -> None:
    await world.stops(Reason.NO_ADDRESS, "web", "db", 80, family=6)
    async with world.one("both") as first, world.one("both") as second:
        assert second.endpoints[0].address6
        await world.reaches(first.name, second.name, 80, family=6)
        await world.reaches(first.name, second.endpoints[0].address6, 80)
        await world.reaches(first.name, second.name, family=6)
        await world.stops(Reason.NO_WAY_OUT, first.name, "2001:db8::9", 80)


async def test_an_address_that_somebody_took_away(world: World) -> None:
    async with world.one() as c:
        world.within(c, "ip", "address", "flush", "dev", "eth0")
        await world.stops(Reason.ADDRESS_GONE, "web", c.name, 80)


async def test_a_cable_that_somebody_spoiled(world: World) -> None:
    async with world.one() as c:
        (e,) = c.endpoints
        for where, interface in ((world.shown, e.veth), (lambda *command: world.within(c, *command), "eth0")):
            where("ip", "link", "set", interface, "down")
            assert interface in (await world.stops(Reason.DOWN, "web", c.name, 80)).sentence
            where("ip", "link", "set", interface, "up")
        world.shown("ip", "link", "set", e.veth, "nomaster")
        await world.stops(Reason.UNPLUGGED, c.name, "web", 80)
        world.shown("ip", "link", "delete", e.veth)
        await world.stops(Reason.CABLE_GONE, c.name, "web", 80)
        run("umount", world.enter(c))
        await world.stops(Reason.NAMESPACE_GONE, c.name, "web", 80)


async def test_a_bridge_that_somebody_deleted(world: World) -> None:
    await world.client.do("create_network", "", {"body": {"Name": "brief"}})
    async with world.one("brief") as first, world.one("brief") as second:
        await world.reaches(first.name, second.name, 80)
        world.shown("ip", "link", "delete", first.endpoints[0].bridge)
        await world.stops(Reason.BRIDGE_GONE, first.name, second.name, 80)
    await world.client.do("remove_network", "brief")


@pytest.mark.parametrize("program", ["iptables", "iptables-legacy"])
async def test_a_strangers_firewall_on_the_way_out(world: World, program: str) -> None:
    await world.reaches("web", OUTSIDE, WEB)
    with rule(world, program, "FORWARD", "-p", "tcp", "-d", OUTSIDE, "-j", "DROP"):
        verdict = await world.stops(Reason.FIREWALL, "web", OUTSIDE, WEB)
        assert "FORWARD" in verdict.sentence and "drop" in verdict.sentence.lower()
        await world.reaches("web", OUTSIDE)  # a ping is not dropped
    await world.reaches("web", OUTSIDE, WEB)


async def test_a_strangers_policy(world: World) -> None:
    """In a table of its own no accept of ours overrides it: the way out, and the way in by a published port."""
    world.shown(
        "nft", "add table inet strict; add chain inet strict pass { type filter hook forward priority 10; policy drop; }"
    )
    try:
        for asked in (("web", OUTSIDE, WEB), ("outside", "web", 80)):
            assert "inet strict pass: policy drop" in (await world.stops(Reason.FIREWALL, *asked)).sentence
        world.shown("nft", "add rule inet strict pass ct state established,related accept")
        world.shown("nft", f"add rule inet strict pass tcp dport {WEB} accept")
        await world.reaches("web", OUTSIDE, WEB)
    finally:
        world.shown("nft", "delete table inet strict")


async def test_a_firewall_that_rejects(world: World) -> None:
    with rule(world, "iptables", "FORWARD", "-p", "tcp", "-d", OUTSIDE, "-j", "REJECT"):
        await world.stops(Reason.FIREWALL, "web", OUTSIDE, WEB)


async def test_a_firewall_inside_the_container(world: World) -> None:
    async with world.one() as c:
        world.within(c, "iptables", "-A", "INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP")
        assert f"inside {c.name}" in (await world.stops(Reason.FIREWALL, "web", c.name, 80)).sentence


async def test_from_outside_by_a_published_port(world: World) -> None:
    assert await fetch(path(world.here.outside), ADDRESS, 8080) is not None
    await world.reaches("outside", "web", 80)
    await world.reaches(OUTSIDE, "web", 80)
    assert "0.0.0.0:8080->80/tcp" in (await world.stops(Reason.NOT_PUBLISHED, "outside", "web", 81)).sentence
    await world.stops(Reason.NOT_PUBLISHED, "outside", "db", 80)


async def test_a_port_published_elsewhere(world: World) -> None:
    assert await fetch(path(world.here.outside), ADDRESS, 8090, timeout=0.5) is None
    verdict = await world.stops(Reason.OTHER_ADDRESS, OUTSIDE, "far", 80)
    assert "127.0.0.1 only" in verdict.sentence and ADDRESS in verdict.sentence
    async with world.one(PortBindings=published(f"{SECOND}:8092:80")) as c:
        assert await fetch(path(world.here.outside), SECOND, 8092) is not None
        verdict = await world.reaches(OUTSIDE, c.name, 80)
        assert [hop.reason for hop in verdict.hops if hop.outcome is Outcome.NOTED] == [Reason.OTHER_ADDRESS]
    gateway = (await world.client.inspect("web")).endpoints[0].gateway
    async with world.one(PortBindings=published(f"{gateway}:8093:80")) as c:
        await world.stops(Reason.OTHER_ADDRESS, "outside", c.name, 80)


async def test_a_published_port_of_a_program_on_loopback(world: World) -> None:
    async with world.one(PortBindings=published(":8082:81")) as c:
        await world.stops(Reason.LISTENS_ELSEWHERE, "outside", c.name, 81)


async def test_a_port_that_the_relay_carries(world: World) -> None:
    """It answers for a container without IPv6, even where nothing does inside."""
    await world.reaches("outside", "web", 80, family=6)
    async with world.one(PortBindings=published(":8084:81")) as c:
        await world.stops(Reason.LISTENS_ELSEWHERE, "outside", c.name, 81, family=6)


async def test_one_of_several_addresses(world: World) -> None:
    async with world.one() as c:
        await world.client.do("connect", c.name, {"network": "other"})
        first, second = (e.address for e in (await world.client.inspect(c.name)).endpoints)
        await world.reaches("web", first, 80)
        await world.stops(Reason.DIFFERENT_BRIDGE, "web", second, 80)
        await world.reaches("host", second, 80)


async def test_a_host_that_lost_the_address_of_a_port(world: World) -> None:
    world.shown("ip", "address", "add", "192.0.2.3/24", "dev", "up0")
    async with world.one(PortBindings=published("192.0.2.3:8083:80")) as c:
        world.shown("ip", "address", "delete", "192.0.2.3/24", "dev", "up0")
        await world.stops(Reason.NOT_OURS, OUTSIDE, c.name, 80)


async def test_a_container_and_its_host(world: World) -> None:
    await world.reaches("host", "db", 80)
    await world.reaches("host", "web")
    await world.stops(Reason.NOTHING_LISTENS, "host", "db", 5432)
    await world.stops(Reason.NOTHING_LISTENS, "web", "host", 7000)
    with inside(path(world.here.own), socket.socket) as server:
        server.bind(("127.0.0.1", 7000))
        server.listen()
        await world.stops(Reason.LISTENS_ELSEWHERE, "web", "host", 7000)
        await world.reaches("host", "host", 7000)
    with inside(path(world.here.own), socket.socket) as server:
        server.bind(("0.0.0.0", 7001))
        server.listen()
        await world.reaches("web", "host", 7001)
        await world.reaches("web", ADDRESS, 7001)
        await world.reaches("outside", "host", 7001)
        with rule(world, "iptables", "INPUT", "-p", "tcp", "--dport", "7001", "-j", "DROP"):
            await world.stops(Reason.FIREWALL, "web", "host", 7001)
            await world.stops(Reason.FIREWALL, "outside", "host", 7001)
    async with world.one("host", script="exec sleep 1000") as c:
        await world.reaches(c.name, "db", 80)
        await world.stops(Reason.NOTHING_LISTENS, "web", c.name, 7002)


async def test_the_way_out(world: World) -> None:
    await world.reaches("web", OUTSIDE)
    await world.stops(Reason.REFUSED, "web", OUTSIDE, 7000)
    await world.stops(Reason.NO_WAY_OUT, "web", "198.51.100.1", 80)
    await world.stops(Reason.NO_WAY_OUT, "web", "outside", 80)
    assert "192.0.2.66" in (await world.stops(Reason.NOBODY_THERE, "web", "192.0.2.66", 80)).sentence
    world.shown("ip", "route", "add", "default", "via", OUTSIDE)
    try:
        await world.reaches("web", "outside")
        await world.stops(Reason.SILENT, "web", "198.51.100.1", 80)
    finally:
        world.shown("ip", "route", "delete", "default")


async def test_routes_and_forwarding(world: World) -> None:
    async with world.one() as c:
        world.within(c, "ip", "route", "delete", "default")
        await world.stops(Reason.NO_ROUTE, c.name, OUTSIDE, WEB)
    bridge = (await world.client.inspect("web")).endpoints[0].bridge
    switch = f"net.ipv4.conf.{bridge}.forwarding"
    world.shown("sysctl", "-qw", f"{switch}=0")
    verdict = await world.why("web", OUTSIDE, WEB)
    world.shown("sysctl", "-qw", f"{switch}=1")
    assert verdict.stopped and verdict.stopped.reason == Reason.FORWARDING_OFF, shown(verdict)


async def test_names_of_the_world_outside(world: World) -> None:
    async with world.one(Dns=[OUTSIDE]) as c:
        verdict = await world.why(c.name, "somewhere.example", 80)
        assert NAMED in shown(verdict) and verdict.stopped and verdict.stopped.reason == Reason.NO_WAY_OUT
    async with world.one(Dns=[ADDRESS]) as c:
        await world.stops(Reason.NO_NAME, c.name, "somewhere.example", 80)


async def test_a_name_service_that_somebody_broke(world: World) -> None:
    async with world.one() as c:
        world.within(c, "nft", "flush", "ruleset")
        world.within(c, "iptables", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "--dport", "53", "-j", "DROP")
        await world.stops(Reason.NO_NAME, c.name, "db", 80)


async def test_what_cannot_be_asked(world: World) -> None:
    with pytest.raises(NotFound):
        await world.why("web", "nobody", 80)
    for asked in (
        ("web", "db", 70000),
        ("web", "db", 80, "sctp"),
        ("web", "db", 0, "tcp"),
        ("web", "127.0.0.1", 80),
        ("outside", OUTSIDE, 80),
        ("outside", "web"),
        ("web", "2001:db8::1", 80, "tcp", 4),
        ("somewhere.example", "web", 80),
    ):
        with pytest.raises(Invalid):
            await world.why(*asked[:4], **({"family": asked[4]} if len(asked) > 4 else {}))  # type: ignore[arg-type]


async def test_nothing_is_left_of_having_asked(world: World) -> None:
    before = world.here.kernel()
    await world.reaches("outside", "web", 80)
    with rule(world, "iptables", "FORWARD", "-p", "tcp", "-d", OUTSIDE, "-j", "DROP"):
        await world.stops(Reason.FIREWALL, "web", OUTSIDE, WEB)
    assert {key for key, now in world.here.kernel().items() if now != before[key]} <= {"rules"}
    assert "why" not in world.shown("nft", "list", "tables") + world.shown("ip", "-brief", "link")
