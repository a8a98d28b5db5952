"""The containers as a table. The columns that change fast stand on the left, where repainting them is cheapest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.cells import cell_len

from engine.model.status import Status
from engine.model.world import ContainerRow
from tui.ports import brief, fitted
from tui.view import table
from tui.view.figures import Meter, age, bars, memory, rate
from tui.view.scene import Scene
from tui.view.table import Layout, Order, joined, place, total
from tui.view.text import Line, Span, pad, shorten, shorten_left

_FIRST = (Status.RUNNING, Status.PAUSED, Status.RESTARTING, Status.CREATING, Status.REMOVING)


class Column(NamedTuple):
    title: str
    cell: Callable[[ContainerRow, Meter, datetime], Span]
    least: int
    """Cells it is never narrower than."""
    most: int = 0
    """Cells it may grow to; 0: it does not grow."""


LIVE = ("cpu", "memory", "net")
"""Columns whose figures move each second."""


def _sort_key(scene: Scene, column: str) -> Callable[[ContainerRow], Any]:
    """What a column is sorted by."""
    meter = scene.meter
    never = datetime.min.replace(tzinfo=UTC)
    keys: dict[str, Callable[[ContainerRow], Any]] = {
        "cpu": lambda row: -meter(row.id).cpu_shown if row.status.alive else 1,
        "memory": lambda row: -meter(row.id).memory if row.status.alive else 1,
        "net": lambda row: -(meter(row.id).rx + meter(row.id).tx),
        "freezer": lambda row: (row.freezer is None, row.freezer.word if row.freezer else ""),
        "health": lambda row: _HEALTH.get(row.health, 3),
        "state": lambda row: (list(Status).index(row.status), row.exit_code == 0),
        "restarts": lambda row: -row.restarts,
        "up": lambda row: (never - (_since(row) or never)).total_seconds(),
        "name": lambda row: row.name,
        "image": lambda row: row.image,
        "ports": lambda row: (not row.ports, brief(row.ports)),
    }
    return keys[column]


_HEALTH = {"unhealthy": 0, "starting": 1, "healthy": 2}
SORTED = ("", "cpu", "memory", "net", "freezer", "health", "state", "restarts", "up", "name", "image", "ports")
"""The columns as they stand, in the order in which the keys go through them."""


def order(scene: Scene, query: str, stopped: bool, by: Order = Order()) -> tuple[ContainerRow, ...]:  # noqa: B008 - frozen
    """The containers to show. `query` is looked for in name, image, state and id."""
    words = query.lower().split()
    rows = (row for row in scene.world.containers.values() if stopped or row.status in _FIRST)
    found = [row for row in rows if all(word in _searched(row) for word in words)]
    found.sort(key=lambda row: (row.status not in _FIRST, row.name))
    if by.column:
        found.sort(key=_sort_key(scene, by.column))
    return tuple(found if by.up else reversed(found))


def _searched(row: ContainerRow) -> str:
    return f"{row.name} {row.image} {row.status} {row.health} {row.id[:12]}".lower()


def counts(scene: Scene) -> str:
    """`9 running · 1 frozen · 3 exited`."""
    rows = scene.world.containers.values()
    words = {Status.PAUSED: "frozen"}
    statuses = (Status.RUNNING, Status.PAUSED, Status.RESTARTING, Status.CREATED, Status.EXITED)
    found = [(sum(row.status is status for row in rows), words.get(status, str(status))) for status in statuses]
    dead = sum(row.status is Status.DEAD for row in rows)
    return " · ".join(f"{n} {word}" for n, word in (*found, (dead, "✘ dead")) if n) or "none"


def alarms(row: ContainerRow) -> str:
    return ", ".join(f"{thing} gone" for thing in row.missing)


def _cpu(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(f"{meter.cpu_shown:>3}%") if row.status.alive else Span("   -", "dim")


def _bars(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(bars(meter.bars), "accent") if row.status.alive else Span("")


def _memory(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(memory(meter.memory, meter.memory_limit)) if row.status.alive else Span("-", "dim")


def _net(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    if not row.status.alive or not (meter.rx or meter.tx):
        return Span("-", "dim")
    return Span(f"↓{rate(meter.rx):<5} ↑{rate(meter.tx):<5}")


def _freezer(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    if row.freezer is None:
        return Span("-", "dim")
    kernel = row.freezer.kernel
    return Span(row.freezer.word, {"frozen": "cold", "freezing": "warn"}.get(kernel, "" if row.freezer.asked else "dim"))


def health(row: ContainerRow) -> Span:
    if not row.health or not row.status.alive:
        return Span("-", "dim")
    if row.status is Status.PAUSED:
        return Span("- waiting", "dim")
    streak = f" {row.streak}×" if row.streak and row.health != "healthy" else ""
    sign, tone = {"healthy": ("✔", "good"), "unhealthy": ("✘", "bad")}.get(row.health, ("◌", "warn"))
    return Span(f"{sign} {row.health}{streak}", tone)


def _health(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return health(row)


def _probes(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    strip = row.probes[-5:].replace(".", "·").replace("x", "✘")
    return Span(strip, "bad" if "x" in row.probes[-5:] else "dim")


def state(row: ContainerRow) -> Span:
    match row.status:
        case Status.EXITED:
            return Span(f"exited {row.exit_code}", "warn" if row.exit_code else "dim")
        case Status.DEAD:
            return Span("✘ dead", "bad")
        case Status.RUNNING:
            return Span("running", "good")
        case Status.PAUSED:
            return Span("paused", "cold")
        case Status.RESTARTING:
            return Span("restarting", "warn")
        case _:
            return Span(str(row.status), "dim")


def _state(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return state(row)


def _up(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(age(_since(row), now), "" if row.status.alive else "dim")


def _since(row: ContainerRow) -> datetime | None:
    return row.started_at if row.status.alive else row.finished_at or row.created


def _restarts(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(f"{row.restarts}↻" if row.restarts else "", "warn")


def _name(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(row.name, "strong")


def _image(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(row.image, "dim")


def note(row: ContainerRow) -> Span:
    """What a person should know first: what is gone, what is on its way, what went wrong."""
    if row.missing:
        return Span(f"! {alarms(row)}", "bad")
    if row.lesson:
        return Span(f"lesson: {row.verb} {row.at}/{row.of}, t goes on", "accent")
    if row.verb:
        return Span(f"{row.verb} {row.at}/{row.of} {row.step}", "accent")
    if row.status is Status.RESTARTING and row.restart_at:
        return Span(f"next try {row.restart_at.astimezone():%H:%M:%S}", "warn")
    if row.error:
        return Span(f"✘ {row.error}", "bad")
    return Span("")


def _ports(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return Span(brief(row.ports), "code")


def _note(row: ContainerRow, meter: Meter, now: datetime) -> Span:
    return note(row)


COLUMNS: dict[str, Column] = {
    "cpu": Column("CPU", _cpu, 4),
    "bars": Column("", _bars, 5),
    "memory": Column("MEM", _memory, 11),
    "net": Column("NET", _net, 13),
    "freezer": Column("FREEZER", _freezer, 7, 20),
    "health": Column("HEALTH", _health, 6, 16),
    "probes": Column("PROBES", _probes, 6),
    "state": Column("STATE", _state, 7, 10),
    "restarts": Column("↻", _restarts, 4),
    "up": Column("UP", _up, 4),
    "name": Column("NAME", _name, 8, 24),
    "image": Column("IMAGE", _image, 7, 28),
    "ports": Column("PORTS", _ports, 5, 28),
    "note": Column("", _note, 0, 60),
}

TITLES = {key: column.title for key, column in COLUMNS.items()}

WANTED = ("name", "state", "freezer", "cpu", "health", "memory", "up", "restarts", "ports", "image", "net", "bars", "probes")
"""The order in which columns get their place where the screen is narrow. A note that says something always has one."""

NOTE_LEAST = 18


def layout(scene: Scene, rows: Sequence[ContainerRow], width: int) -> Layout:
    """The columns that fit into `width`, and their widths. Only columns whose cells grow are measured."""
    need = {key: _need(scene, rows, column) for key, column in COLUMNS.items()}
    taken = place(need, WANTED, width, {"note": min(need["note"], NOTE_LEAST)} if need["note"] else {})
    taken.setdefault("name", max(1, width - total(taken) - 2))
    if "note" in taken:
        taken["note"] = min(need["note"], taken["note"] + max(0, width - total(taken)))
    return tuple((key, taken[key]) for key in COLUMNS if key in taken)


def _need(scene: Scene, rows: Sequence[ContainerRow], column: Column) -> int:
    if column is COLUMNS["probes"] and not any(row.probes for row in rows):
        return 0
    if column is COLUMNS["restarts"] and not any(row.restarts for row in rows):
        return 0
    if column is COLUMNS["ports"] and not any(row.ports for row in rows):
        return 0
    if not column.most:
        return column.least
    longest = max((cell_len(column.cell(row, scene.meter(row.id), scene.now).text) for row in rows), default=0)
    return min(column.most, max(column.least, longest))


def head(columns: Layout, by: Order = Order()) -> Line:  # noqa: B008 - frozen
    return table.head(columns, TITLES, by)


def body(scene: Scene, row: ContainerRow, columns: Layout) -> Line:
    meter = scene.meter(row.id)
    cells = []
    for key, width in columns:
        text, tone = COLUMNS[key].cell(row, meter, scene.now)
        if key == "image":
            text = shorten_left(text, width)
        elif key == "ports":
            text = fitted(text, width)
        cells.append(Span(pad(shorten(text, width), width), tone))
    return joined(cells)


EMPTY = (
    "There is no container yet.",
    "",
    "n  makes one: choose an image, give it a name and a command",
    "t  makes one step by step, and shows what each step does to the kernel",
    "?  shows all keys",
)
