"""Lessons and plans: an operation laid out for a person, and a gate that a person opens.

The gate is all that a lesson adds to a run; no step knows of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from engine.flow.step import Step, remake
from engine.host import Host
from engine.model.errors import Conflict, EngineError
from engine.model.run import Mark, Move, Plan, Record, Row, Run, StepView, Way

R = TypeVar("R", bound=Record)


class Lesson(Generic[R]):
    """A gate with a person at it. Parked: the run waits for a move."""

    def __init__(self, host: Host, r: R) -> None:
        self.host, self.last = host, r
        self.steps: tuple[Step[Host, R], ...] = ()
        self.before: dict[int, str | None] = {}
        self.task: asyncio.Task[None] | None = None
        self._parked = asyncio.Event()
        self._refused = ""
        self._left = False
        self._moves: asyncio.Queue[Move] = asyncio.Queue()

    def begin(self, steps: tuple[Step[Host, R], ...]) -> None:
        """An operation begins; of a compound verb, the next one."""
        self.steps, self.before = steps, {}

    async def __call__(self, r: Record, row: int) -> Move:
        assert isinstance(r, type(self.last)) and r.run
        self.last = r
        if r.run.way is Way.FORWARD:
            self.before[row] = await _show(self.host, r, self.steps[row])
        if self._left:
            return Move.NEXT
        self._parked.set()
        move = await self._moves.get()
        if move is not Move.RUN:
            return move
        self._left = True
        return Move.NEXT

    def refuse(self, reason: str) -> None:
        self._refused = reason

    def move(self, move: Move) -> None:
        self._refused = ""
        self._parked.clear()
        self._moves.put_nowait(move)

    @property
    def can_unwind(self) -> bool:
        """No final step is done, or being done."""
        run = self.last.run
        if run is None:
            return True
        begun = run.at if self._parked.is_set() else run.at + 1
        return run.way is Way.FORWARD and not any(step.final for step in self.steps[:begun])

    def leave(self) -> None:
        """Nobody stands here any more: unwind, or run on where there is no way back."""
        if self.can_unwind:
            self.move(Move.ABORT)
        self.move(Move.RUN)

    async def plan(self) -> Plan:
        """The plan once the run stands at the gate again or has ended. Raises why a move was refused."""
        assert self.task
        parked = asyncio.create_task(self._parked.wait())
        await asyncio.wait({parked, self.task}, return_when=asyncio.FIRST_COMPLETED)
        parked.cancel()
        if self._refused:
            raise Conflict(self._refused)
        if not self.task.done():
            return await lay_out(self.host, self.last, self.last.run, self, running=True)
        error, run = self.task.exception(), self.last.run
        if error and (not self.steps or not isinstance(error, EngineError)):
            raise error
        if run and run.moving:
            run = replace(run, way=Way.UNDONE if error else Way.DONE, at=0 if error else len(run.rows))
        return await lay_out(self.host, self.last, run, self)


async def lay_out(host: Host, c: R, run: Run | None, lesson: Lesson[R] | None = None, *, running: bool = False) -> Plan:
    """The plan of a run, with what the kernel shows now."""
    if run is None:
        return Plan(verb="", container=c.id, name=c.name, steps=())
    views = [await _view(host, c, row, lesson.before.get(at) if lesson else None) for at, row in enumerate(run.rows)]
    if running and not lesson and run.way is Way.FORWARD and run.at < len(views):
        views[run.at] = replace(views[run.at], mark=Mark.DOING)
    return Plan(
        verb=run.verb,
        container=c.id,
        name=c.name,
        steps=tuple(views),
        at=run.at,
        way=run.way,
        running=running,
        lesson=lesson is not None,
        error=run.error,
        began=run.began,
        ms=run.ms,
    )


async def _view(host: Host, c: Record, row: Row, before: str | None) -> StepView:
    step: Step[Host, Any] = remake(row)
    name, lesson = step.lesson()
    return StepView(
        title=row.title,
        name=name,
        lesson=lesson,
        shell=step.shell(host, c),
        look=step.look(host, c),
        final=step.final,
        mark=row.mark,
        ms=row.ms,
        before=before,
        now=await _show(host, c, step),
    )


async def _show(host: Host, c: Record, step: Step[Host, Any]) -> str | None:
    """What the kernel shows, or why that cannot be told: a look that fails must not end the walk."""
    try:
        return await step.show(host, c)
    except EngineError as error:
        return f"not known: {error}"
