"""What a network needs of the host so that packets pass, and that it is given back."""

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from engine.host import bell, forwarding
from engine.host import netns as namespaces
from engine.host.bell import Bell
from engine.host.forwarding import ALIAS_SIZE, Forwarding, read, write
from engine.host.links import KernelLinks
from engine.host.netns import KernelNetns, configure
from engine.host.tools import ask, tell
from engine.model.errors import HostFailed
from engine.model.network import INHIBIT_IPV4, NAME, Network
from tests.engine.host.wiring import connect, endpoint, network, reaches

pytestmark = pytest.mark.usefixtures("machine")

SERVER6 = "fd02::9"


@pytest.fixture
def exec_root(netns: KernelNetns) -> Path:
    return Path(netns.path("any")).parent.parent


@pytest.fixture
def links(machine: None, exec_root: Path) -> KernelLinks:
    return KernelLinks(str(exec_root))


@pytest.fixture
def older_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot forward IPv6 for single interfaces: the switch's file is not there."""
    monkeypatch.setattr(forwarding, "FORCE", "ipv6/conf/{}/force_forwarding_of_later")


@pytest.fixture
async def outside6(outside: str, netns: KernelNetns) -> str:
    """The host on the uplink has an IPv6 address too, and a way back to the containers."""
    await tell("sysctl", "-q", "-w", "net.ipv6.conf.up0.addr_gen_mode=1")  # what it has by itself it would first ask about
    await tell("ip", "address", "add", "fe80::1/64", "dev", "up0", "nodad")
    await tell("ip", "address", "add", "fd02::1/64", "dev", "up0", "nodad")
    for setting in ("accept_dad", "disable_ipv6"):
        namespaces.inside(netns.path("outside"), partial(configure, "ipv6", "eth0", setting, 0))
    for command in (("address", "add", f"{SERVER6}/64", "dev", "eth0", "nodad"), ("route", "add", "default", "via", "fd02::1")):
        await tell("nsenter", f"--net={netns.path('outside')}", "ip", "-6", *command)
    return SERVER6


async def shown(*command: str) -> str:
    return (await ask("ip", *command))[1]


# IPv4


@pytest.mark.usefixtures("outside")
async def test_forwarding_is_on_for_bridge_and_uplink_only_and_given_back(links: KernelLinks, exec_root: Path) -> None:
    await links.make_bridge(network())
    assert (read("lst0"), read("up0"), read("all"), read("lo")) == ("1", "1", "0", "0")
    await KernelLinks(str(exec_root)).drop_bridge(network())  # another engine process, after a restart
    assert (read("up0"), read("all")) == ("0", "0")


@pytest.mark.usefixtures("outside")
async def test_an_uplink_that_forwarded_before_still_does(links: KernelLinks) -> None:
    await tell("sysctl", "-q", "-w", "net.ipv4.conf.up0.forwarding=1")
    await links.make_bridge(network())
    await links.drop_bridge(network())
    assert read("up0") == "1"


@pytest.mark.usefixtures("outside")
async def test_the_last_of_two_engines_gives_the_uplink_back(links: KernelLinks, tmp_path: Path) -> None:
    other = KernelLinks(str(tmp_path))
    await links.make_bridge(network())
    await other.make_bridge(network("lst1", 31))
    await links.drop_bridge(network())
    assert read("up0") == "1"
    await other.drop_bridge(network("lst1", 31))
    assert read("up0") == "0"


@pytest.mark.usefixtures("outside")
async def test_engines_that_come_and_go_at_once_give_the_uplink_back(links: KernelLinks, tmp_path: Path) -> None:
    async def come_and_go(links: KernelLinks, network: Network) -> None:
        for _ in range(20):
            await links.make_bridge(network)
            assert read("up0") == "1"
            await links.drop_bridge(network)

    await asyncio.gather(come_and_go(links, network()), come_and_go(KernelLinks(str(tmp_path)), network("lst1", 31)))
    assert read("up0") == "0"


async def test_an_engine_waits_for_its_turn(links: KernelLinks) -> None:
    async with forwarding.turn():
        making = asyncio.create_task(links.make_bridge(network()))
        await asyncio.sleep(0.1)
        assert not making.done() and "lst0" not in await shown("link")
    await making


async def test_a_turn_that_does_not_end_is_not_waited_for(
    links: KernelLinks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forwarding, "TURN_SECONDS", 0.05)
    async with forwarding.turn():
        await links.make_bridge(network())
    assert "going on without it" in caplog.text


@pytest.mark.usefixtures("outside")
async def test_a_host_that_forwards_by_now_is_left_so(links: KernelLinks) -> None:
    await links.make_bridge(network())
    await tell("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")  # as a dockerd that starts after us
    await links.drop_bridge(network())
    assert read("up0") == "1"


