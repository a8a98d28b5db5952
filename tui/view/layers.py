"""The layers of one container, as they are stacked: what it writes on top, the image at the bottom."""

from __future__ import annotations

import re

from rich.cells import cell_len

from engine.model.status import Status
from engine.model.world import ContainerRow, LayerRow
from tui.view.figures import size
from tui.view.scene import Scene
from tui.view.text import GAP, Line, Span, line, pad, shorten, wrap

_SHELL_FORM = re.compile(r"^/bin/sh -c (#\(nop\)\s*)?")
INIT_CONTENT = "hosts, hostname, resolv.conf and mount points"


def title(row: ContainerRow | None) -> str:
    if row is None:
        return "Layers"
    return f"Layers · {row.name} · {_mounted(row)}"


def _mounted(row: ContainerRow) -> str:
    if not row.mounted:
        return "directories only"
    return "! union mount gone" if _mount_gone(row) else "union mounted"


def _mount_gone(row: ContainerRow) -> bool:
    return any("layers" in text for text in row.missing)


def lines(scene: Scene, row: ContainerRow | None, width: int) -> list[Line]:
    if row is None:
        return [line(text, "dim") for text in wrap("The layers of the selected container are shown here.", width)]
    sample = scene.world.samples.get(row.id)
    image = scene.world.images.get(row.image_id)
    changes = "" if sample is None or sample.changes is None else _changes(sample.changes)
    written = "-" if sample is None or sample.rw_size is None else size(sample.rw_size)
    below = reversed(image.layers) if image else ()
    stack = [
        _layer("rw", f"{row.mount_id[:8]}…", written, changes, width, "accent"),
        _layer("init", f"{row.init_id[:8]}…-init", "0 B", INIT_CONTENT, width, ""),
        *(_layer("ro", _short(layer), size(layer.size), made_by(layer), width, "dim") for layer in below),
    ]
    return [*_words(row, width), *stack] if row.mount_id else _words(row, width)


def _layer(kind: str, name: str, amount: str, about: str, width: int, tone: str) -> Line:
    fixed = (Span(pad(kind, 4), tone), GAP, Span(pad(name, 14)), GAP, Span(pad(amount, 7, right=True)))
    room = width - 4 - 14 - 7 - 6
    return (*fixed, GAP, Span(shorten(about, room), "dim")) if room >= 8 else fixed


def _short(layer: LayerRow) -> str:
    name, _, digest = layer.id.rpartition(":")
    return f"{name}:{digest[:6]}…" if name else f"{digest[:12]}…"


def _changes(count: int) -> str:
    return "no changes" if count == 0 else "1 change" if count == 1 else f"{count} changes"


def made_by(layer: LayerRow) -> str:
    """The instruction that made a layer, without the shell around it."""
    return _SHELL_FORM.sub("", layer.made_by).strip() or "-"


def _words(row: ContainerRow, width: int) -> list[Line]:
    """One line on how the directories stand to each other now."""
    if _mount_gone(row):
        return [line(text, "bad") for text in wrap("! the union mount is gone: deleted behind the engine's back", width)]
    if row.status is Status.CREATING:
        return [line("being made", "dim")]
    if not row.mount_id:
        return [line("no layers", "dim")]
    text = "one file system: the process sees the pile from above"
    if not row.mounted:
        text = "plain directories: nothing is mounted until it starts"
    return [line(text, "dim")] if cell_len(text) <= width else []
