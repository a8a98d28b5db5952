"""Waiting for a container: every change of its record is looked at, so no end is missed however soon it starts again."""

from __future__ import annotations

import asyncio

from engine.flow.ledger import Ledger
from engine.host import within
from engine.model.container import Container, State
from engine.model.status import Status, Verb
from engine.operations.restart import to_be_started
from engine.spec.links import kept
from engine.spec.restarts import wanted_at_boot

FOREVER = 1e9
LINKED_SECONDS = 5.0


async def wait(ledger: Ledger[Container], c: Container, condition: str) -> State:
    """The state that it ended in, once the condition holds (reference 1.3). `c`: the container as it is now."""
    if condition == "not-running" and settled(c):
        return c.state
    done: asyncio.Future[State] = asyncio.get_running_loop().create_future()
    end, finished = c.state, c.state.finished_at

    def heard(before: Container | None, after: Container | None) -> None:
        nonlocal end
        told = after or before
        if told is None or told.id != c.id or done.done():
            return
        ended = told.state.finished_at != finished
        if ended and not told.status.alive:
            end = told.state
        # Who waits for its end hears of it also when it is started again, by its policy or by a restart.
        down = condition == "not-running" and settled(told)  # its exit may have been recorded before we came
        if after is None or down or (condition != "removed" and ended and (not moving(told) or _starting(told))):
            done.set_result(end)

    with ledger.listening(heard):
        return await done


async def linked_run(ledger: Ledger[Container], c: Container) -> None:
    """Wait for those it is linked to that come up by themselves too, but not for long (reference 7.3)."""
    all_run = asyncio.Event()

    def heard(before: Container | None, after: Container | None) -> None:
        if not any(_coming(other) for id, _ in kept(c) if (other := ledger.get(id))):
            all_run.set()

    with ledger.listening(heard):
        heard(None, c)
        await within(LINKED_SECONDS, all_run.wait())


def _coming(c: Container) -> bool:
    return not c.status.alive and (c.status is Status.RESTARTING or moving(c) or wanted_at_boot(c))


def settled(c: Container) -> bool:
    """Neither running, nor about to be, nor on its way down."""
    return not c.status.up and not moving(c)


def moving(c: Container) -> bool:
    """An operation is on its way, or between the halves of a restart."""
    return c.run is not None and (c.run.moving or to_be_started(c))


def _starting(c: Container) -> bool:
    return c.run is not None and (c.run.verb == Verb.START or to_be_started(c))
