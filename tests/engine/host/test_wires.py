"""Several cables into one namespace, both families, default routes, and the two ends of a wire."""

import asyncio
import os
from ipaddress import ip_interface

import pytest
from msgspec.structs import replace

from engine.host import rtnetlink
from engine.host.links import KernelLinks
from engine.host.netns import KernelNetns
from engine.host.tools import ask, tell
from engine.model.errors import HostFailed
from tests.engine.host.wiring import connect, endpoint, network, reaches

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def links(machine: None, netns: KernelNetns) -> KernelLinks:
    return KernelLinks(os.path.dirname(os.path.dirname(netns.path("any"))))


async def inside(netns: KernelNetns, name: str, *command: str) -> str:
    return await tell("nsenter", f"--net={netns.path(name)}", *command)


async def told(netns: KernelNetns, *command: str) -> str:
    """What ip(8) says in web, without its trailing blanks."""
    return "\n".join(line.strip() for line in (await inside(netns, "web", "ip", *command)).splitlines())


async def test_both_families_reach_the_gateway_and_each_other_at_once(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network(ipv6=True))
    assert await links.look_bridge("lst0") == "lst0 up, 172.30.0.1/16 fd00:30::1/64, 0 ports"
    await connect(netns, links, "web", endpoint(2, ipv6=True))
    await connect(netns, links, "b", endpoint(3, ipv6=True))
    assert await links.look_address(endpoint(2, ipv6=True), "web") == (
        "eth0 up, 172.30.0.2/16, fd00:30::2/64, mac 02:42:ac:1e:00:02"
    )
    for address in ("172.30.0.1", "172.30.0.3", "fd00:30::1", "fd00:30::3"):
        assert await reaches(netns, "web", address)
    addresses = await told(netns, "-6", "address")
    assert "tentative" not in addresses
    assert "inet6 ::1/128" in addresses


