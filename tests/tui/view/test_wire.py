"""A cable from end to end, and a network, as lines."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from engine.model.wiring import Cable, Wire
from tests.tui.cabling import ScriptedNetworks, cable, end
from tui.view import wire
from tui.view.text import plain, width_of


def told(shown: Cable, width: int = 100, before: Cable | None = None, seconds: float = 1.0) -> str:
    lines = wire.cable(shown, before, seconds, width)
    assert all(width_of(line) <= width for line in lines)
    return "\n".join(plain(line).rstrip() for line in lines)


def test_both_ends_stand_beside_each_other_with_the_cable_between_them() -> None:
    lines = told(cable()).splitlines()
    assert lines[0].split("  ")[0] == "on the host, in backend" and lines[0].endswith("inside web")
    assert lines[1].startswith("veth7765620back ═══") and lines[1].endswith("═ eth1")
    assert "port of br-bbbbbbbbbbbb" in lines[4] and lines[4].endswith("10.85.0.2/16")
    assert "received 1.2 MB in 1,200 packets" in lines[5]


@pytest.mark.parametrize("width", [30, 60, 76, 116])
def test_all_of_it_is_there_at_any_width(width: int) -> None:
    text = told(cable(), width)
    for part in ("veth7765620back", "eth1", "02:11:22:33:44:55", "10.85.0.2/16", "via", "masquerade", "shop", "8080->80"):
        assert part in text


def test_what_has_flowed_since_the_last_look_is_a_rate() -> None:
    shown, half = cable(), cable()
    assert "B/s" not in told(shown)
    assert half.wire.host and shown.wire.inside
    earlier = replace(half, wire=replace(half.wire, host=end("veth7765620back", rx_bytes=1_196_900)))
    assert "1.6 kB/s" in told(shown, before=earlier, seconds=2.0)
    assert told(shown, before=earlier, seconds=2.0).count("B/s") == 1
    # Another cable has come in its place: its counters began anew.
    other = replace(earlier, endpoint=replace(earlier.endpoint, endpoint_id="f" * 64))
    assert "B/s" not in told(shown, before=other)


def test_what_is_gone_or_off_says_so() -> None:
    gone = told(cable(wire=Wire(), rules=()))
    assert gone.count("! gone: deleted behind the engine's back") == 2 and " ╳ " in gone
    for words in ("no routes", "nobody: it has spoken", "no rules: everything passes"):
        assert words in gone
    host = end("veth7765620back", state="no carrier", rx_dropped=3)
    text = told(cable(wire=replace(cable().wire, bridge="", host=host, addresses=())))
    assert "! no carrier" in text and "! port of no bridge" in text and "! no address" in text and "0 errors, 3 dropped" in text


def test_who_leads_out_is_said_and_names_and_ports_only_where_there_are_some() -> None:
    text = told(cable(leads_out=False, names=(), ports=()))
    assert "another cable, or none, leads out" in text
    assert "find it as" not in text and "Ports" not in text


def test_the_commands_carry_its_own_names() -> None:
    commands = wire.commands(cable())
    assert commands[0] == "ip -s -d link show dev veth7765620back"
    assert all("/run/longshore/netns/776562000000" in line for line in commands[1:-1])


@pytest.mark.parametrize("width", [30, 76, 116])
def test_a_network_is_told_whole(width: int) -> None:
    shown = asyncio.run(ScriptedNetworks().network_json("backend"))
    lines = wire.network(shown, width)
    assert all(width_of(line) <= width for line in lines)
    text = "\n".join(map(plain, lines))
    for part in ("10.85.0.0/16", "given out", "10.85.4.0/24", "mtu = 1400", "tier = back", "1 plugged in", "10.85.0.2/16"):
        assert part in text
    empty = shown | {"Containers": {}, "Internal": True, "IPAM": {"Config": None}}
    text = "\n".join(map(plain, wire.network(empty, width)))
    assert "0 plugged in" in text and "internal" in text
