"""The wiring: each bridge, and what is plugged into it."""

from __future__ import annotations

from collections.abc import Iterable

from engine.model.world import ContainerRow, NetworkRow
from tui.view.containers import gone
from tui.view.figures import rate
from tui.view.scene import Scene
from tui.view.text import GAP, Line, Span, line, shorten, width_of, wrap


def lines(scene: Scene, selected: str, width: int) -> list[Line]:
    networks = sorted(scene.world.networks.values(), key=lambda network: (not network.bridge, network.name))
    if not networks:
        return [line(text, "dim") for text in wrap("There is no network.", width)]
    return [row for network in networks for row in _network(scene, network, selected, width)]


def _members(rows: Iterable[ContainerRow], network: NetworkRow) -> list[ContainerRow]:
    return sorted((row for row in rows if row.network in (network.name, network.id) and row.veth), key=lambda row: row.name)


def _network(scene: Scene, network: NetworkRow, selected: str, width: int) -> list[Line]:
    if not network.bridge:
        return [_fitted((Span(network.name, "strong"), GAP, Span("no bridge, loopback only", "dim")), width)]
    members = _members(scene.world.containers.values(), network)
    prefix = network.subnet.rpartition("/")[2]
    nat = Span("nat ✔", "good") if network.nat else Span("! nat ✘ gone", "bad")
    bridge = Span(network.bridge, "strong") if network.up else Span(f"! {network.bridge} ✘ gone", "bad")
    count = "1 member" if len(members) == 1 else f"{len(members)} members"
    head = (bridge, GAP, Span(f"{network.gateway}/{prefix}"), GAP, nat, GAP, Span(count, "dim"))
    drawn = [_member(scene, row, row is members[-1], row.id == selected, width) for row in members]
    return [_fitted(head, width), *drawn]


def _member(scene: Scene, row: ContainerRow, last: bool, selected: bool, width: int) -> Line:
    cut = next((title for title in row.missing if row.veth in title), "")
    meter = scene.meter(row.id)
    wire: Line = (Span(row.veth), Span(" ═ ", "accent"), Span(row.interface))
    if cut:
        wire = (Span(f"! {gone(cut)} ╳ {row.interface}", "bad"),)
    traffic = (GAP, Span(f"↓{rate(meter.rx)} ↑{rate(meter.tx)}", "dim")) if meter.rx or meter.tx else ()
    name = Span(row.name, "strong" if selected else "")
    spans = (Span(" └ " if last else " ├ ", "dim"), *wire, GAP, name, GAP, Span(row.address, "code"), *traffic)
    return _fitted(spans, width)


def _fitted(spans: Line, width: int) -> Line:
    """Whole parts as far as they fit: an address is no use by half."""
    while len(spans) > 1 and width_of(spans) > width:
        spans = spans[:-1]
    return spans if width_of(spans) <= width else (Span(shorten(spans[0].text, width), spans[0].tone),)
