"""The runner: walks an operation forward, and back when it fails.

It writes the record before the first step, around each final step, and at the end. That is enough: what a crash leaves
between two writes is taken back, or done again, as a whole, and undo of nothing is harmless, do of what is done too.

    at = 3, forward     steps 0..2 are done; from 3 to the next final step anything may be done
    at = 3, back        steps 3.. are taken back; of 0..2 anything may be

Before the first final step a failure walks back. What follows a done final step is retried, forward. A final step that
did not happen ends the operation. When neither way works the run is BROKEN, and recovery tries again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from msgspec.structs import replace

from engine.flow.ledger import Ledger
from engine.flow.step import Operation, Step, remake
from engine.model.errors import DidNotHappen, EngineError, GivenUp, HostFailed
from engine.model.run import Mark, Move, Record, Run, Way

H = TypeVar("H")
R = TypeVar("R", bound=Record)

RETRIES = (0.1, 0.5, 2.0)
"""Seconds between tries where giving up would leave the world in between."""


class Gate(Protocol):
    """Asked before each step, in both directions."""

    async def __call__(self, r: Record, row: int) -> Move: ...

    def refuse(self, reason: str) -> None:
        """A move could not be made; the gate is asked again."""


class OpenGate:
    """Nobody stands at the gate."""

    async def __call__(self, r: Record, row: int) -> Move:
        return Move.NEXT

    def refuse(self, reason: str) -> None:
        raise AssertionError(reason)


class Clock(Protocol):
    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass
class Runner(Generic[H, R]):
    host: H
    ledger: Ledger[R]
    clock: Clock

    async def run(self, operation: Operation[H, R], r: R, gate: Gate | None = None) -> R:
        """Walk an operation to its end and answer the record as it then is. Raises what stopped it, after the way back."""
        run = Run(
            verb=operation.verb,
            rows=tuple(step.row(r) for step in operation.steps),
            began=self.clock.now(),
            forget=operation.forget,
            compound=operation.compound,
            lesson=gate is not None,
        )
        try:
            r = replace(r, run=run)
            if operation.steps[0].only_writes:
                self.ledger.keep(r)
            else:
                await self.ledger.save(r)
        except EngineError:
            if operation.forget is Way.UNDONE:
                await self.ledger.forget(r.id)
            raise
        return await _Walk(self, operation, r, gate or OpenGate()).walk()

    async def resume(self, r: R) -> R:
        """Take up a run that a dead engine left open: forward behind a final step, else back."""
        assert r.run
        operation = Operation[H, R](r.run.verb, tuple(remake(row) for row in r.run.rows), r.run.forget)
        return await _Walk(self, operation, r, OpenGate()).recover()


class _Walk(Generic[H, R]):
    """One operation on its way."""

    def __init__(self, runner: Runner[H, R], operation: Operation[H, R], r: R, gate: Gate) -> None:
        self.host, self.ledger, self.clock = runner.host, runner.ledger, runner.clock
        self.operation, self.steps, self.gate = operation, operation.steps, gate
        self.r = r
        self.error: Exception | None = None
        self.began = time.monotonic()

    @property
    def run(self) -> Run:
        assert self.r.run
        return self.r.run

    def passed_final(self, at: int) -> bool:
        return any(step.final for step in self.steps[:at])

    async def walk(self) -> R:
        try:
            while self.run.way is Way.FORWARD:
                await self._ask()
            while self.run.way is Way.BACK:
                await self.gate(self.r, self.run.at - 1)
                await self._back()
        except Exception as error:  # noqa: BLE001 - the end itself did not work; a run that nobody walks must not stay open
            await self._break(self.steps[max(self.run.at - 1, 0)], error)
        if self.error:
            raise self.error
        return self.r

    async def recover(self) -> R:
        at = self.run.at
        if self.passed_final(at):
            await self._note(way=Way.FORWARD)
        elif self.run.way is Way.FORWARD:
            step = self.steps[at]
            if not step.final:
                await self._turn(self._next_final(at), None)
            elif await step.evidence(self.host, self.r) is not None:
                await self._done(at, step, self.r)
            else:
                # A signal that may have been sent is not sent again.
                await self._turn(at, None)
        else:
            await self._note(way=Way.BACK)
        return await self.walk()

    def _writes_after(self, at: int) -> bool:
        """Must this step, now done, be known after a crash? A deletion behind a final step is simply done again."""
        step = self.steps[at]
        return step.final and not (step.reversed and self.passed_final(at))

    def _writes_before(self, at: int) -> bool:
        """Must it be known that this step was begun? Not where its effect is the next write itself."""
        return self._writes_after(at) and not self.steps[at].only_writes

    def _next_final(self, at: int) -> int:
        return next((i for i in range(at, len(self.steps)) if self.steps[i].final), len(self.steps))

    async def _ask(self) -> None:
        at = self.run.at
        step = self.steps[at]
        match await self.gate(self.r, at):
            case Move.BACK:
                await self._one_back(at)
            case Move.ABORT if self.passed_final(at):
                self.gate.refuse(self._no_way_back(at))
            case Move.ABORT:
                await self._turn(at, GivenUp(f"cannot {self.run.verb}: given up"))
            case Move.FAIL:
                await self._forward(at, step, made_to_fail(step.do))
            case _:
                await self._forward(at, step, step.do)

    async def _forward(self, at: int, step: Step[H, R], do: Callable[[H, R], Awaitable[R]]) -> None:
        delays = iter(RETRIES if self.passed_final(at) else ())
        while True:
            self._mark(at, Mark.DOING)
            began = time.monotonic()
            try:
                await self._done(at, step, await do(self.host, self.r), began)
                return
            except DidNotHappen as error:
                self._mark(at, Mark.FAILED, began)
                self.error = error
                await self._end(Way.ENDED, error=str(error))
                return
            except Exception as error:  # noqa: BLE001 - whatever a step raises, the way back is walked
                self._mark(at, Mark.FAILED, began)
                delay = next(delays, None)
                if delay is not None:
                    await self.clock.sleep(delay)
                elif self.passed_final(at):
                    await self._break(step, error)
                    return
                else:
                    await self._turn(at if step.final else at + 1, error)
                    return

    async def _done(self, at: int, step: Step[H, R], r: R, began: float | None = None) -> None:
        before = self.r
        self.r = replace(r, held=step.hold(r.held, done=True))
        self._mark(at, Mark.DONE, began)
        try:
            if at + 1 == len(self.steps):
                await self._end(Way.DONE, at=at + 1)
            elif self._writes_after(at) or self._writes_before(at + 1):
                await self._note(at=at + 1)
            else:
                self._keep(at=at + 1)
        except EngineError:
            # What could not be saved is not believed: the way back starts from the record as it lasts.
            self.r = before
            raise

    async def _one_back(self, at: int) -> None:
        """A lesson's step back: take back the last step, and stay on the way forward."""
        if at == 0:
            self.gate.refuse("this is the first step")
        elif self.steps[at - 1].final:
            self.gate.refuse(self._no_way_back(at))
        else:
            try:
                self._keep(at=at - 1)
                await self._undo(at - 1)
                self._keep()
            except Exception as error:  # noqa: BLE001 - as above
                await self._turn(at, error)

    async def _turn(self, at: int, error: Exception | None) -> None:
        """Begin to walk back from `at` steps, remembering why."""
        if error:
            self.error = error
            self.r = self.operation.failed(self.r, error)
        why = str(error) if error else "the engine ended on the way"
        if at:
            await self._note(way=Way.BACK, at=at, error=why)
        else:
            await self._end(Way.UNDONE, at=0, error=why)

    async def _back(self) -> None:
        at = self.run.at
        delays = iter(RETRIES)
        while True:
            try:
                await self._undo(at - 1)
                if at > 1:
                    self._keep(at=at - 1)
                else:
                    await self._end(Way.UNDONE, at=0)
                return
            except Exception as error:  # noqa: BLE001 - as above
                delay = next(delays, None)
                if delay is None:
                    await self._break(self.steps[at - 1], error)
                    return
                await self.clock.sleep(delay)

    async def _undo(self, at: int) -> None:
        step = self.steps[at]
        self._mark(at, Mark.UNDOING)
        began = time.monotonic()
        self.r = await step.undo(self.host, self.r)
        self.r = replace(self.r, held=step.hold(self.r.held, done=False))
        self._mark(at, Mark.UNDONE, began)

    async def _break(self, step: Step[H, R], error: Exception) -> None:
        """Neither way works now. What may be half there counts as held, so that remove takes it down too."""
        self.error = self.error or error
        held = self.r.held if step.key in self.r.held else (*self.r.held, step.key)
        self.r = replace(self.r, held=held)
        await self._note(way=Way.BROKEN, error=str(error), sync=True)

    async def _end(self, way: Way, *, at: int | None = None, error: str | None = None) -> None:
        if way is self.run.forget:
            await self.ledger.forget(self.r.id)
            self.r = replace(self.r, run=replace(self.run, way=way))
        else:
            await self._note(way=way, at=at, error=error, ms=(time.monotonic() - self.began) * 1000, sync=self.operation.lasts)

    async def _note(self, *, sync: bool = False, **changes: Any) -> None:
        """Write down where the run is."""
        r = self._with(changes)
        try:
            self.r = await self.ledger.save(r, sync=sync)
        except EngineError:
            # Where nothing more is done an older journal only means that more is taken back again, which is harmless.
            if r.run is None or r.run.way in (Way.FORWARD, Way.DONE):
                raise
            self.r = r
            self.ledger.keep(r)

    def _keep(self, **changes: Any) -> None:
        """Tell where the run is without writing it down: the last write is safe to recover from."""
        self.r = self._with(changes)
        self.ledger.keep(self.r)

    def _with(self, changes: dict[str, Any]) -> R:
        return replace(self.r, run=replace(self.run, **{key: value for key, value in changes.items() if value is not None}))

    def _mark(self, at: int, mark: Mark, began: float | None = None) -> None:
        ms = 0.0 if began is None else round((time.monotonic() - began) * 1000, 3)
        row = replace(self.run.rows[at], mark=mark, ms=ms)
        rows = (*self.run.rows[:at], row, *self.run.rows[at + 1 :])
        self.r = replace(self.r, run=replace(self.run, rows=rows))
        self.ledger.moved(self.r, at)

    def _no_way_back(self, at: int) -> str:
        step = next(step for step in reversed(self.steps[:at]) if step.final)
        return f"there is no way back behind '{step.title(self.r)}': it cannot be taken back"


def made_to_fail(do: Callable[[H, R], Awaitable[R]]) -> Callable[[H, R], Awaitable[R]]:
    """The same effect, followed by a failure: what a lesson's key asks for."""

    async def fail(host: H, r: R) -> R:
        await do(host, r)
        raise HostFailed("the step was made to fail, as asked")

    return fail
