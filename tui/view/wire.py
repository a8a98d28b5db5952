"""A cable from end to end, and a network with all that is known of it, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.model.wiring import Cable, WireEnd
from tui.view.figures import rate, size
from tui.view.text import BLANK, GAP, Line, Span, clean, line, pad, plain, shorten, width_of, wrap

BESIDE = 66
"""Cells from which both ends stand beside each other."""
GONE = "! gone: deleted behind the engine's back"


def cable(shown: Cable, before: Cable | None, seconds: float, width: int) -> list[Line]:
    """`before`: the same, so many seconds ago; None: it is looked at for the first time."""
    lines = [*_ends(shown, before, seconds, width), BLANK]
    if shown.names:
        lines += _section("Its neighbours find it as", (", ".join(shown.names),), width)
    if shown.ports:
        lines += _section("Ports of the host that lead here", map(str, shown.ports), width)
    out = "" if shown.leads_out else "  (another cable, or none, leads out)"
    lines += _section("Routes inside" + out, shown.wire.routes, width, "no routes: the namespace is gone, or empty")
    lines += _section("Neighbours it knows", shown.wire.neighbours, width, "nobody: it has spoken to no neighbour lately")
    lines += _section("Firewall rules that apply", shown.rules, width, "no rules: everything passes as the host has it")
    return lines + _section("Look at it yourself (c copies)", commands(shown), width)[:-1]


def commands(shown: Cable) -> tuple[str, ...]:
    """What a person would type in a root shell to see the same."""
    e, enter = shown.endpoint, f"nsenter --net={shown.netns}"
    return (
        f"ip -s -d link show dev {e.veth}",
        f"{enter} ip -s address show dev {e.interface}",
        f"{enter} ip route",
        f"{enter} ip -6 route",
        f"{enter} ip neighbour show dev {e.interface}",
        f"nft list ruleset | grep -e {e.bridge} -e {e.address}",
    )


def _ends(shown: Cable, before: Cable | None, seconds: float, width: int) -> list[Line]:
    e, wire = shown.endpoint, shown.wire
    old = before.wire if before and before.endpoint == e else None
    bridge = f"port of {wire.bridge}" if wire.bridge else "! port of no bridge"
    host = _end(wire.host, e.veth, old.host if old else None, seconds, [(bridge, "" if wire.bridge else "bad")])
    addresses = [(address, "code") for address in wire.addresses] or [("! no address", "bad")]
    inside = _end(wire.inside, e.interface, old.inside if old else None, seconds, addresses)
    heads = f"on the host, in {e.network}", f"inside {shown.name}"
    if width < BESIDE:
        stacked = (line(heads[0], "dim"), *host, BLANK, line(heads[1], "dim"), *inside)
        return [(Span(shorten(plain(row), width), row[0].tone),) if width_of(row) > width else row for row in stacked]
    wide = (width - 4) // 2
    titles = _beside(line(heads[0], "dim"), line(heads[1], "dim"), wide)
    top = [titles, _joined(host[0], inside[0], wide, whole=bool(wire.host))]
    depth = max(len(host), len(inside))
    rest = [[*end[1:], *[BLANK] * (depth - len(end))] for end in (host, inside)]
    return [*top, *(_beside(left, right, wide) for left, right in zip(*rest, strict=True))]


def _end(end: WireEnd | None, name: str, before: WireEnd | None, seconds: float, own: Sequence[tuple[str, str]]) -> list[Line]:
    """One end: what it is called, how it is, whose it is, and what it has carried. `own`: what only this end has."""
    if end is None:
        return [(Span(name, "strong"),), line(GONE, "bad")]
    tone = "good" if end.state == "up" else "bad"
    sign = "" if end.state == "up" else "! "
    lines: list[Line] = [
        (Span(end.name, "strong"),),
        (Span(f"{sign}{end.state}", tone), Span(f" · index {end.index} · mtu {end.mtu}", "dim")),
        line(end.mac, "dim"),
        *(line(text, tone) for text, tone in own),
    ]
    for word, now, then, packets in (
        ("received", end.rx_bytes, before.rx_bytes if before else end.rx_bytes, end.rx_packets),
        ("sent", end.tx_bytes, before.tx_bytes if before else end.tx_bytes, end.tx_packets),
    ):
        pace = f"{rate((now - then) / seconds)}B/s" if seconds > 0 and now > then else ""
        carried = f"{size(now)} in {packets:,} packet{'s' * (packets != 1)}"
        lines.append((Span(pad(word, 9), "dim"), Span(pad(carried, 26)), Span(pace, "accent")))
    lost = end.rx_errors + end.tx_errors, end.rx_dropped + end.tx_dropped
    lines.append(line(f"{lost[0]} errors, {lost[1]} dropped", "warn" if any(lost) else "dim"))
    return lines


def _beside(left: Line, right: Line, wide: int) -> Line:
    return (*_cut(left, wide), Span(" " * max(0, wide + 4 - width_of(_cut(left, wide)))), *_cut(right, wide))


def _joined(left: Line, right: Line, wide: int, *, whole: bool) -> Line:
    """The first lines of both ends, with the cable between them."""
    room = wide + 4 - width_of(left) - 2
    drawn = "═" * room if whole else "═" * (room // 2 - 1) + " ╳ " + "═" * (room - room // 2 - 2)
    return (*left, Span(f" {drawn} ", "accent" if whole else "bad"), *right)


def _cut(spans: Line, width: int) -> Line:
    """Whole spans as far as they fit; of the first, whole words."""
    kept: list[Span] = []
    for span in spans:
        if width_of((*kept, span)) > width:
            return tuple(kept) or (Span(shorten(span.text, width), span.tone),)
        kept.append(span)
    return tuple(kept)


def _section(title: str, rows: Iterable[str], width: int, none: str = "") -> list[Line]:
    """A title, its rows with an indent, and a blank line. `none`: what is said where there are no rows."""
    texts = [row for text in rows for row in wrap("  " + clean(text), width, indent="      ")]
    said = [line(text, "code") for text in texts] or [line(text, "dim") for text in wrap("  " + none, width, indent="  ")]
    return [line(shorten(title, width), "strong"), *said, BLANK]


def network(shown: dict[str, Any], width: int) -> list[Line]:
    """All that `GET /networks/x` tells."""
    rows = [("id", shown["Id"][:12]), ("driver", shown["Driver"]), ("made", shown["Created"][:19].replace("T", " "))]
    for own in shown["IPAM"]["Config"] or ():
        rows.append(("range", own["Subnet"]))
        rows += [(word, own[key]) for word, key in (("gateway", "Gateway"), ("given out", "IPRange")) if own.get(key)]
        rows += [("reserved", f"{address} ({name})") for name, address in own.get("AuxiliaryAddresses", {}).items()]
    words = [word for key, word in (("Internal", "internal: nothing leaves it"), ("Attachable", "attachable")) if shown[key]]
    rows += [("kind", word) for word in words]
    lines: list[Line] = []
    for name, text in rows:
        head, *rest = wrap(clean(text), max(10, width - 12))
        lines += [(Span(pad(name, 10), "dim"), GAP, Span(head)), *(line(" " * 12 + more) for more in rest)]
    lines.append(BLANK)
    for title, pairs in (("Options", shown["Options"]), ("Labels", shown["Labels"])):
        if pairs:
            lines += _section(title, (f"{key} = {value}" for key, value in pairs.items()), width)
    members = sorted(shown["Containers"].values(), key=lambda member: str(member["Name"]))
    shown_keys = ("Name", "IPv4Address", "IPv6Address", "MacAddress")
    told = ("  ".join(each[key] for key in shown_keys if each[key]) for each in members)
    lines += _section(f"{len(members)} plugged in", told, width, "nobody; a connects a container")
    return lines[:-1]
