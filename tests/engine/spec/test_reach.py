"""Every reason why one end does not reach another: told from what was seen, with a sentence and a remedy. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from engine.host import Freeze
from engine.host.sight import Answer, Attempt, Drop, Interface, Listener, Route, Sight
from engine.model.container import State
from engine.model.network import ICC, Endpoint, Network, Published
from engine.model.reach import Hop, Outcome, Verdict
from engine.model.status import Status
from engine.spec import reach
from engine.spec.reach import REASONS, Reason
from tests.engine.spec.made import container

C = replace(container(), name="db")
E = Endpoint(
    network="back",
    network_id="b" * 64,
    endpoint_id="e" * 64,
    bridge="br-b",
    veth="vethb",
    interface="eth0",
    address="10.0.0.2",
    prefix=24,
    gateway="10.0.0.1",
    mac="02:42:0a:00:00:02",
)
OTHER = replace(E, network="front", network_id="f" * 64, bridge="br-f", address="10.1.0.2")
NETWORK = Network(id="b" * 64, name="back", driver="bridge", created=datetime(2026, 1, 1, tzinfo=UTC))
CLOSED = replace(NETWORK, options={ICC: "false"})
HERE = {"br-b": Interface(name="br-b", addresses=("10.0.0.1",)), "vethb": Interface(name="vethb", bridge="br-b")}
INSIDE = {"eth0": Interface(name="eth0", addresses=("10.0.0.2",))}
UPLINK = ("192.0.2.1", "192.0.2.2")
FROZEN = Freeze(kernel="frozen", self_frozen=True, parent_frozen=False)
ANSWERED, SILENT = Attempt(answer=Answer.ANSWERED), Attempt(answer=Answer.SILENT)
REFUSED = Attempt(answer=Answer.REFUSED, error="Connection refused")
THEIRS, OURS = (Drop(table="inet x", chain="forward", rule="policy drop", ours=ours) for ours in (False, True))
PORT = Published(protocol="tcp", port=80, host_ip="0.0.0.0", host_port=8080)


def cable(here: dict[str, Any] | None = None, inside: dict[str, Any] | None = None, *, gone: bool = False) -> Hop:
    sight = Sight(interfaces={**INSIDE, **(inside or {})})
    return reach.cable(
        C, E, Sight(interfaces={k: v for k, v in (HERE | (here or {})).items() if v}), None if gone else sight, ""
    )


def published(p: Published = PORT, held: str | None = "held", led: str | None = "led", *, translated: bool = True) -> Hop:
    here = Sight(interfaces={"up0": Interface(name="up0", addresses=(*UPLINK, "127.0.0.1"))})
    return reach.published(C, p, here, UPLINK, held, led, translated=translated)


def publishing(port: int, *published: Published) -> Hop | Published:
    return reach.publishing(replace(C, ports=published), port, "tcp", 4, UPLINK)


def listening(port: int, *listeners: Listener) -> Hop:
    return reach.listening("db", "10.0.0.2", port, "tcp", listeners)


def answer(tried: Attempt, *, what: str = "80/tcp", state: str = "reachable", beyond: bool = False) -> Hop:
    return reach.answer("db", what, tried, 1.0, "10.0.0.2", state, "10.0.0.2", beyond=beyond)


def tcp(address: str, port: int = 80) -> Listener:
    return Listener(protocol="tcp", address=address, port=port)


CASES: list[tuple[Hop | Published, Reason, Outcome]] = [
    (reach.lives(C, 0, None), Reason.NOT_RUNNING, Outcome.STOPPED),
    (reach.lives(C, 7, FROZEN), Reason.FROZEN, Outcome.STOPPED),
    (reach.lives(C, 7, replace(FROZEN, kernel="freezing")), Reason.FROZEN, Outcome.STOPPED),
    (reach.networks(C, "none", ()), Reason.NO_NETWORK, Outcome.STOPPED),
    (reach.networks(C, "bridge", ()), Reason.NO_NETWORK, Outcome.STOPPED),
    (cable(gone=True), Reason.NAMESPACE_GONE, Outcome.STOPPED),
    (cable({"br-b": None}), Reason.BRIDGE_GONE, Outcome.STOPPED),
    (cable({"vethb": None}), Reason.CABLE_GONE, Outcome.STOPPED),
    (cable({"vethb": Interface(name="vethb")}), Reason.UNPLUGGED, Outcome.STOPPED),
    (cable({"br-b": Interface(name="br-b", up=False)}), Reason.DOWN, Outcome.STOPPED),
    (cable(inside={"eth0": Interface(name="eth0", up=False)}), Reason.DOWN, Outcome.STOPPED),
    (reach.address(C, E, 6, Sight(interfaces=INSIDE)), Reason.NO_ADDRESS, Outcome.STOPPED),
    (reach.address(C, E, 4, Sight()), Reason.ADDRESS_GONE, Outcome.STOPPED),
    (reach.together(C, C, [E], [OTHER], SILENT), Reason.DIFFERENT_BRIDGE, Outcome.STOPPED),
    (reach.together(C, C, [E], [OTHER], replace(REFUSED, drop=THEIRS)), Reason.DIFFERENT_BRIDGE, Outcome.STOPPED),
    (reach.together(C, C, [E], [OTHER], ANSWERED), Reason.DIFFERENT_BRIDGE, Outcome.NOTED),
    (reach.route("db", "192.0.2.9", None, ""), Reason.NO_ROUTE, Outcome.STOPPED),
    (reach.route("", "192.0.2.9", None, ""), Reason.NO_WAY_OUT, Outcome.STOPPED),
    (reach.closed_in(C, E), Reason.INTERNAL, Outcome.STOPPED),
    (reach.forwarding("br-b", 6, False), Reason.FORWARDING_OFF, Outcome.STOPPED),
    (reach.rules(replace(SILENT, drop=OURS), CLOSED, ""), Reason.CLOSED, Outcome.STOPPED),
    (reach.rules(SILENT, CLOSED, ""), Reason.CLOSED, Outcome.STOPPED),
    (reach.rules(Attempt(answer=Answer.UNREACHABLE), CLOSED, ""), Reason.CLOSED, Outcome.STOPPED),
    (reach.rules(ANSWERED, CLOSED, ""), Reason.CLOSED, Outcome.NOTED),
    (reach.rules(replace(SILENT, drop=THEIRS), CLOSED, ""), Reason.FIREWALL, Outcome.STOPPED),
    (reach.rules(replace(SILENT, drop=OURS), NETWORK, ""), Reason.KEPT_APART, Outcome.STOPPED),
    (publishing(80), Reason.NOT_PUBLISHED, Outcome.STOPPED),
    (publishing(81, PORT), Reason.NOT_PUBLISHED, Outcome.STOPPED),
    (published(replace(PORT, host_ip="127.0.0.1")), Reason.OTHER_ADDRESS, Outcome.STOPPED),
    (published(replace(PORT, host_ip=UPLINK[1])), Reason.OTHER_ADDRESS, Outcome.NOTED),
    (published(replace(PORT, host_ip="192.0.2.99")), Reason.NOT_OURS, Outcome.STOPPED),
    (published(held=None), Reason.LEADS_NOWHERE, Outcome.STOPPED),
    (published(led=None), Reason.LEADS_NOWHERE, Outcome.STOPPED),
    (listening(80), Reason.NOTHING_LISTENS, Outcome.STOPPED),
    (listening(80, replace(tcp("0.0.0.0"), protocol="udp")), Reason.NOTHING_LISTENS, Outcome.STOPPED),
    (listening(80, tcp("127.0.0.1"), tcp("::1")), Reason.LISTENS_ELSEWHERE, Outcome.STOPPED),
    (answer(SILENT, state="failed"), Reason.NOBODY_THERE, Outcome.STOPPED),
    (answer(REFUSED), Reason.REFUSED, Outcome.STOPPED),
    (answer(Attempt(answer=Answer.UNREACHABLE, error="No route to host")), Reason.UNREACHABLE, Outcome.STOPPED),
    (answer(SILENT), Reason.SILENT, Outcome.STOPPED),
    (answer(SILENT, beyond=True), Reason.SILENT, Outcome.STOPPED),
    (answer(SILENT, what="53/udp", beyond=True), Reason.UNTOLD, Outcome.UNKNOWN),
    (reach.named("web", "127.0.0.11", "db", (), "10.0.0.2", ""), Reason.NO_NAME, Outcome.STOPPED),
    (reach.named("web", "127.0.0.11", "db", ("10.9.9.9",), "10.0.0.2", ""), Reason.NO_NAME, Outcome.STOPPED),
    (reach.named("web", "127.0.0.11", "db", (), "", "it does not answer"), Reason.NO_NAME, Outcome.STOPPED),
    (reach.nameless("web", "db", "bridge", "10.0.0.2"), Reason.NAMELESS, Outcome.NOTED),
]

GOOD: list[Hop | Published] = [
    reach.lives(C, 7, None),
    reach.lives(C, 7, replace(FROZEN, kernel="thawed")),
    reach.networks(C, "back", [E]),
    cable(),
    reach.address(C, E, 4, Sight(interfaces=INSIDE)),
    reach.route("db", "192.0.2.9", Route(interface="eth0", gateway="10.0.0.1", source="10.0.0.2"), ""),
    reach.forwarding("br-b", 4, True),
    reach.rules(ANSWERED, NETWORK, ""),
    reach.rules(SILENT, NETWORK, ""),
    published(),
    published(replace(PORT, host_ip=UPLINK[0])),
    published(led=None, translated=False),
    *(listening(80, tcp(address)) for address in ("0.0.0.0", "::", "10.0.0.2")),
    answer(ANSWERED),
    answer(SILENT, what="53/udp"),
    reach.named("web", "127.0.0.11", "db", ("10.0.0.2",), "10.0.0.2", ""),
]


@pytest.mark.parametrize(("hop", "reason", "outcome"), CASES)
def test_a_reason_has_a_sentence_and_a_remedy(hop: Hop | Published, reason: Reason, outcome: Outcome) -> None:
    assert isinstance(hop, Hop) and (hop.reason, hop.outcome) == (reason, outcome)
    assert hop.title and hop.shown and hop.why and hop.remedy
    assert not any(text.endswith(".") or "  " in text or "{" in text for text in (hop.why, hop.remedy))


def test_every_reason_is_told_and_every_one_is_tried_here() -> None:
    assert set(REASONS) == set(Reason) == {reason for _, reason, _ in CASES}


@pytest.mark.parametrize("hop", GOOD)
def test_what_is_right_has_no_reason(hop: Hop | Published) -> None:
    assert isinstance(hop, Hop) and hop.outcome is Outcome.OK and hop.title and hop.shown
    assert not (hop.reason or hop.why or hop.remedy)


def test_who_froze_it_can_thaw_it() -> None:
    paused = replace(C, state=State(status=Status.PAUSED, pid=7))
    above = replace(FROZEN, self_frozen=False, parent_frozen=True)
    assert reach.lives(paused, 7, FROZEN).remedy == "thaw it: docker unpause db"
    assert "from outside" in reach.lives(C, 7, FROZEN).why and "docker" not in reach.lives(C, 7, FROZEN).remedy
    assert "above its own" in reach.lives(paused, 7, above).why and "docker" not in reach.lives(paused, 7, above).remedy


def test_the_published_port_that_outsiders_ask_for_goes_first() -> None:
    loopback, second = replace(PORT, host_ip="127.0.0.1", host_port=1), replace(PORT, host_ip=UPLINK[1], host_port=2)
    first, every = replace(PORT, host_ip=UPLINK[0], host_port=3), replace(PORT, host_port=4)
    assert publishing(80, loopback, second, first, every) == every
    assert publishing(80, loopback, second, first) == first
    assert publishing(80, loopback, second) == second
    assert publishing(80, loopback, replace(every, host_ip="::")) == loopback


def test_the_first_common_network_is_where_two_meet() -> None:
    mine, yours = replace(OTHER, address="10.1.0.9"), replace(E, address="10.0.0.9")
    assert reach.meeting([OTHER, E], [yours, mine]) == (OTHER, mine)
    assert reach.meeting([E], [OTHER]) is None


def test_ears() -> None:
    assert reach.hears(tcp("::"), "fd00::1") and not reach.hears(tcp("0.0.0.0"), "fd00::1")


def test_a_verdict_in_one_sentence() -> None:
    hops = (Hop(title="a", shown="b"), Hop(title="c", shown="d", outcome=Outcome.NOTED, why="by its address alone"))
    verdict = Verdict(source="web", target="db", port=80, protocol="tcp", hops=hops)
    assert verdict.reached and verdict.sentence == "web reaches db (port 80/tcp): by its address alone"
    stopped = replace(verdict, port=0, hops=(*hops[:1], replace(hops[1], outcome=Outcome.STOPPED, why="it is off")))
    assert stopped.reached is False and stopped.sentence == "web does not reach db (ping): it is off"
    untold = replace(verdict, hops=(replace(hops[1], outcome=Outcome.UNKNOWN),))
    assert untold.reached is None and untold.sentence.startswith("web may reach db")
