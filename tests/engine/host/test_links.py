"""Bridges, cables and addresses, on the real kernel in a network namespace of the test's own."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.host import rtnetlink
from engine.host.forwarding import read
from engine.host.links import KernelLinks
from engine.host.netns import KernelNetns
from engine.host.tools import ask, tell
from engine.model.errors import HostFailed
from tests.engine.host.wiring import connect, endpoint, network, reaches

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def links(machine: None, netns: KernelNetns) -> KernelLinks:
    return KernelLinks(os.path.dirname(os.path.dirname(netns.path("any"))))


async def inside(netns: KernelNetns, *command: str) -> str:
    return await tell("nsenter", f"--net={netns.path('web')}", *command)


async def shown(*command: str) -> str:
    return (await ask("ip", *command))[1]


async def test_a_bridge_is_made_seen_made_again_and_dropped_twice(links: KernelLinks) -> None:
    net = network()
    assert await links.look_bridge("lst0") is None
    await links.drop_bridge(net)
    for _ in range(2):
        await links.make_bridge(net)
        assert await links.look_bridge("lst0") == "lst0 up, 172.30.0.1/16, 0 ports"
    link = await shown("-d", "link", "show", "lst0")
    assert "02:42:ac:1e:00:01" in link
    assert "mtu 1400" in link
    assert Path("/proc/thread-self/net/dev").read_text().count("lst0") == 1
    assert read("lst0") == "1"
    for _ in range(2):
        await links.drop_bridge(net)
        assert await links.look_bridge("lst0") is None


async def test_a_bridge_deleted_by_hand_is_seen_and_made_again(links: KernelLinks) -> None:
    await links.make_bridge(network())
    assert await links.look_bridge("lst0")
    await tell("ip", "link", "del", "lst0")
    assert await links.look_bridge("lst0") is None
    await links.make_bridge(network())
    assert await links.look_bridge("lst0") == "lst0 up, 172.30.0.1/16, 0 ports"


async def test_a_bridge_has_one_address_the_one_asked_for_last(links: KernelLinks) -> None:
    await links.make_bridge(network())
    await tell("ip", "address", "add", "10.9.9.9/24", "dev", "lst0")
    await tell("ip", "link", "set", "lst0", "down")
    await links.make_bridge(network())
    assert await links.look_bridge("lst0") == "lst0 up, 172.30.0.1/16, 0 ports"


async def test_a_strangers_bridge_is_neither_taken_nor_removed(links: KernelLinks) -> None:
    await tell("ip", "link", "add", "lst0", "type", "bridge")
    with pytest.raises(HostFailed, match=r"a link named lst0 exists that is not ours.*--bridge"):
        await links.make_bridge(network())
    await links.drop_bridge(network())
    assert "lst0" in await shown("link", "show", "lst0")


async def test_a_cable_is_plugged_seen_plugged_again_and_unplugged_twice(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2)
    await links.make_bridge(network())
    await netns.make("web")
    assert await links.look_plug(cable, "web") is None
    await links.unplug(cable, "web")
    for place in ("web", netns.path("web")):
        await links.plug(cable, place, "web")
        assert await links.look_plug(cable, "web") == f"{cable.veth} up, port of lst0, mtu 1400"
    assert await links.look_bridge("lst0") == "lst0 up, 172.30.0.1/16, 1 port"
    for _ in range(2):
        await links.unplug(cable, "web")
        assert await links.look_plug(cable, "web") is None


async def test_an_address_is_given_seen_given_again_and_taken_twice(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2)
    await links.unaddress(cable, "web")
    assert await links.look_address(cable, "web") is None
    await links.make_bridge(network())
    await netns.make("web")
    await links.unaddress(cable, "web")
    await links.plug(cable, "web", "web")
    assert await links.look_address(cable, "web") is None
    for _ in range(2):
        await links.address(cable, "web")
        seen = await links.look_address(cable, "web")
        assert seen == "eth0 up, 172.30.0.2/16, mac 02:42:ac:1e:00:02"
    assert await inside(netns, "ip", "route") == "172.30.0.0/16 dev eth0 proto kernel scope link src 172.30.0.2 \n"
    assert await inside(netns, "cat", "/proc/net/if_inet6") == ""
    await inside(netns, "ip", "address", "del", "172.30.0.2/16", "dev", "eth0")
    assert await links.look_address(cable, "web") is None
    await links.address(cable, "web")
    for _ in range(2):
        await links.unaddress(cable, "web")
        assert await links.look_address(cable, "web") is None


async def test_a_strangers_cable_is_neither_taken_nor_removed(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2)
    await links.make_bridge(network())
    await netns.make("web")
    await tell("ip", "link", "add", cable.veth, "type", "veth", "peer", "name", "other")
    await tell("ip", "link", "set", cable.veth, "master", "lst0")
    with pytest.raises(HostFailed, match="exists that is not ours"):
        await links.plug(cable, "web", "web")
    await links.unplug(cable, "web")
    assert cable.veth in await shown("link", "show", cable.veth)
    assert await links.look_plug(cable, "web") is None


async def test_a_cable_half_made_by_a_killed_engine_is_ours(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2)
    await links.make_bridge(network())
    await netns.make("web")
    await links.plug(cable, "web", "web")
    await tell("ip", "link", "set", cable.veth, "alias", "")
    assert await links.look_plug(cable, "web") is None
    await links.plug(cable, "web", "web")
    assert await links.look_plug(cable, "web")
    await tell("ip", "link", "set", cable.veth, "alias", "")
    await links.unplug(cable, "web")
    assert not await shown("link", "show", cable.veth)


async def test_a_cable_pulled_from_the_bridge_by_hand_is_plugged_back(links: KernelLinks, netns: KernelNetns) -> None:
    cable = endpoint(2)
    await links.make_bridge(network())
    await connect(netns, links, "web", cable)
    await tell("ip", "link", "set", cable.veth, "nomaster")
    assert await links.look_plug(cable, "web") is None
    await links.plug(cable, "web", "web")
    assert await links.look_plug(cable, "web")


async def test_a_cable_without_bridge_or_namespace_is_refused(links: KernelLinks, netns: KernelNetns) -> None:
    await netns.make("web")
    with pytest.raises(HostFailed, match="there is no bridge lst0"):
        await links.plug(endpoint(2), "web", "web")
    await links.make_bridge(network())
    with pytest.raises(HostFailed, match=r"the network namespace .* is gone"):
        await links.plug(endpoint(2), "nowhere", "web")
    with pytest.raises(HostFailed, match="cannot give eth0 the address"):
        await links.address(endpoint(2), "web")


async def test_containers_reach_the_gateway_and_each_other(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await tell("ip", "link", "set", "lo", "up")
    await connect(netns, links, "a", endpoint(2))
    await connect(netns, links, "b", endpoint(3))
    assert await reaches(netns, "a", "172.30.0.1")
    assert await reaches(netns, "a", "172.30.0.3")
    assert not await reaches(netns, "a", "172.30.0.4")


async def test_counters_rise_with_what_the_container_sends(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await connect(netns, links, "web", endpoint(2))
    before = (await links.counters())[endpoint(2).veth]
    await reaches(netns, "web", "172.30.0.1")
    after = (await links.counters())[endpoint(2).veth]
    assert after[0] > before[0]
    assert after[1] > before[1]
    assert (await links.counters()).keys() >= {"lo", "lst0"}


async def counted_inside(netns: KernelNetns) -> dict[str, dict[str, int]]:
    """What the kernel counts on web's eth0; it rises by itself, with neighbour discovery."""
    told = await inside(netns, "ip", "-s", "-j", "link", "show", "eth0")
    counted: dict[str, dict[str, int]] = json.loads(told)[0]["stats64"]
    return counted


