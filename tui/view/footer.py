"""The footer's keys, and the status lines above it."""

from __future__ import annotations

from collections.abc import Iterable

from tui.view.containers import alarms
from tui.view.scene import Notice, Scene
from tui.view.text import Line, Span, line, width_of, wrap

ALWAYS = 3
"""How many keys at the end a screen with many of them always shows: palette, help, and the way out."""


def keys(items: Iterable[tuple[str, str, bool]], width: int, keep: int = 1) -> Line:
    """Key, label, may it be pressed. Bold where it may, grey where not. Narrow: whole keys go, but the last `keep`."""
    parts = [(Span(f" {key}", "key" if on else "dim"), Span(f" {label} ", "" if on else "dim")) for key, label, on in items]
    while len(parts) > keep and sum(width_of(part) for part in parts) > width:
        del parts[-keep - 1]
    return tuple(span for part in parts for span in part)


def status(scene: Scene, id: str, notice: Notice, width: int) -> list[Line]:
    """What must be said, in sentences: the connection, the engine's trouble, the last action, the selected container's."""
    room, row = max(10, width - 2), scene.row(id)
    said: list[tuple[str, str]] = []
    if not scene.link.up and scene.link.next_try:
        said.append((f"✘ disconnected: {scene.link.reason}", "bad"))
    if scene.world.engine.trouble:
        said.append((f"! {scene.world.engine.trouble}", "bad"))
    if row and row.missing:
        said.append((f"! {row.name}: {alarms(row)}, deleted behind the engine's back", "bad"))
    if notice.command:
        said.append((f"$ {notice.command}", "code"))
    if notice.text:
        said.append((notice.text, notice.tone))
    if row and row.error and not notice.text:
        said.append((f"✘ {row.name}: {row.error}", "bad"))
    lines = [line(" " + text, tone) for words, tone in said for text in wrap(words, room, indent="  ")]
    return lines or [()]
