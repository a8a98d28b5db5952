"""One key for many things: what would happen to each, and what did."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.cells import cell_len

from engine.model.interface import NO_PARAMS, Params
from engine.model.status import Verb, allowed
from engine.model.world import ContainerRow
from tui.undo import Deed
from tui.view.text import GAP, Line, Span, line, pad, wrap


class Item(Struct, frozen=True, kw_only=True):
    name: str
    does: bool = True
    """False: it is left alone."""
    deed: Deed | None = None
    """What is done to a container."""
    sign: str = "·"
    said: str = ""
    """Why it is left alone, or how it went."""
    tone: str = "dim"


def choose(verbs: Sequence[Verb], rows: Sequence[ContainerRow]) -> Verb | None:
    """One verb for all: the first that any of them can take. So `s` stops what runs, and starts only where nothing runs."""
    return next((verb for verb in verbs if any(_can(verb, row) for row in rows)), None)


def plan(verb: Verb, rows: Sequence[ContainerRow], params: Params = NO_PARAMS) -> tuple[Item, ...]:
    return tuple(_item(verb, row, params) for row in rows)


def _item(verb: Verb, row: ContainerRow, params: Params) -> Item:
    if _can(verb, row):
        return Item(name=row.name, deed=Deed(verb, row, params), said=str(verb), tone="")
    why = "it is being walked through step by step" if row.lesson else f"it is {row.status}"
    return Item(name=row.name, does=False, sign="-", said=f"left alone: {why}")


def _can(verb: Verb, row: ContainerRow) -> bool:
    return not row.lesson and allowed(verb, row.status)


def lines(items: Sequence[Item], width: int) -> list[Line]:
    wide = min(max((cell_len(item.name) for item in items), default=0), 30)
    shown: list[Line] = []
    for item in items:
        head, *rest = wrap(item.said, max(10, width - wide - 4))
        lead = (Span(f"{item.sign} ", item.tone), Span(pad(item.name, wide), "strong" if item.does else "dim"), GAP)
        shown += [(*lead, Span(head, item.tone)), *(line(" " * (wide + 4) + text, item.tone) for text in rest)]
    return shown