async def test_traffic_is_told_from_the_containers_side(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await connect(netns, links, "web", endpoint(2))
    await reaches(netns, "web", "172.30.0.1")
    before = await counted_inside(netns)
    traffic = await links.traffic(endpoint(2))
    after = await counted_inside(netns)
    assert traffic and traffic.rx_bytes > 0
    for way in ("rx", "tx"):
        for name in ("bytes", "packets", "errors", "dropped"):
            assert before[way][name] <= getattr(traffic, f"{way}_{name}") <= after[way][name]
    assert await links.traffic(endpoint(3)) is None


async def test_every_cable_is_seen_in_one_look_as_long_as_it_is_plugged_in(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    await connect(netns, links, "a", endpoint(2))
    await connect(netns, links, "b", endpoint(3))
    a, b = ("plug", endpoint(2).veth, "lst0", "a"), ("plug", endpoint(3).veth, "lst0", "b")
    assert await links.sightings() == {a, b}
    await tell("ip", "link", "set", endpoint(2).veth, "nomaster")
    assert await links.sightings() == {b}
    await tell("ip", "link", "del", endpoint(3).veth)
    assert await links.sightings() == set()


async def test_many_who_look_at_once_get_one_dump(links: KernelLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = []

    def links_of_the_kernel() -> list[rtnetlink.Link]:
        dumps.append(1)
        return real()

    real = rtnetlink.links
    monkeypatch.setattr(rtnetlink, "links", links_of_the_kernel)
    await asyncio.gather(*(links.look_bridge("lst0") for _ in range(20)))
    assert len(dumps) == 1
    await tell("ip", "link", "add", "lst0", "type", "bridge")  # by a stranger: seen at once all the same
    assert await links.look_bridge("lst0") == "lst0 down, no address, 0 ports"
    assert len(dumps) == 2
    await tell("ip", "address", "add", "172.30.0.1/16", "dev", "lst0")
    assert await links.look_bridge("lst0") == "lst0 down, 172.30.0.1/16, 0 ports"
    assert len(dumps) == 3


@pytest.mark.usefixtures("outside")
async def test_refresh_looks_only_after_a_change(links: KernelLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    await links.make_bridge(network())
    await links.refresh()
    await links.refresh()  # its own first change has rung
    with monkeypatch.context() as broken:
        broken.delattr("engine.host.bridges.switches")
        await links.refresh()
    await tell("sysctl", "-q", "net.ipv4.conf.up0.forwarding=0")
    await links.refresh()
    assert read("up0") == "1"


async def test_a_route_over_several_links_names_them_all() -> None:
    for name, number in (("one", 1), ("two", 2)):
        await tell("ip", "link", "add", name, "type", "bridge")
        await tell("ip", "address", "add", f"198.51.100.{number * 16}/28", "dev", name)
        await tell("ip", "link", "set", name, "up")
    await tell("ip", "route", "add", "default", "nexthop", "via", "198.51.100.17", "nexthop", "via", "198.51.100.33")
    index = {link.name: link.index for link in rtnetlink.links()}
    (default,) = [route for route in rtnetlink.routes() if route.destination == "0.0.0.0/0"]
    assert set(default.links) == {index["one"], index["two"]}


async def test_nothing_stays_open(links: KernelLinks, netns: KernelNetns) -> None:
    await links.make_bridge(network())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await connect(netns, links, "web", endpoint(2))
        await links.unaddress(endpoint(2), "web")
        await links.unplug(endpoint(2), "web")
        await netns.drop("web")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_isolated_cables_reach_the_host_and_not_each_other(links: KernelLinks, netns: KernelNetns) -> None:
    """Nor by the addresses that every interface has, and that no rule knows."""
    await links.make_bridge(network(ipv6=True))
    cables = [endpoint(number, ipv6=True, isolated=number < 4) for number in (2, 3, 4)]
    for cable, name in zip(cables, ("web", "db", "open"), strict=True):
        await connect(netns, links, name, cable)
        port = "isolated port" if cable.isolated else "port"
        assert await links.look_plug(cable, name) == f"{cable.veth} up, {port} of lst0, mtu 1400"
    link_local = "fe80::42:acff:fe1e:3%eth0"
    assert link_local.partition("%")[0] in await tell("nsenter", f"--net={netns.path('db')}", "ip", "-6", "address")
    apart = await asyncio.gather(*(reaches(netns, "web", there) for there in ("172.30.0.3", "fd00:30::3", link_local)))
    assert apart == [False] * 3
    assert await reaches(netns, "open", link_local)
    for there in ("172.30.0.1", "fd00:30::1", "172.30.0.4", "fd00:30::4"):
        assert await reaches(netns, "web", there)
    for there in ("172.30.0.2", "fd00:30::2"):
        code, _, _ = await ask("busybox", "ping", "-c1", "-W2", there)
        assert not code
    await links.plug(replace(cables[0], isolated=False), "web", owner="web")  # as its network now says
    assert await reaches(netns, "web", "172.30.0.3")
