"""A run: one operation on its way, as it is written into the record and shown on the screen."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class Way(StrEnum):
    """Where a run is heading, or how it ended."""

    FORWARD = "forward"
    BACK = "back"
    DONE = "done"
    UNDONE = "undone"
    """Walked back to where it began: the world is as before."""
    ENDED = "ended"
    """A final step did not happen: the operation is over, the record says how things truly are."""
    BROKEN = "broken"
    """Neither forward nor back worked; recovery tries again."""


class Mark(StrEnum):
    WAITING = "waiting"
    DOING = "doing"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    FAILED = "failed"


class Row(Struct, frozen=True, kw_only=True):
    """One step of a run. `step` and `args` are enough to make the step again after a crash."""

    step: str
    args: dict[str, Any] = {}
    reverse: bool = False
    title: str = ""
    mark: Mark = Mark.WAITING
    ms: float = 0.0


class Run(Struct, frozen=True, kw_only=True):
    """An operation in flight, or the last one. Written with the record, so one rename commits both."""

    verb: str
    rows: tuple[Row, ...]
    began: datetime
    at: int = 0
    """Rows before `at` are done. The row at `at` may be half done: its undo must be harmless."""
    way: Way = Way.FORWARD
    error: str = ""
    exit_code: int = 0
    """Of a start that could not run its command: 126, 127 or 128."""
    ms: float = 0.0
    lesson: bool = False
    compound: str = ""
    """The verb it is a part of: a stop for `restart` is followed by a start for `restart`."""
    forget: Way | None = None
    """The end after which the record itself goes: UNDONE for create, DONE for remove."""

    @property
    def open(self) -> bool:
        """True while a crash now would have to be recovered from."""
        return self.moving or self.way is Way.BROKEN

    @property
    def moving(self) -> bool:
        """Somebody walks it: who waits will see its end. A broken one stands until the next engine."""
        return self.way in (Way.FORWARD, Way.BACK)


class Record(Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the mechanism needs of a record; a container and a network are one each."""

    id: str = field(name="ID")
    name: str
    held: tuple[str, ...] = ()
    """The steps whose effect is in the world, oldest first, by `Step.key`."""
    run: Run | None = None
    """The last operation, or the one in flight when `run.open`."""


class StepView(Struct, frozen=True, kw_only=True):
    """A step as a person sees it: what it is, how to do it by hand, and what the kernel shows."""

    title: str
    name: str
    lesson: str
    shell: tuple[str, ...] = ()
    """The commands a person would type to do the same."""
    look: tuple[str, ...] = ()
    """The commands that show the step's effect."""
    final: bool = False
    mark: Mark = Mark.WAITING
    ms: float = 0.0
    before: str | None = None
    now: str | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """An operation laid out for a person: before, during or after it runs."""

    verb: str
    container: str
    """The container's id."""
    name: str
    steps: tuple[StepView, ...]
    at: int = 0
    way: Way = Way.FORWARD
    running: bool = False
    """False for a plan that was only asked for, and for a run that has ended."""
    lesson: bool = False
    error: str = ""
    began: datetime | None = None
    ms: float = 0.0


class Move(StrEnum):
    """What the person at the gate wants next."""

    NEXT = "next"
    BACK = "back"
    RUN = "run"
    """Run on to the end without asking again."""
    ABORT = "abort"
    """Give up: walk back to where it began, one move at a time unless `RUN` follows."""
    FAIL = "fail"
    """Make the next step fail for real."""
