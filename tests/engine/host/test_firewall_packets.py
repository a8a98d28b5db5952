"""What passes our rules and what does not: real packets of both families between containers, the host, and one outside."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.host.firewall import NftFirewall
from engine.host.netns import KernelNetns
from engine.host.tools import tell
from engine.model.network import HOST_IPV4, ICC, MASQUERADE, Network, Published, Target
from tests.engine.host.routed import HOST, OUTSIDE, Peer, World, said, silent, world
from tests.engine.host.wiring import endpoint, network

pytestmark = pytest.mark.usefixtures("machine")

OWNER = "a" * 64
ANY = {4: "0.0.0.0", 6: "::"}
BOTH = pytest.mark.parametrize("version", [4, 6])
BRIDGED = Path("/proc/sys/net/bridge")
"""Whether what a bridge carries passes the rules of IP; where the kernel can do that at all."""


@pytest.fixture
async def firewall(machine: None) -> NftFirewall:
    return NftFirewall("lst0")


@pytest.fixture
async def here(netns: KernelNetns) -> AsyncIterator[World]:
    async with world(netns) as made:
        yield made


def lst0(**options: str) -> Network:
    return network(ipv6=True, options=options)


async def plugged(here: World, firewall: NftFirewall, of: Network, *numbers: int) -> list[Peer]:
    """A network of ours, with containers named after their addresses' last numbers."""
    await here.bridge(of)
    await firewall.make(of)
    return [await here.container(f"{of.bridge}-{number}", of, number) for number in numbers]


def published(version: int = 4, host_ip: str = "", *, protocol: str = "tcp", host_port: int = 8080) -> Published:
    return Published(protocol=protocol, port=80, host_ip=host_ip or ANY[version], host_port=host_port)


def filter_bridged(on: bool) -> None:
    for switch in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
        with suppress(FileNotFoundError):
            (BRIDGED / switch).write_text(str(int(on)))


@BOTH
async def test_out_masqueraded_and_in_only_by_a_published_port(here: World, firewall: NftFirewall, version: int) -> None:
    (web,) = await plugged(here, firewall, lst0(), 2)
    await firewall.forward(OWNER, web.target, (published(version),))
    assert await said(web, OUTSIDE[version], 80) == f"outside to {HOST[version]}"
    assert await silent(here.outside, web.address[version], 80)
    assert await said(here.outside, HOST[version], 8080) == f"lst0-2 to {OUTSIDE[version]}"
    await firewall.unforward(OWNER)
    assert await silent(here.outside, HOST[version], 8080)


@BOTH
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("bridged", [True, False])
async def test_a_published_port_is_reached_from_everywhere(
    here: World, firewall: NftFirewall, version: int, protocol: str, bridged: bool
) -> None:
    web, near = await plugged(here, firewall, lst0(), 2, 3)
    (far,) = await plugged(here, firewall, network("lst1", 31, ipv6=True), 4)
    filter_bridged(bridged)
    await firewall.forward(OWNER, web.target, (published(version, protocol=protocol),))
    gateway = {4: "172.30.0.1", 6: "fd00:30::1"}[version]
    for asker, source in ((here.outside, OUTSIDE), (here.host, HOST)):
        assert await said(asker, HOST[version], 8080, protocol) == f"lst0-2 to {source[version]}"
    # Its own host's address is no way that an answer would find by itself.
    for asker in (near, web, far):
        assert await said(asker, HOST[version], 8080, protocol) == f"lst0-2 to {gateway}"
    assert await said(near, gateway, 8080, protocol) == f"lst0-2 to {gateway}"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("host_ip", ["0.0.0.0", "127.0.0.1"])
async def test_over_127_0_0_1(here: World, firewall: NftFirewall, protocol: str, host_ip: str) -> None:
    (web,) = await plugged(here, firewall, lst0(), 2)
    await firewall.forward(OWNER, web.target, (published(host_ip=host_ip, protocol=protocol),))
    assert await said(here.host, "127.0.0.1", 8080, protocol) == "lst0-2 to 172.30.0.1"


