"""The events as they happen."""

from __future__ import annotations

import pytest

from tests.tui.made import message
from tests.tui.piloting import SMALL, chosen, dashboard, main, on_screen, seen, until
from tests.tui.scripted import ScriptedEngine
from tui.screens.events import EventsScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine()
    engine.happen(message("start", engine.find("db")), message("exec_start: wget", engine.find("web")))
    return engine


async def test_past_and_present_events_are_shown(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await pilot.press("E")
        await until(pilot, lambda: isinstance(app.screen, EventsScreen) and on_screen(app, "start"))
        engine.happen(message("die", engine.find("job-17"), second=1, exitCode="3"))
        await until(pilot, lambda: on_screen(app, "die") and on_screen(app, "exitCode=3"))
        assert any("▸" in text and "die" in text for text in seen(app)) and not on_screen(app, "exec_start")
        await pilot.press("x")
        await until(pilot, lambda: on_screen(app, "exec_start"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))
        await until(pilot, lambda: not engine._listeners)


async def test_events_are_filtered_held_and_led_to_their_container(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await pilot.press("E")
        await until(pilot, lambda: on_screen(app, "start"))
        engine.happen(message("pause", engine.find("web"), second=2))
        await until(pilot, lambda: on_screen(app, "pause"))
        await pilot.press("slash", *"db", "enter")
        await until(pilot, lambda: not on_screen(app, " pause ") and on_screen(app, "filter: db"))
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: on_screen(app, "go on"))
        engine.happen(message("unpause", engine.find("db"), second=3))
        await pilot.pause(0.2)
        assert not on_screen(app, "unpause")
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: on_screen(app, "unpause"))
        await pilot.press("escape", "g")
        await until(pilot, lambda: on_screen(app, "pause"))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is main(app) and chosen(app) == "db")


async def test_a_cursor_that_was_moved_up_stays_with_its_event(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        engine.happen(*(message("start", engine.find("web"), second=n) for n in range(5)))
        await pilot.press("E")
        await until(pilot, lambda: on_screen(app, "6 of 7"))
        await pilot.press("g")
        await until(pilot, lambda: any("▸" in text and "db" in text for text in seen(app)))
        engine.happen(*(message("die", engine.find("web"), second=9) for _ in range(3)))
        await until(pilot, lambda: on_screen(app, "9 of 10"))
        assert any("▸" in text and "db" in text for text in seen(app))


async def test_a_lost_stream_is_taken_up_where_it_broke(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.events.RETRY_SECONDS", (0.2,))
    async with dashboard(engine) as (app, pilot):
        await pilot.press("E")
        await until(pilot, lambda: on_screen(app, "start"))
        db = engine.find("db")
        engine.cut("the engine's socket is gone")
        await until(pilot, lambda: on_screen(app, "✘ the engine's socket is gone; next try"))
        engine.happened.append(message("die", db, second=5))
        engine.down = ""
        await until(pilot, lambda: on_screen(app, "die"))
        assert sum("start" in text for text in seen(app)) == 1
