"""The wiring as a tree: each network, and each cable into it with its two ends, its address, its ports and its live rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from rich.cells import cell_len

from engine.model.world import ContainerRow, JoinRow, NetworkRow, WireRow, World
from tui.ports import brief, fitted
from tui.view.figures import Flow, rate
from tui.view.scene import Scene
from tui.view.text import GAP, Line, Span, pad, shorten, width_of

SHARED = "container:"
"""How the mode of one begins that lives in another's network namespace."""

WANTED = ("name", "wire", "address", "ports", "rates", "address6")
"""The order in which columns get their place where it is narrow."""
DRAWN = ("wire", "name", "address", "address6", "ports", "rates")
"""The order in which they stand."""
MOST = {"name": 20, "ports": 40}
"""Cells they may grow to."""
PORTS_LEAST = 10
"""Cells that ports get before the others have theirs: one, and how many more there are."""
RATES = 11
LEAD = 2
"""Cells of the tree's branches."""

Layout = tuple[tuple[str, int], ...]


class Row(NamedTuple):
    """A line of the tree: a network, a cable into it, or a container that has none before it starts."""

    network: NetworkRow
    container: ContainerRow | None = None
    wire: WireRow | None = None
    join: JoinRow | None = None
    """Of a container without a cable: what it asked for."""
    ports: str = ""
    """What of the host leads to this cable."""
    sharing: tuple[str, ...] = ()
    """Who lives in the container's network namespace too."""
    last: bool = False
    """The network's last."""
    users: tuple[str, ...] = ()
    """Of a network: the names of the containers that are plugged in."""
    waiting: int = 0
    """Of a network: how many more are on it without a cable."""
    folded: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Stays the same while the tree changes around it."""
        return self.network.id, self.container.id if self.container else ""


def tree(world: World, folded: Set[str] = frozenset()) -> tuple[Row, ...]:
    """All networks, those with a bridge first. `folded`: ids of networks whose cables are not shown."""
    containers = sorted(world.containers.values(), key=lambda row: row.name)
    internal = {n.name for n in world.networks.values() if n.internal}
    sharing: dict[str, tuple[str, ...]] = {}
    cables: dict[str, list[Row]] = {n.name: [] for n in world.networks.values()}
    waiting: dict[str, list[Row]] = {n.name: [] for n in world.networks.values()}
    by_name = {n.name: n for n in world.networks.values()}
    known = {n.id: n for n in world.networks.values()} | by_name
    for c in containers:
        if c.network.startswith(SHARED) and c.status.alive:
            with_ = c.network.removeprefix(SHARED)
            sharing[with_] = (*sharing.get(with_, ()), c.name)
    for c in containers:
        out = min((wire.network for wire in c.wires if wire.network not in internal), default="")
        for wire in c.wires:
            if network := by_name.get(wire.network):
                ports = brief(c.ports) if wire.network == out else ""
                cables[wire.network].append(Row(network, c, wire, ports=ports, sharing=sharing.get(c.id, ())))
        for join in c.joins:
            if network := known.get(join.network):
                waiting[network.name].append(Row(network, c, join=join))
    rows: list[Row] = []
    for n in sorted(by_name.values(), key=lambda n: (not n.bridge, n.name != "bridge", n.name)):
        plugged, below = cables[n.name], cables[n.name] + waiting[n.name]
        users = tuple(row.container.name for row in plugged if row.container) if n.bridge else _in_mode(containers, n.name)
        rows.append(Row(n, users=users, waiting=len(waiting[n.name]), folded=n.id in folded and bool(below)))
        if n.id not in folded:
            rows += [row._replace(last=row is below[-1]) for row in below]
    return tuple(rows)


def on_networks(world: World, row: ContainerRow) -> set[str]:
    """The names of the networks that a container is on, with a cable or without."""
    names = {n.id: n.name for n in world.networks.values()}
    return {wire.network for wire in row.wires} | {names.get(join.network, join.network) for join in row.joins}


def _in_mode(containers: Iterable[ContainerRow], mode: str) -> tuple[str, ...]:
    return tuple(c.name for c in containers if c.network == mode and c.status.alive)


def layout(rows: Iterable[Row], width: int) -> Layout:
    """The columns of cables that fit into `width`, the same for all, so that the tree can be read downwards too."""
    need = dict.fromkeys(DRAWN, 0)
    for row in rows:
        for key, text in _cells(row).items():
            need[key] = max(need[key], min(cell_len(text), MOST.get(key, 99)))
    all_ports, need["ports"] = need["ports"], min(need["ports"], PORTS_LEAST)
    need["rates"] = RATES if need["name"] else 0
    taken: dict[str, int] = {}
    for key in WANTED:
        if need[key] and LEAD + sum(taken.values()) + 2 * len(taken) + need[key] <= width:
            taken[key] = need[key]
    if "ports" in taken:
        spare = width - LEAD - sum(taken.values()) - 2 * (len(taken) - 1)
        taken["ports"] = min(all_ports, taken["ports"] + spare)
    return tuple((key, taken[key]) for key in DRAWN if key in taken)


def _cells(row: Row) -> Mapping[str, str]:
    """What the columns say of a container; what changes all the time is not in it."""
    if row.container is None:
        return {}
    if row.join:
        said = {"wire": str(row.container.status), "name": row.container.name}
        return said | {"address": row.join.address, "address6": row.join.address6, "ports": ""}
    assert row.wire
    return {
        "wire": f"{row.wire.veth}═{row.wire.interface}",
        "name": row.container.name,
        "address": _bare(row.wire.address),
        "address6": _bare(row.wire.address6),
        "ports": row.ports,
    }


_TONES = {"address": "code", "address6": "code", "ports": "accent", "rates": "dim"}


def _bare(address: str) -> str:
    """Without the prefix length: the network's line has it."""
    return address.partition("/")[0]


