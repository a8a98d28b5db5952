"""The screen that says why one end does not reach another, driven by keys."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from engine.model.reach import Hop, Outcome
from tests.tui.paths import WAY
from tests.tui.piloting import SMALL, WIDE, choose, dashboard, main, on_screen, until
from tests.tui.scripted import ScriptedEngine
from tui.screens.why import WhyScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_from_the_selected_container_to_whoever_is_typed(engine: ScriptedEngine, size: tuple[int, int]) -> None:
    async with dashboard(engine, size) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("W")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen))
        await pilot.press(*"db", "tab", *"5432", "enter")
        await until(pilot, lambda: on_screen(app, "✘ The firewall lets it pass"))
        assert engine.whys == [("web", "db", 5432, "tcp")]
        for text in (
            "✔ web runs",
            "pid 4711",
            "ip filter FORWARD: policy drop",
            "web does not reach db (port 5432/tcp)",
            "→ add a rule",
        ):
            assert on_screen(app, text), text


async def test_two_marked_containers_are_asked_about_at_once(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        rows = [row.name for row in main(app).table.rows][:2]
        await pilot.press("g", "space", "space", "W")
        await until(pilot, lambda: on_screen(app, "does not reach"))
        assert engine.whys == [(*rows, 0, "")] and on_screen(app, "(ping)")


async def test_asked_again_and_the_other_way_round(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "space", "W")
        await until(pilot, lambda: on_screen(app, "does not reach"))
        engine.hops = (*WAY, Hop(title="db answers", shown="after 0.1 ms"))
        await pilot.press("r")
        await until(pilot, lambda: on_screen(app, "✔ db answers"))
        assert not on_screen(app, "does not reach") and on_screen(app, "reaches")
        await pilot.press("x")
        await until(pilot, lambda: len(engine.whys) == 3)
        assert engine.whys[2][:2] == engine.whys[1][1::-1]


async def test_what_is_only_noted_is_told(engine: ScriptedEngine) -> None:
    engine.hops = (
        *WAY,
        Hop(title="web finds db by its name", shown="no names", outcome=Outcome.NOTED, why="only by its address"),
    )
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "space", "W")
        await until(pilot, lambda: on_screen(app, "! web finds db by its name"))
        assert on_screen(app, "only by its address.")


async def test_what_cannot_be_asked_is_a_sentence(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("W", *"nobody", "enter")
        await until(pilot, lambda: on_screen(app, "✘ No such container: nobody"))
        await pilot.press("e", "tab", "tab", *"http", "enter")
        await until(pilot, lambda: on_screen(app, "'http' is no port"))
        await pilot.press("e")
        assert isinstance(app.screen.focused, Input)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, WhyScreen))


async def test_an_end_that_is_missing_is_asked_for(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("W", "enter")
        assert isinstance(app.screen, WhyScreen) and app.screen.focused and app.screen.focused.id == "to" and not engine.whys


async def test_the_path_can_be_copied(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "space", "W")
        await until(pilot, lambda: on_screen(app, "does not reach"))
        await pilot.press("c")
        assert "✘ The firewall lets it pass" in app.clipboard and app.clipboard.splitlines()[0].startswith("✔ web runs")
