"""The engine's events, one on a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from engine.model.events import Message
from tui.view.text import GAP, Line, Span, clean, pad, shorten, width_of

EMPTY = "Nothing has happened yet. What happens to containers, images and networks is shown here as it does."

NOBODY: Mapping[str, str] = {}

WIDE = 80
"""Columns from which the kind of thing is shown too."""

_TONES = {
    "start": "good",
    "unpause": "good",
    "create": "accent",
    "pause": "cold",
    "die": "warn",
    "kill": "warn",
    "oom": "bad",
    "destroy": "warn",
}


def internal(message: Message) -> bool:
    """Commands run inside a container, most of them health probes, and looks at its processes: many, and nothing changes."""
    return message.action.startswith("exec_") or message.action == "top"


def seen(messages: Iterable[Message], query: str, *, execs: bool) -> list[Message]:
    """Those with all the words of `query`; commands run inside only where they are asked for."""
    words = query.lower().split()
    return [m for m in messages if (execs or not internal(m)) and all(word in _searched(m) for word in words)]


def _searched(message: Message) -> str:
    told = " ".join(f"{key}={value}" for key, value in message.actor.attributes.items())
    return f"{message.type} {message.action} {message.actor.id[:12]} {told}".lower()


def _short(value: str) -> str:
    """An id as people write it."""
    return value.removeprefix("sha256:")[:12] if re.fullmatch("(sha256:)?[0-9a-f]{64}", value) else value


def body(message: Message, width: int, names: Mapping[str, str] = NOBODY) -> Line:
    """`14:02:11  container  die         web         exitCode=137 image=busybox`. `names`: the containers', by their ids."""
    told = dict(message.actor.attributes)
    name = _short(told.pop("name", "") or message.actor.id)
    action, tone = clean(message.action), _TONES.get(message.action.partition(":")[0], "")
    if message.action.startswith("health_status"):
        tone = "good" if message.action.endswith(": healthy") else "bad"
    when = datetime.fromtimestamp(message.time, UTC).astimezone()
    wide = width >= WIDE
    cells = [Span(f"{when:%H:%M:%S}", "dim"), Span(pad(clean(name), 18 if wide else 10), "strong")]
    if wide:
        cells.append(Span(pad(message.type, 9), "dim"))
    cells.append(Span(pad(action, 24) if wide else shorten(action, 22), tone))
    spans = tuple(part for cell in cells for part in (cell, GAP))
    pairs = sorted(told.items(), key=lambda item: item[0] != "exitCode")
    rest = " ".join(f"{key}={clean(names.get(value) or _short(value))}" for key, value in pairs)
    spans = (*spans, Span(shorten(rest, max(0, width - width_of(spans))), "dim"))
    while width_of(spans) > width:
        spans = spans[:-1]
    return spans