def body(scene: Scene, row: Row, columns: Layout, selected: str, width: int) -> Line:
    """`selected`: the id of the container that the other panes show."""
    if row.container and row.wire:
        return _cable(scene, row, row.container, row.wire, columns, selected, width)
    if row.container:
        return _waiting(row, row.container, columns, selected, width)
    return _fitted(_bridge(row) if row.network.bridge else _built_in(row), width)


def _bridge(row: Row) -> list[Span]:
    n = row.network
    if n.verb:
        doing = f"lesson: {n.verb}, t goes on" if n.lesson else f"{n.verb} …"
        return [Span(n.name, "strong"), Span(doing.replace("_network", ""), "accent"), Span(n.subnet)]
    rules = Span("internal", "cold") if n.internal else Span("nat ✔", "good")
    if not n.nat:
        rules = Span(f"! {'rules' if n.internal else 'nat'} ✘ gone", "bad")
    count = "1 member" if len(row.users) == 1 else f"{len(row.users)} members"
    count += f", {row.waiting} stopped" if row.waiting else ""
    said = [
        Span(n.name, "strong"),
        Span(n.bridge, "dim") if n.up else Span(f"! {n.bridge} ✘ gone", "bad"),
        Span(_with_prefix(n.gateway, n.subnet)),
        rules,
        Span(f"{count}, l shows them" if row.folded else count, "dim"),
    ]
    if not n.icc:
        said.append(Span("icc off", "warn"))
    if n.subnet6:
        said.append(Span(_with_prefix(n.gateway6, n.subnet6)))
    if n.mtu != 1500:
        said.append(Span(f"mtu {n.mtu}", "dim"))
    return said


def _with_prefix(gateway: str, subnet: str) -> str:
    return f"{gateway}/{subnet.rpartition('/')[2]}" if gateway else subnet


_ABOUT = {"host": "the host's own interfaces", "none": "loopback only"}


def _built_in(row: Row) -> list[Span]:
    users = f"{len(row.users)}: {', '.join(row.users)}" if row.users else "nobody"
    return [Span(row.network.name, "strong"), Span(_ABOUT.get(row.network.name, "no bridge"), "dim"), Span(users, "dim")]


def _cable(scene: Scene, row: Row, container: ContainerRow, wire: WireRow, columns: Layout, selected: str, width: int) -> Line:
    lead = Span("└ " if row.last else "├ ", "dim")
    name_tone = "strong" if container.id == selected else ""
    if trouble := _trouble(row.network, container, wire):
        return _fitted([lead, *trouble, Span(container.name, name_tone), Span(_bare(wire.address), "code")], width, glued=1)
    texts = {**_cells(row), "rates": _rates(scene, container, wire)}
    drawn: list[Span] = [lead]
    for key, wide in columns:
        if key == "wire":
            drawn += [Span(wire.veth), Span("═", "accent"), Span(pad(wire.interface, wide - cell_len(wire.veth) - 1))]
        else:
            text = fitted(texts[key], wide) if key == "ports" else texts[key]
            drawn.append(Span(pad(text, wide), name_tone if key == "name" else _TONES[key]))
        drawn.append(GAP)
    shared = f"+ {', '.join(row.sharing)}" if row.sharing else ""
    if shared and width_of(tuple(drawn)) + cell_len(shared) <= width:
        return (*drawn, Span(shared, "dim"))
    return tuple(drawn[:-1])


def _waiting(row: Row, container: ContainerRow, columns: Layout, selected: str, width: int) -> Line:
    """One that is on the network without a cable: its status stands where the others have theirs."""
    lead, texts = Span("└ " if row.last else "├ ", "dim"), _cells(row)
    tones = {"name": "strong"} if container.id == selected else {}
    if "wire" not in dict(columns):
        parts = [lead, Span(container.name, tones.get("name", "dim")), Span(texts["wire"], "dim")]
        return _fitted(parts, width, glued=1)
    drawn = [lead]
    for key, wide in columns:
        drawn += [Span(pad(texts.get(key, ""), wide), tones.get(key, "dim")), GAP]
    return tuple(drawn[:-1])


def _trouble(network: NetworkRow, container: ContainerRow, wire: WireRow) -> list[Span]:
    """What of a cable somebody has deleted."""
    if wire.veth in container.missing:
        return [Span(f"! {wire.veth} gone ╳ {wire.interface}", "bad")]
    if f"address {_bare(wire.address)}" in container.missing:
        return [Span(f"{wire.veth}═{wire.interface}"), Span("! address gone", "bad")]
    if network.bridge and not network.up:
        return [Span(f"! {wire.veth} ╳ no bridge", "bad")]
    return []


def _rates(scene: Scene, container: ContainerRow, wire: WireRow) -> str:
    meter = scene.meter(container.id)
    flow = meter.wires.get(wire.veth, Flow()) if len(container.wires) > 1 else meter.flow
    if not (flow.rx or flow.tx):
        return ""
    down, up = (rate(each).replace(" ", "") for each in (flow.rx, flow.tx))
    return f"↓{down:<4} ↑{up}"


def _fitted(parts: Sequence[Span], width: int, glued: int = 0) -> Line:
    """Whole parts as far as they fit, two apart but for the first `glued`: an address is no use by half."""
    line: Line = (parts[0],)
    for n, part in enumerate(parts[1:], 1):
        longer = (*line, part) if n <= glued else (*line, GAP, part)
        if width_of(longer) > width:
            break
        line = longer
    return line if width_of(line) <= width else (Span(shorten(line[0].text, width), line[0].tone),)
