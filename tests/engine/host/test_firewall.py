"""Our nft table on the real kernel: made, changed by a few elements, read back by a new engine, put back, dropped."""

import asyncio
import errno
import logging

import pytest

from engine.host import tools
from engine.host.firewall import NftFirewall, elements, ruleset
from engine.host.firewall.ruleset import Element, Elements, Place
from engine.host.tools import ask, tell
from engine.model.errors import HostFailed, Invalid, Unavailable
from engine.model.network import HOST_IPV4, ICC, Published, Target
from tests.engine.host.wiring import endpoint, network

pytestmark = pytest.mark.usefixtures("machine")

OWNER, OTHER = "a" * 64, "b" * 64
TARGET = Target(bridge="lst0", address="172.30.0.2", address6="fd00:30::2")
EVERYWHERE = (
    Published(protocol="tcp", port=80, host_ip="0.0.0.0", host_port=8080),
    Published(protocol="tcp", port=80, host_ip="::", host_port=8080),
    Published(protocol="udp", port=53, host_ip="192.0.2.1", host_port=53),
    Published(protocol="sctp", port=9, host_ip="2001:db8::1", host_port=9),
)


@pytest.fixture
async def firewall(machine: None) -> NftFirewall:
    return NftFirewall("lst0")


async def rules() -> str:
    return await tell("nft", "list", "ruleset")