@BOTH
async def test_one_address_of_the_host_and_no_other(here: World, firewall: NftFirewall, version: int) -> None:
    second = {4: "192.0.2.2", 6: "2001:db8::2"}[version]
    await tell(
        "ip", "address", "add", f"{second}/{24 if version == 4 else 64}", "dev", "up0", *(["nodad"] if version == 6 else [])
    )
    web, other = await plugged(here, firewall, lst0(), 2, 3)
    await firewall.forward(OWNER, web.target, (published(version, HOST[version]),))
    await firewall.forward("b" * 64, other.target, (published(version, second),))
    for asker in (here.outside, here.host, web):
        assert (await said(asker, HOST[version], 8080) or "").startswith("lst0-2")
        assert (await said(asker, second, 8080) or "").startswith("lst0-3")
    await firewall.unforward("b" * 64)
    assert await silent(here.outside, second, 8080)


async def test_what_is_bound_to_loopback_is_closed_to_outside_and_to_containers(here: World, firewall: NftFirewall) -> None:
    """Also to one that has bent its own routes: `route_localnet` is on for the bridge."""
    (web,) = await plugged(here, firewall, lst0(), 2)
    await here.serve(here.host, 9, "127.0.0.1")
    await firewall.forward(OWNER, web.target, (published(host_ip="127.0.0.1"),))
    bend = "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip address del 127.0.0.1/8 dev lo"
    await web.run("sh", "-c", f"{bend}; ip route add 127.0.0.1 via 172.30.0.1")
    for port in (9, 8080):
        assert await silent(web, "127.0.0.1", port)
    assert await silent(here.outside, HOST[4], 8080)
    assert "packets 0" not in next(
        line for line in (await tell("nft", "list", "chain", "inet", firewall.table, "spoofed")).splitlines() if "drop" in line
    )


@BOTH
async def test_networks_are_kept_apart_and_strangers_left_alone(here: World, firewall: NftFirewall, version: int) -> None:
    (web,) = await plugged(here, firewall, lst0(), 2)
    (other,) = await plugged(here, firewall, network("lst1", 31, ipv6=True), 3)
    foreign = network("foreign0", 29, ipv6=True)
    await here.bridge(foreign)
    stranger = await here.container("stranger", foreign, 5)
    assert await silent(web, other.address[version], 80)
    assert await silent(stranger, web.address[version], 80)
    assert await said(here.outside, stranger.address[version], 80) == f"stranger to {OUTSIDE[version]}"
    assert await said(stranger, OUTSIDE[version], 80) == f"outside to {stranger.address[version]}"
    assert await said(here.host, web.address[version], 80)


@BOTH
@pytest.mark.parametrize("bridged", [True, False])
async def test_an_internal_network(here: World, firewall: NftFirewall, version: int, bridged: bool) -> None:
    inner, near = await plugged(here, firewall, network(ipv6=True, internal=True), 2, 3)
    (far,) = await plugged(here, firewall, network("lst1", 31, ipv6=True), 4)
    filter_bridged(bridged)
    await firewall.forward(OWNER, far.target, (published(version),))
    assert await said(inner, near.address[version], 80) == f"lst0-3 to {inner.address[version]}"
    assert await said(here.host, inner.address[version], 80)
    assert await silent(inner, OUTSIDE[version], 80)
    assert await silent(here.outside, inner.address[version], 80)
    assert await silent(inner, HOST[version], 8080)


