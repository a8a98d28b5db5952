"""The processes of a container, as a tree or by what they take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.model.interface import Top
from tui.view.text import GAP, Line, Span, clean, pad, shorten, width_of

ARGUMENTS = "-eo pid,ppid,user,stat,pcpu,pmem,etime,args"
"""For `ps`. The last column may hold spaces."""

ORDERS = ("tree", "cpu", "memory", "pid")


class Process(NamedTuple):
    pid: int
    parent: int
    user: str
    state: str
    cpu: float
    """Per cent of a core, over its whole life."""
    memory: float
    """Per cent of the host's."""
    age: str
    command: str
    depth: int = 0


def read(top: Top) -> list[Process]:
    """The rows of `ps` by their titles; what it does not show is empty."""
    at = {title.upper(): n for n, title in enumerate(top.titles)}

    def cell(row: tuple[str, ...], *titles: str) -> str:
        return next((row[at[title]] for title in titles if title in at and at[title] < len(row)), "")

    return [
        Process(
            pid=int(cell(row, "PID")),
            parent=int(cell(row, "PPID") or 0),
            user=cell(row, "USER"),
            state=cell(row, "STAT", "S"),
            cpu=float(cell(row, "%CPU", "C") or 0),
            memory=float(cell(row, "%MEM") or 0),
            age=coarse(cell(row, "ELAPSED")),
            command=clean(cell(row, "COMMAND", "CMD")),
        )
        for row in top.processes
    ]


def coarse(elapsed: str) -> str:
    """`ps`'s `[[dd-]hh:]mm:ss` in one unit, never in seconds, which would tick."""
    if not (found := re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", elapsed)):
        return elapsed
    days, hours, minutes = (int(part or 0) for part in found.groups()[:3])
    hours += days * 24
    if hours >= 48:
        return f"{hours // 24} d"
    return f"{hours} h" if hours else f"{minutes} m" if minutes else "<1 m"


def arrange(processes: Sequence[Process], order: str) -> list[Process]:
    """In one of `ORDERS`. The greediest first; among equals, and as a tree, by pid."""
    rows = sorted(processes, key=lambda p: p.pid)
    match order:
        case "cpu":
            return sorted(rows, key=lambda p: -p.cpu)
        case "memory":
            return sorted(rows, key=lambda p: -p.memory)
        case "pid":
            return rows
    return list(_tree(rows))


def _tree(rows: Sequence[Process]) -> Iterator[Process]:
    pids = {p.pid for p in rows}
    children: dict[int, list[Process]] = {}
    for p in rows:
        children.setdefault(p.parent if p.parent in pids and p.parent != p.pid else 0, []).append(p)
    seen: set[int] = set()
    # The roots last, so that they are taken first. The others too: `ps` is no snapshot, and could show a ring of parents.
    waiting = [(p, 0) for p in (*reversed(rows), *reversed(children.get(0, ())))]
    while waiting:
        p, depth = waiting.pop()
        if p.pid not in seen:
            seen.add(p.pid)
            yield p._replace(depth=depth)
            waiting += [(child, depth + 1) for child in reversed(children.get(p.pid, ()))]


_STATES = {"R": "running", "S": "sleeping", "D": "in the kernel", "Z": "zombie", "T": "stopped", "I": "idle", "t": "traced"}


_COLUMNS = (("PID", 7), ("USER", -10), ("STATE", -13), ("CPU%", 5), ("MEM%", 5), ("AGE", 4))
"""Titles and widths; a negative width aligns to the left."""
_DISPENSABLE = ("AGE", "USER", "STATE")
"""Left out one after the other until the command has its room."""
COMMAND = 36


def head(width: int) -> Line:
    return _joined([Span(title, "dim") for title, _ in _COLUMNS], Span("COMMAND", "dim"), width)


def body(p: Process, width: int) -> Line:
    state = _STATES.get(p.state[:1], p.state)
    tone = {"zombie": "bad", "stopped": "warn", "in the kernel": "warn", "running": "good"}.get(state, "dim")
    cells = [
        Span(str(p.pid), "accent"),
        Span(p.user),
        Span(state, tone),
        Span(f"{p.cpu:g}"),
        Span(f"{p.memory:g}"),
        Span(p.age, "dim"),
    ]
    return _joined(cells, Span("  " * max(0, p.depth - 1) + "└ " * bool(p.depth) + p.command), width)


def _joined(cells: list[Span], command: Span, width: int) -> Line:
    kept = dict(_COLUMNS)
    for title in _DISPENSABLE:
        if width - sum(abs(wide) + 2 for wide in kept.values()) < COMMAND:
            del kept[title]
    spans: list[Span] = []
    for (title, wide), cell in zip(_COLUMNS, cells, strict=True):
        if title in kept:
            spans += [Span(pad(cell.text, abs(wide), right=wide > 0), cell.tone), GAP]
    return (*spans, Span(shorten(command.text, max(1, width - width_of(tuple(spans)))), command.tone))