class Told:
    """What nft is told and asked from now on, and the kernel without it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scripts: list[str] = []
        self.questions: list[tuple[str, ...]] = []
        self.changes: list[tuple[list[Place], Elements]] = []  # what went, and what came

        async def run(program: str, *args: str, stdin: str | None = None) -> tuple[int, str, str]:
            if stdin is None:
                self.questions.append((program, *args))
            else:
                self.scripts.append(stdin)
            return await ask(program, *args, stdin=stdin)

        def change(table: str, gone: Elements, fresh: Elements) -> None:
            self.changes.append((list(gone), fresh))
            really(table, gone, fresh)

        really = elements.change
        monkeypatch.setattr(elements, "change", change)
        monkeypatch.setattr(tools, "ask", run)
        for module in "engine.host.firewall", "engine.host.firewall.beside":
            monkeypatch.setattr(f"{module}.ask", run)


async def test_the_table_is_made_seen_made_again_and_dropped_twice(firewall: NftFirewall) -> None:
    before = await rules()
    assert await firewall.look(network()) is None
    await firewall.drop(network())
    for _ in range(2):
        await firewall.make(network())
        assert "out4 172.30.0.0/16" in (await firewall.look(network()) or "")
    assert "table inet longshore-lst0" in await rules()
    for _ in range(2):
        await firewall.drop(network())
        assert await firewall.look(network()) is None
    assert await rules() == before


async def test_every_kind_of_element_is_read_back_as_it_was_written(firewall: NftFirewall) -> None:
    """By a new engine, which then has nothing to change."""
    networks = [
        network(ipv6=True),
        network("lst1", 31, ipv6=True, internal=True, options={ICC: "false"}),
        network("br-0123456789ab", 32, options={HOST_IPV4: "192.0.2.7"}),
    ]
    for each in networks:
        await firewall.make(each)
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    before = await rules()
    new = NftFirewall("lst0")
    assert await new.look_forward(OWNER) == await firewall.look_forward(OWNER)
    assert await new.owners() == {OWNER}
    for each in networks:
        assert await new.look(each) == await firewall.look(each) is not None
        await new.make(each)
    await new.forward(OWNER, TARGET, EVERYWHERE)
    assert await rules() == before
    for each in networks:
        await new.drop(each)
    assert await rules() == ""


async def test_a_network_made_otherwise(firewall: NftFirewall) -> None:
    await firewall.make(network(options={ICC: "false"}))
    assert await firewall.look(network()) is None
    await firewall.make(network())
    assert await firewall.look(network())


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        "flush table inet longshore-lst0",
        "flush map inet longshore-lst0 any4",
        "delete element inet longshore-lst0 ours { lst0 }",
        "insert rule inet longshore-lst0 forward drop",
    ],
)
async def test_damage_is_seen_and_put_back(firewall: NftFirewall, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    closed = network(options={ICC: "false"})
    await firewall.make(closed)
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    before = await rules()
    await tell("nft", *damage.split())
    with caplog.at_level(logging.WARNING):
        await firewall.refresh()
    assert await rules() == before
    assert len(caplog.records) == 1
    await firewall.refresh()
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "damage", ["flush ruleset", "flush table inet longshore-lst0", "delete element inet longshore-lst0 ours { lst0 }"]
)
async def test_a_network_that_is_damaged_is_missed_and_made_again(firewall: NftFirewall, damage: str) -> None:
    await firewall.make(network())
    await tell("nft", *damage.split())
    assert await firewall.look(network()) is None
    await firewall.make(network())
    assert await firewall.look(network())


@pytest.mark.parametrize("damage", ["flush ruleset", "flush map inet longshore-lst0 any4"])
async def test_ports_come_and_go_on_a_damaged_table(firewall: NftFirewall, damage: str) -> None:
    await firewall.make(network())
    await firewall.forward(OTHER, TARGET, EVERYWHERE[2:])
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    await tell("nft", *damage.split())
    await firewall.unforward(OWNER)
    assert await firewall.look_forward(OWNER) is None
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    assert (await firewall.look_forward(OWNER) or "").count("172.30.0.2") == 2
    await firewall.refresh()
    assert await firewall.look(network())


async def test_the_next_engine_puts_back_what_is_flushed(firewall: NftFirewall) -> None:
    await firewall.make(network())
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    after = NftFirewall("lst0")
    await after.make(network())
    await tell("nft", "flush", "ruleset")
    await after.refresh()
    assert await after.look(network()) and await after.look_forward(OWNER)


async def test_what_somebody_added_to_our_sets_is_left_alone(firewall: NftFirewall) -> None:
    await firewall.make(network())
    await tell("nft", "add element inet longshore-lst0 any4 { tcp . 1 : 172.30.0.9 . 1 }")
    before = await rules()
    await firewall.refresh()
    await NftFirewall("lst0").make(network())
    assert await rules() == before


async def test_the_table_of_an_engine_of_another_time_is_replaced(firewall: NftFirewall) -> None:
    await tell("nft", "-f", "-", stdin="""
        table inet longshore-lst0 {
          set ours { type ifname; flags constant; elements = { "lst0" }; }
          chain old { type filter hook forward priority 0; policy accept; oifname @ours drop; }
        }""")  # fmt: skip
    await firewall.make(network())
    assert await firewall.look(network())
    assert "chain old" not in await rules()


async def test_nft_is_asked_again_only_after_a_change(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    await firewall.make(network())
    shown = await firewall.look(network())
    await firewall.refresh()
    told = Told(monkeypatch)
    assert await firewall.look(network()) == shown
    assert await firewall.look_forward(OWNER) is None
    await firewall.refresh()
    assert not told.questions
    await tell("nft", "add", "table", "ip", "anything")  # whoever changes whatever
    told.questions.clear()
    assert await firewall.look(network()) == shown
    await firewall.refresh()
    assert len(told.questions) == 2


async def test_one_containers_ports_are_one_small_transaction(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    await firewall.make(network())
    await firewall.forward(
        OTHER, TARGET, tuple(Published(protocol="tcp", port=n, host_ip="0.0.0.0", host_port=n) for n in range(1, 200))
    )
    told = Told(monkeypatch)
    await firewall.forward(OWNER, TARGET, EVERYWHERE[:1])
    place = Place("any4", "tcp . 8080")
    assert told.changes == [([], {place: Element(OWNER, "172.30.0.2 . 80")})]
    await firewall.forward(OWNER, TARGET, EVERYWHERE[:1])
    await firewall.unforward(OWNER)
    assert told.changes[1:] == [([place], {})]
    await firewall.unforward(OWNER)
    await firewall.unforward("nobody")
    assert len(told.changes) == 2
    assert not told.questions and not told.scripts


async def test_a_thousand_ports_are_one_transaction(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = tuple(Published(protocol="tcp", port=80, host_ip="0.0.0.0", host_port=10_000 + n) for n in range(1000))
    await firewall.make(network())
    told = Told(monkeypatch)
    await firewall.forward(OWNER, TARGET, ports)
    assert len(told.changes) == 1
    assert (await firewall.look_forward(OWNER) or "").count("172.30.0.2 . 80") == 1000
    await firewall.unforward(OWNER)
    assert await firewall.look_forward(OWNER) is None
    assert len(told.changes) == 2 and not told.scripts


async def test_a_port_that_a_crash_left_to_another_is_taken_over(firewall: NftFirewall) -> None:
    await firewall.make(network())
    await firewall.forward(OTHER, Target(bridge="lst0", address="172.30.0.9"), EVERYWHERE)
    await firewall.forward(OWNER, TARGET, EVERYWHERE[:1])
    assert await firewall.look_forward(OWNER) == "any4 tcp . 8080 : 172.30.0.2 . 80"
    assert await firewall.look_forward(OTHER) == "bound4 udp . 192.0.2.1 . 53 : 172.30.0.9 . 53"
    await firewall.forward(OWNER, TARGET, EVERYWHERE[1:2])
    assert await firewall.look_forward(OWNER) == "any6 tcp . 8080 : fd00:30::2 . 80"


async def test_many_at_once_share_transactions(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    await firewall.make(network())
    before = await rules()
    told = Told(monkeypatch)

    async def live(number: int) -> None:
        owner, port = f"{number:064x}", Published(protocol="tcp", port=80, host_ip="0.0.0.0", host_port=9000 + number)
        await firewall.forward(owner, TARGET, (port,))
        assert await firewall.look_forward(owner) == f"any4 tcp . {9000 + number} : 172.30.0.2 . 80"
        await firewall.unforward(owner)
        assert await firewall.look_forward(owner) is None

    await asyncio.gather(*map(live, range(20)), *(firewall.make(network()) for _ in range(3)))
    assert len(told.scripts + told.changes) < 20
    assert await rules() == before


async def test_what_is_written_without_nft_is_to_the_letter_what_nft_writes(firewall: NftFirewall) -> None:
    await firewall.make(network())
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    wanted = ruleset.of_ports(OWNER, TARGET, EVERYWHERE)
    assert {place.set for place in wanted} == {"any4", "any6", "bound4", "bound6"}

    async def raw() -> str:
        return await tell("nft", "--debug=netlink", "list", "table", "inet", firewall.table)

    without = await raw()
    await firewall.unforward(OWNER)
    await tell("nft", "-f", "-", stdin=ruleset.changes(firewall.table, (), wanted))
    assert await raw() == without


async def test_a_change_that_nobody_waits_for_any_more_is_made_all_the_same(
    firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what the kernel has and what is remembered never part."""
    await firewall.make(network())
    under_way, loop, really = asyncio.Event(), asyncio.get_running_loop(), elements.change

    def change(table: str, gone: Elements, fresh: Elements) -> None:
        loop.call_soon_threadsafe(under_way.set)
        really(table, gone, fresh)

    monkeypatch.setattr(elements, "change", change)
    starting = asyncio.create_task(firewall.forward(OWNER, TARGET, EVERYWHERE))
    await under_way.wait()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    await firewall.unforward(OWNER)
    assert await firewall.look_forward(OWNER) is None


