"""The layers of one container, as they are stacked: what it writes on top, the image at the bottom."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest

from msgspec import Struct
from rich.cells import cell_len

from engine.model.status import Status
from engine.model.tree import Change, ChangeKind, Layer, Stack
from engine.model.world import ContainerRow, LayerRow
from tui.view.figures import long_age, size
from tui.view.scene import Scene
from tui.view.text import GAP, Line, Span, clean, line, pad, shorten, shorten_left, wrap

_SHELL_FORM = re.compile(r"^/bin/sh -c (#\(nop\)\s*)?")
MARKS = {ChangeKind.ADDED: ("+", "good"), ChangeKind.MODIFIED: ("~", "warn"), ChangeKind.DELETED: ("-", "bad")}
WORDS = {ChangeKind.ADDED: "added", ChangeKind.MODIFIED: "changed", ChangeKind.DELETED: "deleted"}
FIXED = 5 + 14 + 7 + 6
"""Columns of a layer's line before what made it."""
RECENT = 4
"""Changed paths that are shown in the pane."""
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
    return "union mount" in row.missing


class Looked(Struct, frozen=True, kw_only=True):
    """What the engine has told of one container's layers."""

    stack: Stack
    changes: tuple[Change, ...] = ()
    recent: tuple[str, ...] = ()
    """Changed paths, those that were seen last first."""


def looked(before: Looked | None, stack: Stack, changes: tuple[Change, ...]) -> Looked:
    """The next look. What is new since the one before comes first."""
    kinds = {change.path: change.kind for change in leaves(changes)}
    known = {change.path: change.kind for change in before.changes} if before else {}
    fresh = [path for path, kind in kinds.items() if known.get(path) is not kind] if before else []
    old = [path for path in before.recent if path in kinds and path not in fresh] if before else list(kinds)
    return Looked(stack=stack, changes=changes, recent=(*fresh, *old))


def leaves(changes: Sequence[Change]) -> list[Change]:
    """Without the directories that are told only for what has changed in them."""
    return [
        change
        for change, after in zip_longest(changes, changes[1:])
        if after is None or not after.path.startswith(change.path + "/")
    ]


def lines(scene: Scene, row: ContainerRow | None, width: int, found: Looked | None = None, error: str = "") -> list[Line]:
    if row is None:
        return [line(text, "dim") for text in wrap("The layers of the selected container are shown here.", width)]
    if found:
        return [*_words(row, width), *_stack(found, scene.now, width), *_below(found, width)]
    return [*_before(scene, row, width), *(line(text, "bad") for text in wrap(f"✘ {error}", width) if error)]


def of_image(stack: Stack, now: datetime, width: int) -> list[Line]:
    """The layers of an image, and what it ships for nothing."""
    found = Looked(stack=stack)
    return [*_stack(found, now, width), *_below(found, width)]


def _stack(found: Looked, now: datetime, width: int) -> list[Line]:
    """Layer by layer, and under the writable one what has changed last."""
    shown: list[Line] = []
    layers = found.stack.layers
    for number, layer in enumerate(layers):
        if layer.kind == "rw":
            words = counts(found.changes)
            about, tone = words if cell_len(words) <= width - FIXED else counts(found.changes, short=True), "accent"
        elif layer.kind == "init":
            about, tone = INIT_CONTENT, ""
        else:
            about, tone = instruction(layer.made_by), "dim"
        old = long_age(layer.created, now) if layer.created else ""
        name = f"{(layer.diff_id.removeprefix('sha256:') or layer.id)[:6]}… {old}"
        shown.append(_layer(label(layers, number), name, size(layer.size), about, width, tone))
        if layer.kind == "rw":
            shown += _recent(found, width)
    return shown


def _recent(found: Looked, width: int) -> list[Line]:
    kinds = {change.path: change.kind for change in found.changes}
    shown: list[Line] = []
    for path in found.recent[:RECENT]:
        sign, tone = MARKS[kinds[path]]
        shown.append((Span(f"     {sign} ", tone), Span(shorten_left(clean(path), width - 7), tone)))
    if len(found.recent) > RECENT:
        shown.append(line(f"       and {len(found.recent) - RECENT} more; Enter shows them", "dim"))
    return shown


def counts(changes: Sequence[Change], *, short: bool = False) -> str:
    """`2 added, 1 changed, 3 deleted`, or short `+2 ~1 -3`."""
    number = Counter(change.kind for change in leaves(changes))
    if short:
        return " ".join(f"{MARKS[kind][0]}{number[kind]}" for kind in WORDS if number[kind])
    words = [f"{number[kind]} {word}" for kind, word in WORDS.items() if number[kind]]
    return ", ".join(words) or "no changes"


def _below(found: Looked, width: int) -> list[Line]:
    """What the image ships for nothing, and the mount's options in the kernel's words."""
    image = [layer for layer in found.stack.layers if layer.kind == "ro"]
    wasted, whole = sum(layer.wasted for layer in image), sum(layer.size for layer in image)
    text = f"wasted: {size(wasted)} of {size(whole)} lie hidden under upper layers" if wasted else "wasted: nothing is hidden"
    told = [line(row, "warn" if wasted else "dim") for row in wrap(text, width, indent="  ")]
    return told + [line(row, "dim") for option in found.stack.mount for row in wrap(clean(option), width, indent="    ")]


def _before(scene: Scene, row: ContainerRow, width: int) -> list[Line]:
    """What the scene alone tells, until the engine was asked."""
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
    fixed = (Span(pad(kind, 5), tone), GAP, Span(pad(name, 14)), GAP, Span(pad(amount, 7, right=True)))
    room = width - FIXED
    return (*fixed, GAP, Span(shorten(about, room), "dim")) if room >= 8 else fixed


def label(layers: Sequence[Layer], number: int) -> str:
    """`rw`, `init`, and for those of the image `ro 1` and so on from the bottom up."""
    if number >= len(layers):
        return "?"
    kind = layers[number].kind
    return f"ro {len(layers) - number}" if kind == "ro" else kind


def _short(layer: LayerRow) -> str:
    name, _, digest = layer.id.rpartition(":")
    return f"{name}:{digest[:6]}…" if name else f"{digest[:12]}…"


def _changes(count: int) -> str:
    return "no changes" if count == 0 else "1 change" if count == 1 else f"{count} changes"


def made_by(layer: LayerRow) -> str:
    """The instruction that made a layer, without the shell around it."""
    return instruction(layer.made_by)


def instruction(text: str) -> str:
    return clean(_SHELL_FORM.sub("", text).strip()) or "-"


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