async def test_ipv6_is_off_where_no_network_has_it(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await links.make_bridge(network("lst1", 31, ipv6=True))
    await connect(netns, links, "web", endpoint(2), endpoint(2, "lst1", 31, interface="eth1", ipv6=True))
    assert await told(netns, "-6", "address", "show", "dev", "eth0") == ""
    assert "fd00:31::2/64" in await told(netns, "-6", "address", "show", "dev", "eth1")
    assert "inet6" not in (await ask("ip", "address", "show", "lst0"))[1]
    for veth in (endpoint(2).veth, endpoint(2, "lst1", 31).veth):
        assert "inet6" not in (await ask("ip", "address", "show", veth))[1]


async def test_a_container_takes_no_router_advertisements_and_has_no_own_route_out(
    links: KernelLinks, netns: KernelNetns
) -> None:
    await links.make_bridge(network(ipv6=True))
    await connect(netns, links, "web", endpoint(2, ipv6=True))
    assert await inside(netns, "web", "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra") == "0\n"
    with open("/proc/sys/net/ipv6/conf/lst0/accept_ra") as here:
        assert here.read() == "0\n"


async def test_only_ipv6(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(replace(network(ipv6=True), ipv4=None))
    assert await links.look_bridge("lst0") == "lst0 up, fd00:30::1/64, 0 ports"
    cable = replace(endpoint(2, ipv6=True), address="", prefix=0, gateway="")
    await connect(netns, links, "web", cable)
    assert await links.look_address(cable, "web") == "eth0 up, fd00:30::2/64, mac 02:42:ac:1e:00:02"
    assert await links.look_route(cable, "web") == "default via fd00:30::1 dev eth0"
    assert await reaches(netns, "web", "fd00:30::1")


async def test_the_default_route_goes_from_one_cable_to_the_other_and_away(links: KernelLinks, netns: KernelNetns) -> None:
    first, second = endpoint(2, ipv6=True), endpoint(2, "lst1", 31, interface="eth1")
    await links.make_bridge(network(ipv6=True))
    await links.make_bridge(network("lst1", 31))
    await connect(netns, links, "web", first, second)
    assert await links.look_route(first, "web") == "default via 172.30.0.1 dev eth0, default via fd00:30::1 dev eth0"
    assert await links.look_route(second, "web") is None
    assert await links.look_route(None, "web") is None
    for _ in range(2):
        await links.route(second, "web")
        assert await links.look_route(second, "web") == "default via 172.31.0.1 dev eth1"
        assert await told(netns, "-6", "route", "show", "default") == ""
    for _ in range(2):
        await links.route(None, "web")
        assert await links.look_route(None, "web") == "no default route"
    await links.route(first, "web")
    assert await links.look_route(first, "web")


async def test_every_other_default_route_is_replaced(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2, ipv6=True)
    await links.make_bridge(network(ipv6=True))
    await connect(netns, links, "web", cable)
    for added in (
        ("default", "via", "172.30.0.9", "metric", "50"),
        ("default", "dev", "eth0", "metric", "60", "proto", "static"),
        ("unreachable", "default", "metric", "65"),
        ("default", "via", "fd00:30::9", "metric", "70"),
        ("default", "metric", "80", "nexthop", "via", "172.30.0.7", "nexthop", "via", "172.30.0.8"),
        ("default", "metric", "90", "nexthop", "via", "fd00:30::7", "nexthop", "via", "fd00:30::8"),
    ):
        await inside(netns, "web", "ip", "route", "add", *added)
        assert await links.look_route(cable, "web") is None
    await links.route(cable, "web")
    assert await links.look_route(cable, "web")
    assert await told(netns, "route", "show", "default") == "default via 172.30.0.1 dev eth0"


async def test_an_internal_network_leads_nowhere(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2, ipv6=True, internal=True)
    await links.make_bridge(network(ipv6=True, internal=True))
    await connect(netns, links, "web", cable)
    assert await links.look_route(cable, "web") == "no default route"
    assert await reaches(netns, "web", "172.30.0.1")


async def test_routes_without_namespace_or_link(links: KernelLinks, netns: KernelNetns) -> None:
    assert await links.look_route(None, "web") is None
    await links.route(None, "web")
    with pytest.raises(HostFailed, match="cannot lead the default route by eth0: No such file"):
        await links.route(endpoint(2), "web")
    await netns.make("web")
    assert await links.look_route(endpoint(2), "web") is None
    with pytest.raises(HostFailed, match="cannot lead the default route by eth0: there is no link eth0"):
        await links.route(endpoint(2), "web")


async def test_cables_of_one_container_come_and_go_alone(links: KernelLinks, netns: KernelNetns) -> None:
    first, second = endpoint(2), endpoint(2, "lst1", 31, interface="eth1")
    await links.make_bridge(network())
    await links.make_bridge(network("lst1", 31))
    await connect(netns, links, "web", first, second)
    assert await reaches(netns, "web", "172.30.0.1")
    assert await reaches(netns, "web", "172.31.0.1")
    await links.unaddress(second, "web")
    await links.unplug(second, "web")
    assert await links.look_address(first, "web")
    assert await reaches(netns, "web", "172.30.0.1")
    assert "eth1" not in await told(netns, "link")


async def test_a_cable_has_its_own_mtu(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await connect(netns, links, "web", endpoint(2))
    wire = await links.wire(endpoint(2), "web")
    assert wire.host and wire.inside
    assert (wire.host.mtu, wire.inside.mtu) == (1400, 1400)


async def test_a_port_sends_back_what_belongs_there(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await connect(netns, links, "web", endpoint(2))
    assert "hairpin on" in (await ask("ip", "-d", "link", "show", endpoint(2).veth))[1]


async def test_after_the_bridge_was_deleted_cables_are_put_back_and_nothing_inside_changes(
    links: KernelLinks, netns: KernelNetns
) -> None:
    cable = endpoint(2, ipv6=True)
    await links.make_bridge(network(ipv6=True))
    await connect(netns, links, "web", cable)
    await inside(netns, "web", "ip", "link", "set", "eth0", "alias", "mine")
    await inside(netns, "web", "ip", "address", "add", "172.30.7.7/16", "dev", "eth0")
    before = await told(netns, "address", "show", "eth0"), await told(netns, "route"), await told(netns, "-6", "route")
    await tell("ip", "link", "del", "lst0")
    assert await links.look_plug(cable, "web") is None
    await links.make_bridge(network(ipv6=True))
    assert not await reaches(netns, "web", "172.30.0.1")
    for _ in range(2):
        await links.plug(cable, "web", "web")
        assert await links.look_plug(cable, "web")
    assert await reaches(netns, "web", "172.30.0.1")
    assert await reaches(netns, "web", "fd00:30::1")
    assert "hairpin on" in (await ask("ip", "-d", "link", "show", cable.veth))[1]
    after = await told(netns, "address", "show", "eth0"), await told(netns, "route"), await told(netns, "-6", "route")
    assert after == before


async def test_a_cable_into_a_former_namespace_is_laid_anew(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await connect(netns, links, "old", endpoint(2))
    await netns.make("web")
    await links.plug(endpoint(2), "web", "old")
    await links.address(endpoint(2), "web")
    assert await reaches(netns, "web", "172.30.0.1")


@pytest.mark.parametrize("ipv6", [False, True])
async def test_who_knew_the_former_owner_of_an_address_reaches_the_new_one_at_once(
    links: KernelLinks, netns: KernelNetns, ipv6: bool
) -> None:
    address = "fd00:30::3" if ipv6 else "172.30.0.3"
    await links.make_bridge(network(ipv6=True))
    await connect(netns, links, "web", endpoint(2, ipv6=True))
    await connect(netns, links, "old", endpoint(3, ipv6=True))
    assert await reaches(netns, "web", address)
    await links.unplug(endpoint(3), "old")
    heir = replace(endpoint(3, ipv6=True), mac="02:42:00:00:00:77", veth="vethheir")
    await connect(netns, links, "heir", heir)
    assert await reaches(netns, "web", address)


async def test_a_wire_tells_both_ends(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2, ipv6=True)
    await links.make_bridge(network(ipv6=True))
    await connect(netns, links, "web", cable)
    await reaches(netns, "web", "172.30.0.1")
    wire = await links.wire(cable, "web")
    assert wire.host and wire.inside
    assert (wire.bridge, wire.host.name, wire.inside.name, wire.inside.mac) == ("lst0", cable.veth, "eth0", cable.mac)
    assert (wire.host.state, wire.inside.state) == ("up", "up")
    assert wire.addresses[:2] == ("172.30.0.2/16", "fd00:30::2/64")
    assert {"default via 172.30.0.1 dev eth0", "172.30.0.0/16 dev eth0 src 172.30.0.2"} <= set(wire.routes)
    assert {"default via fd00:30::1 dev eth0", "fd00:30::/64 dev eth0"} <= set(wire.routes)
    assert "172.30.0.1 02:42:ac:1e:00:01 reachable" in wire.neighbours
    assert wire.inside.tx_packets >= wire.host.rx_packets - 1 > 0
    assert wire.inside.rx_bytes > 0


async def test_a_wire_tells_what_is_missing(links: KernelLinks, netns: KernelNetns) -> None:
    nothing = await links.wire(endpoint(2), "web")
    assert (nothing.host, nothing.inside, nothing.routes) == (None, None, ())
    await links.make_bridge(network())
    await connect(netns, links, "web", endpoint(2))
    await inside(netns, "web", "ip", "link", "set", "eth0", "down")
    wire = await links.wire(endpoint(2), "web")
    assert wire.host and wire.inside
    assert (wire.host.state, wire.inside.state) == ("no carrier", "down")
    await tell("ip", "link", "set", endpoint(2).veth, "nomaster")
    assert (await links.wire(endpoint(2), "web")).bridge == ""


async def test_a_link_deleted_by_hand_rings_at_once(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await connect(netns, links, "web", endpoint(2))
    while await settled(links):
        pass
    waiting = asyncio.create_task(links.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await inside(netns, "web", "ip", "link", "del", "eth0")
    await waiting
    assert await links.look_plug(endpoint(2), "web") is None


async def settled(links: KernelLinks) -> bool:
    """Did anything change within a moment? The kernel tells of carriers a little later."""
    try:
        async with asyncio.timeout(0.1):
            await links.changed()
    except TimeoutError:
        return False
    return True


async def test_neighbours_and_addresses_of_every_kind_are_read() -> None:
    await tell("ip", "link", "add", "one", "type", "bridge")
    await tell("ip", "link", "set", "one", "up")
    await tell("ip", "address", "add", "192.0.2.7", "peer", "192.0.2.8/31", "dev", "one")
    await tell("ip", "neighbour", "add", "192.0.2.8", "lladdr", "02:00:00:00:00:08", "dev", "one")
    (own,) = [address for address in rtnetlink.addresses() if ":" not in address.address]
    assert ip_interface(str(own)) == ip_interface("192.0.2.7/31")
    assert "02:00:00:00:00:08" in {neighbour.mac for neighbour in rtnetlink.neighbours()}