@BOTH
@pytest.mark.parametrize("bridged", [True, False])
async def test_containers_that_may_not_talk(here: World, firewall: NftFirewall, version: int, bridged: bool) -> None:
    one, two = await plugged(here, firewall, lst0(**{ICC: "false"}), 2, 3)
    filter_bridged(bridged)
    assert await silent(one, two.address[version], 80)
    assert await said(here.host, two.address[version], 80)
    assert await said(one, OUTSIDE[version], 80) == f"outside to {HOST[version]}"
    # Nor by way of the gateway.
    to, via = {4: ("172.30.0.3/32", "172.30.0.1"), 6: ("fd00:30::3/128", "fd00:30::1")}[version]
    await one.run("ip", "route", "add", to, "via", via)
    assert await silent(one, two.address[version], 80)


@BOTH
@pytest.mark.parametrize("bridged", [True, False])
async def test_of_those_that_may_not_talk_published_ports_are_left_to_the_relay(
    here: World, firewall: NftFirewall, version: int, bridged: bool
) -> None:
    one, two = await plugged(here, firewall, lst0(**{ICC: "false"}), 2, 3)
    filter_bridged(bridged)
    await firewall.forward(OWNER, two.target, (published(version),))
    gateway = {4: "172.30.0.1", 6: "fd00:30::1"}[version]
    await here.serve(here.host, 8080)
    for address in (HOST[version], gateway):
        for asker in (one, two):
            assert await said(asker, address, 8080) == f"host to {asker.address[version]}"
    assert await said(here.outside, HOST[version], 8080) == f"lst0-3 to {OUTSIDE[version]}"


async def test_an_address_of_the_hosts_choice_and_none_at_all(here: World, firewall: NftFirewall) -> None:
    await tell("ip", "address", "add", "192.0.2.2/24", "dev", "up0")
    (web,) = await plugged(here, firewall, lst0(**{HOST_IPV4: "192.0.2.2"}), 2)
    assert await said(web, OUTSIDE[4], 80) == "outside to 192.0.2.2"
    assert await said(web, OUTSIDE[6], 80) == f"outside to {HOST[6]}"
    await firewall.make(lst0(**{MASQUERADE: "false"}))
    for version in (4, 6):
        assert await said(web, OUTSIDE[version], 80) == f"outside to {web.address[version]}"
    # The way back of what is published is no question of masquerading.
    await firewall.forward(OWNER, web.target, (published(),))
    assert await said(web, HOST[4], 8080) == "lst0-2 to 172.30.0.1"


