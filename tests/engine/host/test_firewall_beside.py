"""Our chain beside a firewall that drops what is forwarded, in a network namespace of the test's own."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from engine.host.firewall import NftFirewall
from engine.host.links import KernelLinks
from engine.host.netns import KernelNetns
from engine.host.tools import ask, tell
from tests.engine.host.wiring import connect, endpoint, network, reaches

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
async def firewall(machine: None) -> AsyncIterator[NftFirewall]:
    yield NftFirewall("lst0")


@pytest.fixture
async def web(firewall: NftFirewall, netns: KernelNetns, outside: str) -> str:
    """A container that is plugged in, on a host that masquerades; name of its namespace."""
    links = KernelLinks(os.path.dirname(os.path.dirname(netns.path("any"))))
    await links.make_bridge(network())
    await firewall.make(network())
    await connect(netns, links, "web", endpoint(2))
    return "web"


async def rules() -> str:
    return await tell("nft", "list", "ruleset")


async def forward(program: str = "iptables-nft") -> list[str]:
    return (await tell(program, "-S", "FORWARD")).splitlines()


async def test_no_chain_is_made_where_nobody_drops(firewall: NftFirewall) -> None:
    await firewall.make(network())
    await firewall.refresh()
    assert "ip filter" not in await rules()
    await tell("iptables-nft", "-A", "FORWARD", "-i", "docker0", "-j", "DROP")
    await firewall.refresh()
    assert len(await forward()) == 2


async def policy_drop(program: str) -> None:
    await tell(program, "-P", "FORWARD", "DROP")


async def final_reject(program: str) -> None:
    await tell(program, "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT")
    await tell(program, "-A", "FORWARD", "-j", "REJECT")


async def final_drop(program: str) -> None:
    await tell(program, "-A", "FORWARD", "-j", "DROP")


async def ufw_rejects(program: str) -> None:
    """Its own chain rejects, and nothing after it is reached."""
    await tell(program, "-N", "ufw-reject-forward")
    await tell(program, "-A", "ufw-reject-forward", "-j", "REJECT")
    await tell(program, "-A", "FORWARD", "-j", "ufw-reject-forward")
    await tell(program, "-P", "FORWARD", "DROP")


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize("drop", [policy_drop, final_reject, final_drop, ufw_rejects])
async def test_a_firewall_that_drops_is_joined_and_left_as_it_was(
    web: str, outside: str, netns: KernelNetns, firewall: NftFirewall, program: str, drop: Callable[[str], Awaitable[None]]
) -> None:
    await drop(program)
    before = await tell(program, "-S")
    assert not await reaches(netns, web, outside)
    for _ in range(2):
        await firewall.refresh()
        assert (await forward(program)).count(f"-A FORWARD -j {firewall.chain}") == 1
    assert await reaches(netns, web, outside)
    await firewall.drop(network())
    assert await tell(program, "-S") == before


async def test_a_chain_flushed_by_hand_is_made_again(web: str, outside: str, netns: KernelNetns, firewall: NftFirewall) -> None:
    await policy_drop("iptables-nft")
    await firewall.refresh()
    await tell("iptables-nft", "-F")
    await firewall.refresh()
    assert await reaches(netns, web, outside)


async def test_a_restarted_engine_finds_and_removes_the_chain_of_the_one_before(web: str, firewall: NftFirewall) -> None:
    await policy_drop("iptables-nft")
    await firewall.refresh()
    await NftFirewall("lst0").drop(network())
    assert await forward() == ["-P FORWARD DROP"]


async def test_dockers_bridges_are_left_to_docker(web: str, netns: KernelNetns, firewall: NftFirewall) -> None:
    links = KernelLinks(os.path.dirname(os.path.dirname(netns.path("any"))))
    await links.make_bridge(network("docker0", 31))
    await connect(netns, links, "dockers", endpoint(3, "docker0", 31))
    assert await reaches(netns, web, "172.31.0.3")
    await policy_drop("iptables-nft")
    await firewall.refresh()
    assert not await reaches(netns, web, "172.31.0.3")


async def test_a_second_network_joins_the_chain(web: str, firewall: NftFirewall) -> None:
    await policy_drop("iptables-nft")
    await firewall.refresh()
    await firewall.make(network("lst1", 31))
    chain = await tell("iptables-nft", "-S", firewall.chain)
    assert f"-A {firewall.chain} -i lst1 -j ACCEPT" in chain
    await firewall.drop(network("lst1", 31))
    assert "lst1" not in await tell("iptables-nft", "-S", firewall.chain)
    assert (await ask("iptables-nft", "-C", "FORWARD", "-j", firewall.chain))[0] == 0


async def test_a_strangers_drop_is_seen_and_nothing_is_made_by_looking(firewall: NftFirewall) -> None:
    assert not await firewall.strangers_drop()
    assert await rules() == ""
    await tell("iptables-nft", "-P", "FORWARD", "DROP")
    before = await rules()
    assert await firewall.strangers_drop()
    assert await rules() == before


async def test_the_chain_of_ipv6_comes_and_goes_with_networks_that_have_it(firewall: NftFirewall) -> None:
    for program in "iptables-nft", "ip6tables-nft":
        await policy_drop(program)
    await firewall.make(network())
    assert await forward("ip6tables-nft") == ["-P FORWARD DROP"]
    await firewall.make(network("lst1", 31, ipv6=True))
    chain = await tell("ip6tables-nft", "-S", firewall.chain)
    assert f"-A {firewall.chain} -i lst1 -j ACCEPT" in chain and "-i lst0" not in chain
    await tell("ip6tables-nft", "-F")
    await firewall.refresh()
    assert f"-A FORWARD -j {firewall.chain}" in await forward("ip6tables-nft")
    await firewall.drop(network("lst1", 31, ipv6=True))
    assert await forward("ip6tables-nft") == ["-P FORWARD DROP"]
    assert f"-A FORWARD -j {firewall.chain}" in await forward()
