"""Images on their way to or from here: what is known of each, and how it looks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from rich.cells import cell_len

from tui.view.figures import size
from tui.view.text import GAP, Line, Span, clean, line, pad, shorten, shorten_left, wrap

_DONE = ("Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted from")
"""How the status of a layer begins that needs nothing more (Docker Engine API, `ImageCreate` and `ImagePush`)."""
ARROWS = {"pull": "↓", "load": "↓", "push": "↑", "save": "↑"}
BAR = 24
"""Cells of a bar at most: each is worth a repaint."""


class Part(Struct, frozen=True):
    """A layer."""

    status: str
    current: int = 0
    total: int = 0
    """Bytes; 0: not known."""

    @property
    def is_done(self) -> bool:
        return self.status.startswith(_DONE)


class Transfer(Struct, frozen=True, kw_only=True):
    key: int
    verb: str
    """pull, push, load or save."""
    name: str
    docker: str
    """The command that does the same."""
    parts: dict[str, Part] = {}
    said: str = ""
    """The last that was told of the whole."""
    moved: int = 0
    total: int = 0
    """Bytes of an archive; 0: not known how many there will be."""
    error: str = ""
    """Why it has failed; it is over then."""

    @property
    def bytes(self) -> int:
        """What has come or gone so far."""
        return self.moved + sum(part.total if part.is_done else part.current for part in self.parts.values())

    @property
    def layers(self) -> tuple[int, int]:
        """How many are done, of how many."""
        return sum(part.is_done for part in self.parts.values()), len(self.parts)


def after(transfer: Transfer, told: Mapping[str, Any]) -> Transfer:
    """The transfer after one object of Docker's progress stream; or of an archive, whose bytes are `moved`."""
    status, id = str(told.get("status") or told.get("stream") or "").strip(), str(told.get("id", ""))
    if "moved" in told:
        return replace(transfer, moved=told["moved"], total=told.get("total", 0))
    if not id or status.startswith("Pulling from"):
        return replace(transfer, said=status) if status else transfer
    detail = told.get("progressDetail") or {}
    before = transfer.parts.get(id, Part(status))
    part = Part(status, detail.get("current", 0), detail.get("total", before.total))
    if not detail:  # "Download complete" and the like: all of it is there
        part = Part(status, before.total, before.total)
    return replace(transfer, parts=transfer.parts | {id: part})


def summary(transfers: Sequence[Transfer]) -> Span:
    """For the header: `↓ nginx:1.27 2/5 12 MB`, or of several `↓ 3 images 40 MB`."""
    alive = [transfer for transfer in transfers if not transfer.error]
    if not alive:
        return Span("")
    if len(alive) > 1:
        name = f"{len(alive)} images"
    else:
        done, count = alive[0].layers
        name = shorten_left(alive[0].name, 24) + (f" {done}/{count}" if count else "")
    arrows = "".join(sorted({ARROWS[transfer.verb] for transfer in alive}))
    moved = sum(transfer.bytes for transfer in alive)
    return Span(f"{arrows} {name}{f' {size(moved)}' if moved else ''}", "accent")


def lines(transfers: Sequence[Transfer], width: int) -> tuple[list[Line], list[int]]:
    """All of them, layer by layer, and the line on which each begins. Layers that are done are only counted."""
    shown: list[Line] = []
    starts = []
    for transfer in transfers:
        starts.append(len(shown))
        shown += _lines(transfer, width)
    return shown, starts


def _lines(transfer: Transfer, width: int) -> list[Line]:
    what = (Span(f"{ARROWS[transfer.verb]} {transfer.verb} ", "accent"), Span(transfer.name, "strong"))
    if transfer.error:
        told = [line("  " + text, "bad") for text in wrap(f"✘ {transfer.error}", width - 2)]
        return [what, *told]
    done, count = transfer.layers
    words = [f"{done} of {count} layers"] if count else []
    of = f" of {size(transfer.total)}" if transfer.total else ""
    words += [f"{size(transfer.bytes)}{of}"] if transfer.bytes else []
    words += [clean(transfer.said)] if transfer.said and not count else []
    room = width - sum(cell_len(span.text) for span in what) - 2
    return [
        (*what, GAP, Span(shorten(" · ".join(words) or "…", max(1, room)), "dim")),
        *(_layer(id, part, width) for id, part in transfer.parts.items() if not part.is_done),
    ]


def _layer(id: str, part: Part, width: int) -> Line:
    head = (Span(f"  {pad(clean(id), 12)}", "dim"), GAP, Span(pad(clean(part.status), 18)))
    if not part.total:
        return head
    amount = f"{size(part.current)} of {size(part.total)}"
    cells = min(BAR, width - 34 - 2 - 2 - 18)
    if cells < 4:
        return (*head, GAP, Span(amount))
    full = min(cells, part.current * cells // part.total)
    return (*head, GAP, Span("█" * full, "accent"), Span("░" * (cells - full), "dim"), GAP, Span(amount))
