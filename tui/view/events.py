"""The engine's events, one on a line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from engine.model.events import Message
from tui.view.text import GAP, Line, Span, clean, line, pad, shorten

EMPTY = "Nothing has happened yet. What happens to containers, images and networks is shown here as it does."

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
    """Commands run inside a container: health probes, most of them, and many."""
    return message.action.startswith("exec_")


def seen(messages: Iterable[Message], query: str, *, execs: bool) -> list[Message]:
    """Those with all the words of `query`; commands run inside only where they are asked for."""
    words = query.lower().split()
    return [m for m in messages if (execs or not internal(m)) and all(word in _searched(m) for word in words)]


def _searched(message: Message) -> str:
    told = " ".join(f"{key}={value}" for key, value in message.actor.attributes.items())
    return f"{message.type} {message.action} {message.actor.id[:12]} {told}".lower()


def body(message: Message, width: int) -> Line:
    """`14:02:11  container  die         web         exitCode=137 image=busybox`."""
    told = dict(message.actor.attributes)
    name = told.pop("name", "") or message.actor.id.removeprefix("sha256:")[:12]
    action, tone = clean(message.action), _TONES.get(message.action.partition(":")[0], "")
    if message.action.startswith("health_status"):
        tone = "good" if message.action.endswith(": healthy") else "bad"
    when = datetime.fromtimestamp(message.time, UTC).astimezone()
    spans: Line = (Span(f"{when:%H:%M:%S}", "dim"), GAP, Span(pad(clean(name), 18), "strong"), GAP)
    if width >= 70:
        spans = (*spans, Span(pad(message.type, 9), "dim"), GAP)
    rest = " ".join(f"{key}={clean(value)}" for key, value in sorted(told.items(), key=lambda item: item[0] != "exitCode"))
    room = width - sum(len(span.text) for span in spans)
    spans = (*spans, Span(pad(shorten(action, room), min(room, 26)), tone))
    return (*spans, GAP, Span(shorten(rest, room - 28), "dim")) if rest and room > 40 else spans


def empty(width: int) -> list[Line]:
    return [line(shorten(EMPTY, width), "dim")]