async def test_what_fails_is_told_to_everybody_and_changes_nothing(
    firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    await firewall.make(network())
    before = await rules()

    def refuse(*_: object) -> None:
        refused.append(OSError(errno.ENOENT, "No such file or directory"))
        raise refused[-1]

    refused: list[OSError] = []
    with monkeypatch.context() as without:
        without.setattr(elements, "change", refuse)
        without.setattr("engine.host.tools.SEARCH_PATH", "/nowhere")
        made = await asyncio.gather(
            *(firewall.forward(owner, TARGET, EVERYWHERE) for owner in (OWNER, OTHER)), return_exceptions=True
        )
        assert [type(each) for each in made] == [Unavailable, Unavailable] and refused
    assert await rules() == before
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    assert await firewall.look_forward(OWNER)


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


async def test_two_networks_of_one_engine_leave_one_by_one_and_the_ports_with_the_last(firewall: NftFirewall) -> None:
    one, two = network(), network("lst1", 31)
    await firewall.make(one)
    await firewall.make(two)
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    await firewall.drop(two)
    assert await firewall.look(two) is None
    assert await firewall.look(one)
    assert await firewall.look_forward(OWNER)
    await firewall.drop(one)
    assert await rules() == ""
    assert await firewall.look_forward(OWNER) is None
    await firewall.unforward(OWNER)
    assert await rules() == ""


async def test_the_commands_that_are_shown_do_just_that(firewall: NftFirewall) -> None:
    await firewall.make(network())
    before = await rules()
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    led = await rules()
    for back, after in (True, before), (False, led):
        for command in firewall.commands(OWNER, TARGET, EVERYWHERE, back=back):
            await tell("sh", "-c", command)
        assert await rules() == after


async def test_ports_of_a_network_without_rules_are_refused(firewall: NftFirewall) -> None:
    with pytest.raises(HostFailed, match="the network lst0 has no firewall rules"):
        await firewall.forward(OWNER, TARGET, EVERYWHERE)


async def test_what_applies_to_an_endpoint(firewall: NftFirewall) -> None:
    await firewall.make(network(ipv6=True))
    await firewall.make(network("lst1", 31, internal=True, options={ICC: "false"}))
    await firewall.forward(OWNER, TARGET, EVERYWHERE)
    open_, closed = await firewall.rules(endpoint(2)), await firewall.rules(endpoint(2, "lst1", 31))
    assert 'ours "lst0"' in open_ and 'ours "lst0"' not in closed
    assert "out4 172.30.0.0/16 counter packets 0 bytes 0" in open_
    assert "any4 tcp . 8080 counter packets 0 bytes 0 : 172.30.0.2 . 80" in open_
    assert not any("fd00:30::2 . 80" in rule for rule in open_)  # this endpoint has no IPv6
    assert any("fd00:30::2 . 80" in rule for rule in await firewall.rules(endpoint(2, ipv6=True)))
    assert "published dnat ip to meta l4proto . th dport map @any4" in open_
    assert "forward iifname . oifname @within accept" in open_
    assert "forward oifname @ours counter packets 0 bytes 0 drop" in open_
    assert not any("internal" in rule for rule in open_)
    assert "forward oifname @internal counter packets 0 bytes 0 drop" in closed
    assert not any("within" in rule or "out4" in rule or "any4" in rule for rule in closed)


async def test_nfts_refusal_is_told_and_without_nft_its_package(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostFailed, match=r"nft -f - failed with exit code 1: .*"):
        await tell("nft", "-f", "-", stdin="nonsense")
    monkeypatch.setattr("engine.host.tools.SEARCH_PATH", "/nowhere")
    with pytest.raises(Unavailable, match="apt install nftables"):
        await firewall.make(network())


@pytest.mark.parametrize("bridge", ["", "x" * 16, "lst*", 'a"; drop', "br+"])
async def test_a_name_that_would_match_other_links_is_refused(bridge: str) -> None:
    with pytest.raises(Invalid, match="invalid bridge name"):
        NftFirewall(bridge)
    with pytest.raises(Invalid, match="invalid bridge name"):
        await NftFirewall("lst0").make(network(bridge))