@BOTH
async def test_a_udp_port_leads_to_the_new_container_at_once(here: World, firewall: NftFirewall, version: int) -> None:
    """A flow that never pauses would keep to the old one, or to nobody."""
    one, two = await plugged(here, firewall, lst0(), 2, 3)
    loop = asyncio.get_running_loop()
    with here.outside.socket({4: socket.AF_INET, 6: socket.AF_INET6}[version], socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((HOST[version], 5353))

        async def ask() -> str:
            """Refusals say only that nobody was there yet."""
            with suppress(ConnectionRefusedError):
                client.send(b"who?")
                return (await asyncio.wait_for(loop.sock_recv(client, 200), 5)).decode()
            return "nobody"

        assert await ask() == "nobody"
        for owner, peer in ((OWNER, one), ("b" * 64, two)):
            await firewall.forward(owner, peer.target, (published(version, protocol="udp", host_port=5353),))
            assert await ask() == f"{peer.name} to {OUTSIDE[version]}"
            await firewall.unforward(owner)
            assert await ask() == "nobody"


async def test_flows_of_others_are_not_forgotten(here: World, firewall: NftFirewall) -> None:
    """A container asks a server outside at the same port that is published here."""
    (web,) = await plugged(here, firewall, lst0(), 2)
    await here.serve(here.outside, 5353)
    assert await said(web, OUTSIDE[4], 5353, "udp")
    for _ in range(2):
        await firewall.forward(OWNER, web.target, (published(protocol="udp", host_port=5353), published(protocol="udp")))
        await firewall.unforward(OWNER)
    tracked = Path("/proc/thread-self/net/nf_conntrack")
    assert tracked.exists() and f"dst={OUTSIDE[4]}" in tracked.read_text()


async def test_a_target_without_ipv6_is_left_to_the_relay(here: World, firewall: NftFirewall) -> None:
    (web,) = await plugged(here, firewall, lst0(), 2)
    target = Target(bridge="lst0", address=web.address[4])
    await firewall.forward(OWNER, target, (published(4), published(6), published(6, "::1", host_port=81)))
    await here.serve(here.host, 8080, "::")
    assert await said(here.outside, HOST[4], 8080) == f"lst0-2 to {OUTSIDE[4]}"
    assert await said(here.outside, HOST[6], 8080) == f"host to {OUTSIDE[6]}"
    assert await said(here.host, "::1", 8080) == "host to ::1"
    await firewall.forward(OWNER, web.target, (published(4), published(6)))
    assert await said(here.outside, HOST[6], 8080) == f"lst0-2 to {OUTSIDE[6]}"
    assert await said(here.host, "::1", 8080) == "host to ::1"


@BOTH
async def test_beside_a_firewall_that_drops(here: World, firewall: NftFirewall, version: int) -> None:
    program = {4: "iptables", 6: "ip6tables"}[version]
    await tell(program, "-P", "FORWARD", "DROP")
    before = await tell(program, "-S")
    web, near = await plugged(here, firewall, lst0(), 2, 3)
    filter_bridged(True)
    await firewall.forward(OWNER, web.target, (published(version),))
    assert await said(web, OUTSIDE[version], 80) == f"outside to {HOST[version]}"
    assert await said(near, web.address[version], 80)
    assert await silent(here.outside, web.address[version], 80)
    for asker in (here.outside, here.host, near, web):
        assert await said(asker, HOST[version], 8080)
    await firewall.drop(lst0())
    assert await tell(program, "-S") == before


@BOTH
async def test_flushed_by_hand_it_is_put_back_with_its_ports(here: World, firewall: NftFirewall, version: int) -> None:
    (web,) = await plugged(here, firewall, lst0(), 2)
    await firewall.forward(OWNER, web.target, (published(version),))
    await tell("nft", "flush", "ruleset")
    assert await silent(here.outside, HOST[version], 8080)
    assert await firewall.look_forward(OWNER) is None
    await firewall.refresh()
    assert await said(here.outside, HOST[version], 8080)
    assert await firewall.look_forward(OWNER)
    assert await said(web, OUTSIDE[version], 80) == f"outside to {HOST[version]}"


async def test_a_new_engine_interrupts_nobody(here: World, firewall: NftFirewall) -> None:
    """It makes its networks one after the other; meanwhile all of them work, with their ports."""
    (web,) = await plugged(here, firewall, lst0(), 2)
    (other,) = await plugged(here, firewall, network("lst1", 31, ipv6=True), 3)
    await firewall.forward(OWNER, other.target, (published(),))
    new = NftFirewall("lst0")
    await new.make(lst0())
    assert await said(here.outside, HOST[4], 8080) == f"lst1-3 to {OUTSIDE[4]}"
    assert await said(other, OUTSIDE[4], 80) == f"outside to {HOST[4]}"
    assert await silent(web, other.address[4], 80)
    await new.unforward(OWNER)
    assert await silent(here.outside, HOST[4], 8080)


async def test_counters_of_what_applies_to_an_endpoint(here: World, firewall: NftFirewall) -> None:
    (web,) = await plugged(here, firewall, lst0(), 2)
    await firewall.forward(OWNER, web.target, (published(),))
    for _ in range(3):
        assert await said(here.outside, HOST[4], 8080)
    rules = await firewall.rules(endpoint(2))
    assert any(
        rule.startswith("any4 tcp . 8080 counter packets 3 bytes ") and rule.endswith(": 172.30.0.2 . 80") for rule in rules
    )
    assert not any("any4" in rule for rule in await firewall.rules(endpoint(3)))
