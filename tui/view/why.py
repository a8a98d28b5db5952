"""Why one end does not reach another: the path as a line with a stop on it, the answer, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.cells import cell_len

from engine.model.errors import Invalid
from engine.model.reach import Hop, Outcome, Verdict
from engine.model.world import ContainerRow
from tui.view.figures import duration
from tui.view.text import BLANK, Line, Span, clean, line, pad, wrap

SIGNS = {
    Outcome.OK: ("✔", "good"),
    Outcome.STOPPED: ("✘", "bad"),
    Outcome.NOTED: ("!", "warn"),
    Outcome.UNKNOWN: ("?", "warn"),
}
PLACES = ("host", "outside")
"""Ends that are no containers."""


def lines(verdict: Verdict, width: int) -> list[Line]:
    """Each hop with its evidence beside it, or below where there is no room; then the answer and the remedies."""
    titles = max((cell_len(clean(hop.title)) for hop in verdict.hops), default=0)
    drawn: list[Line] = []
    for number, hop in enumerate(verdict.hops):
        last = number == len(verdict.hops) - 1
        drawn += _hop(hop, titles, width, "  " if last else "│ ")
    sign, tone = SIGNS[_outcome(verdict)]
    said = [
        line(text, tone if tone != "good" else "strong") for text in wrap(f"{sign} {clean(verdict.sentence)}.", width, "  ")
    ]
    return [*drawn, BLANK, *said, *_remedies(verdict.hops, width)]


def _outcome(verdict: Verdict) -> Outcome:
    return next((hop.outcome for hop in verdict.hops if hop.outcome is not Outcome.OK), Outcome.OK)


def _hop(hop: Hop, titles: int, width: int, rail: str) -> list[Line]:
    sign, tone = SIGNS[hop.outcome]
    head = (Span(f"{sign} ", tone), Span(pad(clean(hop.title), titles), "" if hop.outcome is Outcome.OK else tone))
    room = width - titles - 4
    shown = wrap(clean(hop.shown), room) if room >= 24 else []
    if len(shown) == 1:
        return [(*head, Span("  "), Span(shown[0], "dim"))]
    below = wrap(clean(hop.shown), max(10, width - 4))
    return [head, *((Span(rail, tone), Span("  "), Span(text, "dim")) for text in below)]


def _remedies(hops: Iterable[Hop], width: int) -> list[Line]:
    told = dict.fromkeys(hop.remedy for hop in hops if hop.remedy)
    return [line(text, "code") for remedy in told for text in wrap(f"→ {clean(remedy)}", width, "  ")]


def took(verdict: Verdict) -> str:
    return f"{verdict.what} · {duration(verdict.ms)}"


def plain(verdict: Verdict, width: int = 100) -> list[str]:
    """For a terminal without the dashboard."""
    return ["".join(span.text for span in spans).rstrip() for spans in lines(verdict, width)]


def port(text: str) -> tuple[int, str]:
    """A port and its protocol: `5432`, `53/udp`; empty: none, and a ping. Raises `Invalid`."""
    if not text:
        return 0, ""
    match = re.fullmatch(r"([0-9]{1,5})(?:/(tcp|udp))?", text.strip().lower(), re.ASCII)
    if not match or not 0 < int(match[1]) < 65536:
        raise Invalid(f"{text!r} is no port", "write 5432, 53/udp, or nothing for a ping")
    return int(match[1]), match[2] or "tcp"


def guess(row: ContainerRow) -> str:
    """The port people will most likely ask a container for: the first it publishes."""
    return row.ports[0].rpartition("->")[2] if row.ports else ""
