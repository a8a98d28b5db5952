"""The step laws and the absolute check: what a verb says it did is in the world, and what it took back is gone."""

from __future__ import annotations

from typing import TypeVar

import pytest
from msgspec.structs import replace

from engine.core import Engine
from engine.flow.step import CATALOGUE, Step, held_steps
from engine.host import Host
from engine.model.run import Mark, Move, Record
from engine.model.status import Status, Verb
from engine.operations.create_network import create_network
from engine.operations.update import Know
from tests.engine.worlds import PARAMS, WIRED, act, cases, engine_on, settle, world_in

R = TypeVar("R", bound=Record)

FINAL_OR_FLEETING = {"SendSignal", "WaitForExit", "Insist", "RecordExit", "CancelRestart", "GiveUp"}
"""Steps with no way back, or with nothing to take back: the laws on undo say nothing of them."""


async def laws(host: Host, c: R, step: Step[Host, R]) -> R:
    """No evidence, harmless undo, do, evidence, do again, evidence, undo, none, undo again; then done, for the next step."""
    assert await step.evidence(host, c) is None, f"{step.name}: there before it was done"
    c = await step.undo(host, c)
    for _ in range(2):
        c = await step.do(host, c)
        assert await step.evidence(host, c), f"{step.name}: done, and nothing to see"
    for _ in range(2):
        c = await step.undo(host, c)
        assert await step.evidence(host, c) is None, f"{step.name}: taken back, and still there"
    return await step.do(host, c)


async def lawful_network(engine: Engine) -> set[str]:
    """The same with a network's steps."""
    n = await engine.networks.settle({"Name": "third"})
    steps = create_network(n).steps
    for step in steps:
        n = await laws(engine.host, n, step)
    return {step.name for step in steps}


async def lawful(engine: Engine) -> set[str]:
    """Walk verbs by hand, holding every step to the laws. Answers the steps that were held to them."""
    held: set[str] = set()
    c = await engine._new({"name": "web", "body": WIRED})
    for verb in (Verb.CREATE, Verb.START, Verb.UPDATE, Verb.RENAME, Verb.CONNECT, Verb.PAUSE):
        c, operation = engine.decide(verb, c, PARAMS.get(verb, {}))
        for step in operation.steps:
            if step.name == "StartProcess":
                # Taking it back ends the task it runs in, so the laws hold for the two together.
                c = await step.do(engine.host, await step.do(engine.host, c))
                assert await step.evidence(engine.host, c)
            else:
                c = await laws(engine.host, c, step)
            c = replace(c, held=step.hold(c.held, done=True))
            held.add(step.name)
        engine.ledger.claim(c)
    c = await laws(engine.host, c, Know("ab" * 32, "db", {"db": "10.88.0.9"}))
    engine.ledger.claim(replace(c, name="web"))
    return held | {Know.__name__}


async def test_step_laws() -> None:
    engine = await engine_on(await world_in(None))
    held = await lawful(engine) | await lawful_network(engine)
    real = {name for name, step in CATALOGUE.items() if step.__module__.startswith("engine.") and name != "Reverse"}
    assert held | FINAL_OR_FLEETING == real


@pytest.mark.parametrize(("verb", "status"), cases(), ids=[f"{v}-from-{s}" for v, s in cases()])
async def test_absolute(verb: Verb, status: Status | None) -> None:
    """The evidence of forward steps is there, of reversed steps gone, whatever the picture says."""
    engine = await engine_on(await world_in(status))
    operation = None
    if verb is not Verb.CREATE:
        c = engine.resolve("web")
        c, operation = engine.decide(verb, c, {"force": True} | PARAMS.get(verb, {}))
    await act(engine, verb)
    await settle(engine)
    if verb is Verb.CREATE:
        c = engine.resolve("web")
        _, operation = c, None
        steps = list(held_steps(c))
        assert len(steps) == 3
    elif verb is Verb.RESTART:
        c = engine.resolve("web")
        steps = list(held_steps(c))
        assert len(steps) == 14
    else:
        assert operation
        steps = [step for step in operation.steps if step.name not in FINAL_OR_FLEETING]
        c = engine.ledger.get(c.id) or c
    for step in steps:
        assert await step.evidence(engine.host, c), f"{verb}: no evidence of {step.title(c)}"


async def test_a_lesson_goes_back_and_forth() -> None:
    """Every step of start done, taken back, done again; the container then runs as if started in one go."""
    engine = await engine_on(await world_in(Status.CREATED))
    plan = await engine.begin("start", "web")
    while plan.running:
        at = plan.at
        plan = await engine.advance("web", Move.NEXT)
        if plan.running:
            assert plan.steps[at].now
            plan = await engine.advance("web", Move.BACK)
            assert plan.at == at and plan.steps[at].mark is Mark.UNDONE and plan.steps[at].now is None
            plan = await engine.advance("web", Move.NEXT)
    assert plan.way == "done"
    assert engine.resolve("web").status is Status.RUNNING


@pytest.mark.parametrize("at", range(13))
async def test_a_step_made_to_fail_is_walked_back(at: int) -> None:
    world = await world_in(Status.CREATED)
    owned = world.owned()
    engine = await engine_on(world)
    plan = await engine.begin("start", "web")
    for _ in range(at):
        plan = await engine.advance("web", Move.NEXT)
    plan = await engine.advance("web", Move.FAIL)
    while plan.running:
        plan = await engine.advance("web", Move.NEXT)
    assert plan.way == "undone" and "made to fail" in plan.error
    assert world.owned() == owned
