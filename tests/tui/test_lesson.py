"""The lesson screen, key by key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.model.frames import StepMoved
from engine.model.run import Mark, Move, Way
from engine.model.status import Status
from engine.model.world import World
from tests.tui.made import STEPS, row
from tests.tui.piloting import SMALL, WIDE, dashboard, main, on_screen, until
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.screens.dialogs import Menu, NewContainer
from tui.screens.lesson import LessonScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    job = row("job", Status.EXITED)
    return ScriptedEngine(World(containers={job.id: job}))


@asynccontextmanager
async def lesson(
    engine: ScriptedEngine, size: tuple[int, int] = WIDE
) -> AsyncIterator[tuple[LongshoreApp, Pilot[None], LessonScreen]]:
    """A lesson of `start`, at the gate before its first step."""
    async with dashboard(engine, size) as (app, pilot):
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen))
        assert isinstance(app.screen, LessonScreen)
        yield app, pilot, app.screen


def moves(engine: ScriptedEngine) -> list[str]:
    return [verb for kind, verb, _, _ in engine.calls if kind == "advance"]


async def press(pilot: Pilot[None], screen: LessonScreen, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await until(pilot, lambda: not screen.busy)


async def test_a_lesson_begins_at_the_gate(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        assert [(kind, verb) for kind, verb, _, _ in engine.calls] == [("begin", "start")]
        await until(pilot, lambda: on_screen(app, "start job · lesson · step 1 of 4"))
        for part in ("Until now the layers", "By hand", "findmnt -t overlay", "The kernel before", "The kernel now"):
            assert on_screen(app, part)
        assert not moves(engine)
        assert screen.plan.at == 0


async def test_space_walks_to_the_end_and_shows_the_evidence_of_each_step(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        for step in STEPS:
            await press(pilot, screen, "space")
            assert screen.plan.steps[screen.shown].now == step.now
            await until(pilot, partial(on_screen, app, f"+ {step.now}"[:30]))
        assert screen.plan.way is Way.DONE
        assert on_screen(app, "start job: done")
        await press(pilot, screen, "space")
        assert moves(engine) == ["next"] * 4
        assert on_screen(app, "this run has ended")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))


async def test_back_takes_the_last_step_back(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        await press(pilot, screen, "space", "space", "b")
        assert moves(engine) == ["next", "next", "back"]
        assert screen.plan.at == 1
        await until(pilot, lambda: on_screen(app, "- /run/longshore/netns/1b2c3d4e"))


async def test_a_refused_back_says_why_and_stays(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        await press(pilot, screen, "b")
        assert on_screen(app, "✘ this is the first step")
        assert screen.plan.running
        await press(pilot, screen, "space")
        assert not on_screen(app, "✘ this is the first step")


async def test_fail_walks_back_at_the_same_pace(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        await press(pilot, screen, "space", "f")
        assert screen.plan.way.value == "back"
        assert on_screen(app, "✘ the step was made to fail, as asked")
        assert on_screen(app, "on the way back, 2 to go")
        await press(pilot, screen, "f", "x", "b")
        assert moves(engine) == ["next", "fail"]
        await press(pilot, screen, "space", "space")
        assert screen.plan.way.value == "undone"
        assert on_screen(app, "taken back: the world is as before")


async def test_run_goes_to_the_end(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (_, pilot, screen):
        await press(pilot, screen, "r")
        assert screen.plan.way is Way.DONE
        assert moves(engine) == ["run"]


async def test_give_up_then_space_unwinds(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (_, pilot, screen):
        await press(pilot, screen, "space", "space", "x", "space", "space")
        assert moves(engine) == ["next", "next", "abort", "next", "next"]
        assert screen.plan.way is Way.UNDONE


async def test_other_steps_can_be_read_without_moving_the_run(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        await pilot.press("j", "j")
        await until(pilot, lambda: on_screen(app, "A veth pair is a cable"))
        await pilot.press("c")
        await until(pilot, lambda: "ip link add veth9f3c1a2" in app.clipboard)
        assert not moves(engine)
        await press(pilot, screen, "space")
        assert screen.reading == 1


@pytest.mark.parametrize(
    ("keys", "made", "left"),
    [
        (("enter",), [], False),
        (("escape",), [], False),
        (("j", "enter"), [], True),
        (("j", "j", "enter"), [Move.RUN], True),
        (("j", "j", "j", "enter"), [Move.ABORT, Move.RUN], True),
    ],
)
async def test_leaving_asks_what_becomes_of_the_run(
    engine: ScriptedEngine, keys: tuple[str, ...], made: list[Move], left: bool
) -> None:
    async with lesson(engine) as (app, pilot, screen):
        await press(pilot, screen, "space")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press(*keys)
        await until(pilot, lambda: app.screen is (main(app) if left else screen))
        await until(pilot, lambda: moves(engine) == ["next", *made])


async def test_a_parked_lesson_is_seen_locked_and_taken_up_again(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        await press(pilot, screen, "space")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("j", "enter")
        await until(pilot, lambda: on_screen(app, "lesson: start 1/4"))
        await pilot.press("s")
        await until(pilot, lambda: on_screen(app, "is being walked through start step by step"))
        assert not [call for call in engine.calls if call[0] == "do"]
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen) and on_screen(app, "step 2 of 4"))


async def test_a_run_that_moves_by_itself_is_followed(engine: ScriptedEngine) -> None:
    async with lesson(engine) as (app, pilot, screen):
        id = screen.plan.container
        ended = replace(engine.plans[id], way=Way.UNDONE, running=False, error="the process ended")
        engine.plans[id] = ended
        engine.publish(StepMoved(id=id, verb="start", at=0, of=4, title="x", mark=Mark.UNDONE))
        await until(pilot, lambda: not screen.plan.running)
        assert on_screen(app, "taken back: the world is as before")


async def test_create_is_taught_from_the_form(engine: ScriptedEngine) -> None:
    engine.world = replace(engine.world, images=ScriptedEngine().world.images)
    async with dashboard(engine) as (app, pilot):
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("G", "enter")
        await until(pilot, lambda: isinstance(app.screen, NewContainer))
        await pilot.press(*"shop", "enter")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen))
        params: dict[str, Any] = {"name": "shop", "body": {"Image": "busybox:latest"}}
        assert engine.calls == [("begin", "create", "", params)]


async def test_small_stacks_the_panes_and_cuts_no_word(engine: ScriptedEngine) -> None:
    async with lesson(engine, SMALL) as (app, pilot, screen):
        await press(pilot, screen, "space")
        for id in ("steps", "text", "before", "now"):
            assert screen.query_one(f"#{id}").size.width == 80 - 3
        await until(pilot, lambda: on_screen(app, "+ overlay on /var/lib/longshore/overlay2/9f3c/merged"))
