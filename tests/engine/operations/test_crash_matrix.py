"""The crash matrix: kill or fail before and after each host call of each verb, recover, and look.

The world is then either as before or as after, never between; the neighbour is untouched; and every fault has fired.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import pytest

from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import EngineError
from engine.model.status import FORCED, Status, Verb
from tests.engine.faults import KINDS, Faults, Killed
from tests.engine.worlds import act, cases, engine_on, neighbour, picture, settle, world_in

CASES = cases()


def test_every_verb_has_its_cases() -> None:
    assert {verb for verb, _ in CASES} == set(Verb)


@cache
def clean(verb: Verb, status: Status | None) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """The picture before, the picture after, and the host calls between."""

    async def run() -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
        world = await world_in(status)
        before = picture(world)
        faults = Faults()
        engine = await engine_on(world, faults)
        faults.calls.clear()
        await act(engine, verb)
        await settle(engine)
        return before, picture(world), tuple(faults.calls)

    return asyncio.run(run())


def halves(verb: Verb, status: Status | None) -> tuple[Verb, ...]:
    """What a verb is made of that is whole by itself."""
    if verb is Verb.REMOVE and status in FORCED:
        return (Verb.KILL,)
    if verb in (Verb.RESTART, Verb.AGAIN) and status in FORCED:
        # What cannot be started again stays ended.
        return (Verb.STOP,)
    return ()


def calls_of(verb: Verb, status: Status | None) -> tuple[str, ...]:
    """The host calls of a verb, once all that a fault's end is held against is known."""
    for half in halves(verb, status):
        clean(half, status)
    return clean(verb, status)[2]


async def strike(verb: Verb, status: Status | None, first: tuple[int, str], second: tuple[int, str] | None = None) -> None:
    """One schedule of one or two faults, then a clean engine, then the look."""
    before, after, _ = clean(verb, status)
    world = await world_in(status)
    next_door = neighbour(world)
    faults = Faults()
    engine = await engine_on(world, faults)
    base = len(faults.calls)
    faults.plan = {base + first[0]: first[1]}
    if second and not first[1].startswith("kill"):
        faults.plan[base + second[0]] = second[1]
    await lived(engine, verb, faults)
    assert faults.fired, f"fault {first} of {verb} from {status} did not fire"
    if second and first[1].startswith("kill"):
        await during_recovery(world, second)
    last = await engine_on(world)
    await settle(last)
    allowed = [before, after, *(clean(half, status)[1] for half in halves(verb, status))]
    assert picture(world) in allowed, f"{verb} from {status}, faults {first} {second}: in between"
    assert neighbour(world) == next_door


async def lived(engine: Any, verb: Verb, faults: Faults) -> None:
    """Let an engine act until it is done, has failed, or is killed; a killed engine does nothing any more."""
    try:
        await act(engine, verb)
        await settle(engine)
    except (EngineError, Killed):
        pass
    if faults.dead:
        await bury()
    else:
        await settle(engine)


async def bury() -> None:
    """What a killed engine was still waiting for dies with it."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def during_recovery(world: SimulatedWorld, fault: tuple[int, str]) -> None:
    """A second fault strikes the engine that is recovering from the first. It may come too late to strike at all."""
    faults = Faults({fault[0]: fault[1]})
    try:
        engine = await engine_on(world, faults)
        await settle(engine)
    except (EngineError, Killed):
        pass
    await bury()


@pytest.mark.parametrize(("verb", "status"), CASES, ids=[f"{v}-from-{s}" for v, s in CASES])
def test_one_fault(verb: Verb, status: Status | None) -> None:
    calls = calls_of(verb, status)
    assert calls
    for at in range(len(calls)):
        for kind in KINDS:
            asyncio.run(strike(verb, status, (at, kind)))


PAIRS_EVERY = 197
"""Of all pairs of faults so many are left out for each that is tried; a prime, so that every call and kind comes round."""


@pytest.mark.parametrize(("verb", "status"), CASES, ids=[f"{v}-from-{s}" for v, s in CASES])
def test_two_faults(verb: Verb, status: Status | None) -> None:
    """The second strikes on the way back, or the engine that recovers from the first."""
    calls = calls_of(verb, status)
    pairs = [
        ((at, kind), (later, other))
        for at in range(len(calls))
        for kind in KINDS
        for later in range(0 if kind.startswith("kill") else at + 1, len(calls) + 4)
        for other in KINDS
    ]
    for pair in pairs[::PAIRS_EVERY]:
        asyncio.run(strike(verb, status, *pair))