async def test_an_uplink_that_comes_later_is_switched_on_by_refresh(links: KernelLinks) -> None:
    await links.refresh()
    await links.make_bridge(network())
    await tell("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
    await tell("ip", "address", "add", "198.51.100.1/24", "dev", "late0")
    await tell("ip", "link", "set", "late0", "up")
    assert read("late0") == "0"
    await links.refresh()
    assert read("late0") == "1"
    assert "late0=0" in await shown("link", "show", "lst0")
    await links.drop_bridge(network())
    assert read("late0") == "0"


# IPv6


def switches(*names: str) -> tuple[str | None, ...]:
    return tuple(read(name) for name in names)


async def test_ipv6_passes_by_the_switches_of_single_interfaces(links: KernelLinks, netns: KernelNetns, outside6: str) -> None:
    await links.make_bridge(network())
    assert switches("6:lst0", "6:up0", "6:all") == ("0", "0", "0")
    await links.make_bridge(network("lst1", 31, ipv6=True))
    await connect(netns, links, "web", endpoint(2, "lst1", 31, ipv6=True))
    assert await reaches(netns, "web", outside6)
    assert switches("6:lst0", "6:lst1", "6:up0", "6:all") == ("0", "1", "1", "0")
    await links.drop_bridge(network("lst1", 31, ipv6=True))
    assert switches("6:up0", "up0") == ("0", "1")
    await links.drop_bridge(network())
    assert switches("up0") == ("0",)


@pytest.mark.usefixtures("older_kernel")
async def test_ipv6_passes_by_the_hosts_switch_on_an_older_kernel(
    links: KernelLinks, netns: KernelNetns, outside6: str
) -> None:
    assert switches("6:all", "ra:up0") == ("0", "1")
    await links.make_bridge(network(ipv6=True))
    await links.refresh()
    await connect(netns, links, "web", endpoint(2, ipv6=True))
    assert await reaches(netns, "web", outside6)
    assert switches("6:all", "ra:up0", "ra:lst0", "all") == ("1", "2", "0", "0")
    await links.drop_bridge(network(ipv6=True))
    assert switches("6:all", "ra:up0") == ("0", "1")


@pytest.mark.usefixtures("older_kernel", "outside6")
async def test_of_an_older_kernel_nothing_is_touched_that_was_on_before(links: KernelLinks) -> None:
    write("6:all", "1")
    await links.make_bridge(network(ipv6=True))
    assert switches("6:all", "ra:up0") == ("1", "1")
    await links.drop_bridge(network(ipv6=True))
    assert switches("6:all", "ra:up0") == ("1", "1")


@pytest.mark.usefixtures("older_kernel", "outside6")
async def test_the_last_of_two_engines_gives_an_older_kernels_switch_back(links: KernelLinks, tmp_path: Path) -> None:
    other = KernelLinks(str(tmp_path))
    await links.make_bridge(network(ipv6=True))
    await other.make_bridge(network("lst1", 31, ipv6=True))
    await links.drop_bridge(network(ipv6=True))
    assert switches("6:all", "ra:up0") == ("1", "2")
    await other.drop_bridge(network("lst1", 31, ipv6=True))
    assert switches("6:all", "ra:up0") == ("0", "1")


@pytest.mark.usefixtures("older_kernel", "outside6")
async def test_an_older_kernels_switch_is_left_on_where_a_stranger_needs_it(links: KernelLinks) -> None:
    await links.make_bridge(network(ipv6=True))
    await tell("ip", "link", "add", "docker0", "type", "bridge")
    await tell("ip", "address", "add", "fd09::1/64", "dev", "docker0", "nodad")
    await links.drop_bridge(network(ipv6=True))
    assert switches("6:all", "ra:up0") == ("1", "1")


async def test_what_somebody_switched_off_is_switched_on_by_refresh(
    links: KernelLinks, netns: KernelNetns, outside6: str
) -> None:
    await links.make_bridge(network(ipv6=True))
    await connect(netns, links, "web", endpoint(2, ipv6=True))
    for _ in range(2):
        await links.refresh()  # its own first change has rung
    write("6:all", "0")  # the kernel then drops the switches of all single interfaces, and says nothing
    assert switches("6:lst0", "6:up0") == ("0", "0")
    await links.refresh()
    assert switches("6:lst0", "6:up0") == ("1", "1")
    assert await reaches(netns, "web", outside6)


@pytest.mark.parametrize("kernel", ["this", "older"])
async def test_the_default_route_learned_from_a_router_stays(
    links: KernelLinks, netns: KernelNetns, outside6: str, kernel: str, request: pytest.FixtureRequest
) -> None:
    if kernel == "older":
        request.getfixturevalue("older_kernel")
    routes = Bell(socket.NETLINK_ROUTE, bell.ROUTES)
    namespaces.inside(netns.path("outside"), advertise)
    while routes.rings() >= 0 and "default" not in await shown("-6", "route"):
        await routes.ring()
    await links.make_bridge(network(ipv6=True))
    assert "default" in await shown("-6", "route")
    await links.drop_bridge(network(ipv6=True))
    assert "default" in await shown("-6", "route")


def advertise() -> None:
    """A router advertisement on eth0, RFC 4861 section 4.2; sent from a link-local address, as it must."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
        index = socket.if_nametoindex("eth0")
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        router.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))


# All of it


async def test_an_internal_network_lets_nothing_pass_also_on_a_host_that_forwards(
    links: KernelLinks, netns: KernelNetns, outside6: str, outside: str
) -> None:
    inner = network(ipv6=True, internal=True)
    await links.make_bridge(inner)
    assert switches("lst0", "up0", "6:lst0", "6:up0") == ("0", "0", "0", "0")
    await links.drop_bridge(inner)
    await tell("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    await links.make_bridge(inner)
    assert switches("lst0", "6:lst0") == ("0", "0")
    await connect(netns, links, "web", endpoint(2))  # with a default route that no internal network gives
    assert await reaches(netns, "web", "172.30.0.1")
    assert not await reaches(netns, "web", outside)


async def test_the_bridge_takes_what_nat_leads_to_it_from_loopback(links: KernelLinks) -> None:
    await links.make_bridge(network())
    await links.make_bridge(network("lst1", 31, internal=True))
    assert switches("lo:lst0", "lo:lst1", "lo:all") == ("1", "0", "0")


async def test_many_bridges_at_once_lose_no_note(links: KernelLinks, exec_root: Path, outside: str) -> None:
    every = [network(f"lst{n}", 30 + n) for n in range(6)]
    await asyncio.gather(*(links.make_bridge(one) for one in every))
    assert read("up0") == "1"
    await asyncio.gather(*(links.drop_bridge(one) for one in every[1:]))
    assert read("up0") == "1"
    await links.drop_bridge(every[0])
    assert read("up0") == "0"
    assert not (exec_root / "forwarding.json").exists()


@pytest.mark.parametrize("spoil", [lambda text: "no json", lambda text: text.replace('"boot":"', '"boot":"another ')])
def test_a_file_that_is_not_of_this_boot_is_nothing(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    path = tmp_path / "forwarding.json"
    Forwarding(str(path)).note("lst0", ["lo"], ())
    path.write_text(spoil(path.read_text()))
    write("lo", "1")
    Forwarding(str(path)).close("lst0", ())
    assert read("lo") == "1"


def test_a_label_is_never_longer_than_the_kernel_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "read", lambda name: "0")
    label = Forwarding(str(tmp_path / "kept")).note("lst0", [f"interface{n}" for n in range(40)], ())
    assert ALIAS_SIZE - 15 < len(label) <= ALIAS_SIZE


# A person's bridge


async def test_a_persons_bridge_is_used_and_given_back(links: KernelLinks, netns: KernelNetns, outside: str) -> None:
    await tell("ip", "link", "add", "lst0", "address", "02:00:00:00:00:01", "type", "bridge")
    await tell("ip", "address", "add", "10.9.9.9/24", "dev", "lst0")
    theirs = network(ipv6=True, options={NAME: "lst0"})
    for _ in range(2):
        await links.make_bridge(theirs)
        await links.refresh()
    seen = await links.look_bridge("lst0")
    assert seen == "lst0 up, 10.9.9.9/24 172.30.0.1/16 fd00:30::1/64, 0 ports"
    assert switches("lst0", "lo:lst0", "6:lst0", "up0") == ("1", "1", "1", "1")
    await connect(netns, links, "web", endpoint(2))
    assert await reaches(netns, "web", "10.9.9.9")
    await links.unplug(endpoint(2), "web")
    for _ in range(2):
        await links.drop_bridge(theirs)
    assert await links.look_bridge("lst0") == "lst0 up, 10.9.9.9/24, 0 ports"
    assert switches("lst0", "lo:lst0", "6:lst0", "up0") == ("0", "0", "0", "0")
    link = await shown("-d", "link", "show", "lst0")
    assert "02:00:00:00:00:01" in link and "mtu 1500" in link and "alias" not in link


async def test_an_address_that_it_had_before_stays(links: KernelLinks) -> None:
    await tell("ip", "link", "add", "lst0", "type", "bridge")
    await tell("ip", "address", "add", "172.30.0.1/16", "dev", "lst0")
    theirs = network(options={NAME: "lst0"})
    await links.make_bridge(theirs)
    await links.drop_bridge(theirs)
    assert await links.look_bridge("lst0") == "lst0 up, 172.30.0.1/16, 0 ports"


async def test_a_bridge_whose_gateway_is_somebody_else_gets_no_address(links: KernelLinks) -> None:
    await links.make_bridge(network(options={INHIBIT_IPV4: "true"}))
    assert await links.look_bridge("lst0") == "lst0 up, no address, 0 ports"


async def test_the_bridge_of_another_network_or_another_kind_of_link_is_not_used(links: KernelLinks, tmp_path: Path) -> None:
    await KernelLinks(str(tmp_path)).make_bridge(network())
    with pytest.raises(HostFailed, match=r"lst0 exists that is not ours.*-o com.docker.network.bridge.name, or remove"):
        await links.make_bridge(network("lst0", 31, options={NAME: "lst0"}))
    await links.drop_bridge(network("lst0", 31, options={NAME: "lst0"}))
    assert await links.look_bridge("lst0") == "lst0 up, 172.30.0.1/16, 0 ports"
    await tell("ip", "link", "add", "lst1", "type", "veth", "peer", "name", "other")
    with pytest.raises(HostFailed, match="not ours"):
        await links.make_bridge(network("lst1", 31, options={NAME: "lst1"}))
