"""Step, Reverse, Operation: what a verb is made of."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from engine.model.run import Record, Row, Way

H = TypeVar("H")
R = TypeVar("R", bound=Record)

CATALOGUE: dict[str, type[Step[Any, Any]]] = {}
"""Every step by its stable name, so that a run can be taken up again from its rows."""


class Step(Generic[H, R]):
    """One thing that is done to the world, taken back, and shown.

    A subclass's docstring is its lesson: the first line is its name on the screen, the rest what a student reads.
    `do` and `undo` return the next record; both may run twice, and undo of nothing is fine. Steps never catch.
    """

    do_is_final: ClassVar[bool] = False
    """`do` cannot be taken back: a signal, a recorded exit."""
    undo_is_final: ClassVar[bool] = False
    """`undo` cannot be taken back: a deletion."""
    only_writes: ClassVar[bool] = False
    """Its whole effect is in the record, so the write that follows it is the deed."""
    thing: ClassVar[str] = ""
    """What it leaves in the world, in a word or two: what is missing when somebody takes it away."""
    holds: ClassVar[bool] = True
    """Its effect stays in the world until it is undone."""
    renewed: ClassVar[bool] = False
    """It may not outlive the engine: a new one looks, and does it again where it is gone."""

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        """`abstract`: what several steps have in common, and none itself."""
        if not abstract and CATALOGUE.setdefault(cls.__name__, cls) is not cls:
            raise TypeError(f"two steps are called {cls.__name__}")

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def key(self) -> str:
        """What stands for it in `Record.held`: its name, with `/` and its argument where a record can hold several."""
        return self.name

    @property
    def final(self) -> bool:
        """Once done, there is no way back behind it."""
        return self.do_is_final

    @property
    def reversed(self) -> bool:
        return False

    def title(self, r: R, *, back: bool = False) -> str:
        """One line with this record's real values. `back`: as it reads when it is taken back."""
        raise NotImplementedError

    def shell(self, host: H, r: R, *, back: bool = False) -> tuple[str, ...]:
        """The commands a person would type in a root shell to do the same."""
        return ()

    def look(self, host: H, r: R) -> tuple[str, ...]:
        """The commands that show the effect."""
        return ()

    async def do(self, host: H, r: R) -> R:
        raise NotImplementedError

    async def undo(self, host: H, r: R) -> R:
        raise NotImplementedError

    async def evidence(self, host: H, r: R) -> str | None:
        """That the step is done, in the kernel's own words; None when it is not."""
        raise NotImplementedError

    def called(self, r: R) -> str:
        """`thing`, or what tells this one from the record's others of its kind."""
        return self.thing

    def sighting(self, r: R) -> tuple[str, ...] | None:
        """How its effect appears where many are looked at in one go; None: only `evidence` can tell."""
        return None

    async def show(self, host: H, r: R) -> str | None:
        """What the kernel has of the step's subject now, whichever way it is walked."""
        return await self.evidence(host, r)

    def lesson(self) -> tuple[str, str]:
        """Its name on the screen, and what a student reads."""
        head, _, body = inspect.cleandoc(type(self).__doc__ or "").partition("\n")
        return head.strip(), body.strip()

    def args(self) -> dict[str, Any]:
        """What it was made with: enough to make it again, as plain data."""
        return dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}

    def row(self, r: R) -> Row:
        return Row(step=self.name, args=self.args(), reverse=self.reversed, title=self.title(r))

    def hold(self, held: tuple[str, ...], *, done: bool) -> tuple[str, ...]:
        """`held` after this step is done, or taken back."""
        rest = tuple(key for key in held if key != self.key)
        return (*rest, self.key) if done and self.holds else rest


class Reverse(Step[H, R]):
    """A step walked the other way: do is undo, evidence is absence, and finality swaps too."""

    def __init__(self, step: Step[H, R]) -> None:
        self.step = step

    @property
    def name(self) -> str:
        return self.step.name

    @property
    def key(self) -> str:
        return self.step.key

    @property
    def final(self) -> bool:
        return self.step.undo_is_final

    @property
    def reversed(self) -> bool:
        return not self.step.reversed

    def title(self, r: R, *, back: bool = False) -> str:
        return self.step.title(r, back=not back)

    def shell(self, host: H, r: R, *, back: bool = False) -> tuple[str, ...]:
        return self.step.shell(host, r, back=not back)

    def look(self, host: H, r: R) -> tuple[str, ...]:
        return self.step.look(host, r)

    async def do(self, host: H, r: R) -> R:
        return await self.step.undo(host, r)

    async def undo(self, host: H, r: R) -> R:
        return await self.step.do(host, r)

    async def evidence(self, host: H, r: R) -> str | None:
        return "gone" if await self.step.evidence(host, r) is None else None

    async def show(self, host: H, r: R) -> str | None:
        return await self.step.show(host, r)

    def lesson(self) -> tuple[str, str]:
        return self.step.lesson()

    def args(self) -> dict[str, Any]:
        return self.step.args()

    def hold(self, held: tuple[str, ...], *, done: bool) -> tuple[str, ...]:
        return self.step.hold(held, done=not done)


def unfailed(r: R, error: BaseException) -> R:
    """Nothing of the failure stays in the record."""
    return r


@dataclass(frozen=True)
class Operation(Generic[H, R]):
    """A verb: a fixed line of steps over one record."""

    verb: str
    steps: tuple[Step[H, R], ...]
    forget: Way | None = None
    """The end after which the record itself is forgotten: UNDONE for what is born here, DONE for what dies."""
    lasts: bool = True
    """Its end must survive a power loss. False for what does not survive one anyway: a freeze."""
    failed: Callable[[R, BaseException], R] = unfailed
    """What a failure leaves in the record; pure."""
    compound: str = ""
    """The verb it is a part of, where it is only a part."""


def remake(row: Row) -> Step[Any, Any]:
    """The step a row was written for."""
    step = CATALOGUE[row.step](**row.args)
    return Reverse(step) if row.reverse else step


def held_steps(r: R) -> tuple[Step[Any, R], ...]:
    """The steps whose effects the record holds, oldest first."""
    return tuple(CATALOGUE[name](*filter(None, (argument,))) for name, _, argument in (key.partition("/") for key in r.held))
