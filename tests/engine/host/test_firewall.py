"""Our nft table, and our chain beside a firewall that drops, in a network namespace of the test's own."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from engine.host.firewall import NftFirewall, ruleset
from engine.host.links import KernelLinks
from engine.host.netns import KernelNetns
from engine.host.tools import ask, tell
from engine.model.errors import HostFailed, Invalid, Unavailable
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


async def test_the_table_is_made_seen_made_again_and_dropped_twice(firewall: NftFirewall) -> None:
    before = await rules()
    assert await firewall.look(network()) is None
    await firewall.drop(network())
    for _ in range(2):
        await firewall.make(network())
        assert await firewall.look(network()) == 'ip saddr 172.30.0.0/16 oifname != "lst0" masquerade'
    made = await rules()
    assert made.count("masquerade") == 1
    assert "table inet longshore-lst0" in made
    for _ in range(2):
        await firewall.drop(network())
        assert await firewall.look(network()) is None
    assert await rules() == before


async def test_rules_flushed_by_hand_are_missed_and_made_again(firewall: NftFirewall) -> None:
    await firewall.make(network())
    await tell("nft", "flush", "table", "inet", firewall.table)
    assert await firewall.look(network()) is None
    await firewall.make(network())
    assert await firewall.look(network())


async def test_nft_is_asked_again_only_after_a_change(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    await firewall.make(network())
    shown = await firewall.look(network())
    await firewall.refresh()
    asked: list[tuple[str, ...]] = []

    async def count(program: str, *args: str, stdin: str | None = None) -> tuple[int, str, str]:
        asked.append((program, *args))
        return await ask(program, *args, stdin=stdin)

    monkeypatch.setattr("engine.host.firewall.ask", count)
    assert await firewall.look(network()) == shown
    await firewall.refresh()
    assert not asked
    await tell("nft", "add", "table", "ip", "anything")  # whoever changes whatever
    assert await firewall.look(network()) == shown
    await firewall.refresh()
    assert len(asked) == 2


async def test_each_engine_has_a_table_of_its_own(firewall: NftFirewall) -> None:
    other = NftFirewall("lst1")
    await firewall.make(network())
    await other.make(network("lst1", 31))
    await firewall.drop(network())
    assert await firewall.look(network()) is None
    assert await other.look(network("lst1", 31))


async def test_names_for_the_first_engine_and_for_others() -> None:
    assert (NftFirewall("longshore0").table, NftFirewall("longshore0").chain) == ("longshore", "LONGSHORE")
    assert (NftFirewall("br.a_b-c").table, NftFirewall("br.a_b-c").chain) == ("longshore-br.a_b-c", "LONGSHORE-br.a_b-c")
    assert len(NftFirewall("x" * 15).chain) <= 28  # iptables' longest
    await NftFirewall("br.a_b-c").make(network("br.a_b-c"))
    await NftFirewall("br.a_b-c").drop(network("br.a_b-c"))


@pytest.mark.parametrize("bridge", ["", "x" * 16, "lst*", 'a"; drop', "br+"])
async def test_a_name_that_would_match_other_links_is_refused(bridge: str) -> None:
    with pytest.raises(Invalid, match="invalid bridge name"):
        NftFirewall(bridge)
    with pytest.raises(Invalid, match="invalid bridge name"):
        await NftFirewall("lst0").make(network(bridge))


async def test_two_networks_of_one_engine_are_in_one_table_and_leave_one_by_one(firewall: NftFirewall) -> None:
    one, two = network(), network("lst1", 31)
    await firewall.make(one)
    await firewall.make(two)
    assert await firewall.look(one)
    await firewall.drop(one)
    assert await firewall.look(one) is None
    assert await firewall.look(two)
    assert ruleset("t", ()) == "add table inet t\ndelete table inet t\n"


async def test_nfts_refusal_is_told_and_without_nft_its_package(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostFailed, match=r"nft -f - failed with exit code 1: .*"):
        await tell("nft", "-f", "-", stdin="nonsense")
    monkeypatch.setattr("engine.host.tools.SEARCH_PATH", "/nowhere")
    with pytest.raises(Unavailable, match="apt install nftables"):
        await firewall.make(network())


async def test_a_container_gets_out_masqueraded_and_strangers_do_not_get_in(web: str, outside: str, netns: KernelNetns) -> None:
    assert await reaches(netns, web, outside)
    await tell("nsenter", f"--net={netns.path('outside')}", "ip", "route", "add", "172.30.0.0/16", "via", "192.0.2.1")
    assert not await reaches(netns, "outside", "172.30.0.2")
    assert await reaches(netns, web, outside)


async def test_without_our_rules_nothing_comes_back(web: str, outside: str, netns: KernelNetns, firewall: NftFirewall) -> None:
    await firewall.drop(network())
    assert not await reaches(netns, web, outside)


async def test_two_networks_are_kept_apart(web: str, netns: KernelNetns, firewall: NftFirewall) -> None:
    links = KernelLinks(os.path.dirname(os.path.dirname(netns.path("any"))))
    await links.make_bridge(network("lst1", 31))
    await connect(netns, links, "other", endpoint(3, "lst1", 31))
    assert await reaches(netns, web, "172.31.0.3")
    await firewall.make(network("lst1", 31))
    assert not await reaches(netns, web, "172.31.0.3")
    assert not await reaches(netns, "other", "172.30.0.2")


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


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize("drop", [policy_drop, final_reject, final_drop])
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
