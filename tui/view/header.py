"""The header: who, on what, how fresh, at what cost."""

from __future__ import annotations

from engine.model.world import ContainerRow
from tui.view.figures import bars, memory, rate
from tui.view.scene import Scene
from tui.view.text import GAP, Line, Span, pad, shorten, width_of
from tui.view.transfers import summary


def line(scene: Scene, row: ContainerRow | None, width: int, *, read_only: bool = False) -> Line:
    """One line of at most `width` cells. Where it is narrow, whole parts go: first the figures, the freshness last."""
    engine, host = scene.world.engine, scene.host_cpu
    name = pad(row.name, 10) if row else " " * 10
    right = [
        (1, Span(_per_second(scene.written).rjust(9), "dim")),
        (2, Span(f"{scene.now.astimezone():%H:%M}")),
    ]
    left = [
        (0, Span(" longshore", "accent")),
        (2, Span(name, "strong")),
        (4, Span(f"containerd {engine.containerd}" if engine.containerd else "", "dim")),
        (4, Span(f"cgroup {engine.cgroup}" if engine.cgroup else "", "dim")),
        (3, Span(f"cpu {bars(scene.host_bars)} {host:>2}%")),
        (3, Span(f"mem {memory(scene.host_memory, engine.memory)}" if engine.memory else "")),
    ]
    fresh = [(1, summary(scene.transfers)), (0, _fresh(scene))]
    if read_only:
        fresh.insert(0, (0, Span("read-only", "warn")))
    if scene.held:
        fresh.insert(0, (0, Span("‖ held, ! goes on", "warn")))
    for cut in range(5, -1, -1):
        kept = [[span for rank, span in part if rank < cut or rank == 0 if span.text] for part in (left, [*fresh, *right])]
        a, b = (_joined(part) for part in kept)
        if width_of(a) + width_of(b) + 2 <= width:
            break
    room = width - width_of(a) - 1
    if width_of(b) > room:
        b = (Span(shorten("".join(span.text for span in b), room), b[0].tone),)
    fill = max(1, width - width_of(a) - width_of(b) - 1)
    return (*a, Span(" " * fill), *b, Span(" "))


def _per_second(count: float) -> str:
    digits, _, unit = rate(count).partition(" ")
    return f"{digits} {unit}B/s"


def _fresh(scene: Scene) -> Span:
    link = scene.link
    if link.up or not link.next_try:
        return Span(f"{link.sign} {link.word}", link.tone)
    return Span(f"{link.sign} {link.word}, next try {link.next_try.astimezone():%H:%M:%S}", link.tone)


def _joined(spans: list[Span]) -> Line:
    return tuple(part for span in spans for part in (GAP, span))[1:]
