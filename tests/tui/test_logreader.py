"""Reading logs: following, holding still, merging, going on after a break, back into the past, and in a flood."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.geometry import Region

from engine.model.errors import Unavailable
from engine.model.frames import Changed
from tests.tui.piloting import dashboard, on_screen, until
from tests.tui.reading import counted, foot, press, read, said, shown, tab
from tests.tui.scripted import ScriptedEngine
from tests.tui.test_typeahead import burst
from tui.panes.logs import LogsTab
from tui.view import logs
from tui.widgets.lines import Sheet


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


async def test_they_follow_what_is_said(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(100))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 99")
        engine.say("db", *counted(3, start=100))
        await until(pilot, lambda: shown(app)[-1] == "  line 102")
        assert "● follow" in foot(app)


async def test_f_holds_the_view_still_and_lets_it_go_on(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(100))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 99")
        await press(pilot, "f")
        before = shown(app)
        engine.say("db", *counted(3, start=100))
        await until(pilot, lambda: "◌ held · ↓ 3 new lines below" in foot(app))
        assert shown(app) == before
        await press(pilot, "f")
        assert shown(app)[-1] == "  line 102"
        assert "● follow" in foot(app)


async def test_reading_back_holds_the_view_also_while_the_oldest_lines_go(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.logreader.LINES", 60)
    engine.say("db", *counted(60))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 59")
        await press(pilot, "k", "k", "k")
        before = shown(app)
        engine.say("db", *counted(20, start=60))
        await until(pilot, lambda: "↓ 20 new lines below" in foot(app))
        assert shown(app) == before
        await press(pilot, "G")
        assert shown(app)[-1] == "  line 79"
        assert "● follow" in foot(app)


async def test_a_held_view_stays_in_a_flood_which_is_read_on_later(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.logreader.LINES", 60)
    engine.say("db", *counted(60))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 59")
        await press(pilot, "k", "k", "k")
        before = shown(app)
        engine.say("db", *counted(500, start=60))
        await until(pilot, lambda: "↓ 60 new lines below, and more" in foot(app))
        assert shown(app) == before
        await press(pilot, "g", "k")
        assert on_screen(app, "older lines: docker logs db")
        await press(pilot, "f")
        await until(pilot, lambda: shown(app)[-1] == "  line 559")
        assert len(tab(app).page.entries) == 60


async def test_a_held_view_repaints_nothing_but_its_state(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.say("db", *counted(100))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 99")
        await press(pilot, "k")
        engine.say("db", *counted(1, start=100))
        await until(pilot, lambda: "↓ 1 new line below" in foot(app))
        marked: list[Region | None] = []
        refresh = Sheet.refresh

        def record(sheet: Sheet, *regions: Region, repaint: bool = True, **how: Any) -> Sheet:
            if repaint and isinstance(sheet, LogsTab):
                marked.extend(regions or (None,))
            return refresh(sheet, *regions, repaint=repaint, **how)

        monkeypatch.setattr(Sheet, "refresh", record)
        engine.say("db", *counted(1, start=101))
        await until(pilot, lambda: "↓ 2 new lines below" in foot(app))
        assert marked
        assert all(region and region.y == tab(app).view_height for region in marked)


async def test_marked_containers_are_merged_in_time_order_with_their_names(engine: ScriptedEngine) -> None:
    engine.say("db", said("one", 1), said("three", 3, "stderr"))
    engine.say("web", said("two", 2))
    async with dashboard(engine) as (app, pilot):
        await press(pilot, "g", "space", "space")
        await read(pilot, app, "three")
        await until(pilot, lambda: shown(app)[:4] == ["  db  one", "  web two", "! db  three", ""])
        assert "2 containers" in foot(app)
        engine.say("web", said("four", 4))
        engine.say("db", said("five", 5))
        await until(pilot, lambda: shown(app)[3:5] == ["  web four", "  db  five"])
        await press(pilot, "alt+1", "u", "g")
        await until(pilot, lambda: shown(app)[:4] == ["  one", "! three", "  five", ""])


async def test_turning_the_tab_away_and_back_goes_on_where_it_was(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(100))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 99")
        await press(pilot, "m", "pageup")
        before = shown(app)
        await press(pilot, "left_square_bracket")
        engine.say("db", *counted(5, start=100))
        await press(pilot, "right_square_bracket")
        await until(pilot, lambda: "↓ 5 new lines below" in foot(app))
        assert shown(app) == before
        assert [e.text for e in tab(app).page.entries if e.stream != logs.NOTE] == [f"line {n}" for n in range(105)]


async def test_lines_of_one_moment_are_neither_lost_nor_doubled_by_a_break(engine: ScriptedEngine) -> None:
    engine.say("db", said("a", 1), said("b", 1))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "b")
        await press(pilot, "left_square_bracket")
        engine.say("db", said("c", 1), said("d", 2))
        await press(pilot, "right_square_bracket")
        await until(pilot, lambda: "  d" in shown(app))
        assert shown(app)[:5] == ["  a", "  b", "  c", "  d", ""]


async def test_what_a_break_has_swallowed_is_said(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.logreader.LINES", 10)
    engine.say("db", *counted(5))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 4")
        await press(pilot, "left_square_bracket")
        engine.say("db", *counted(50, start=5))
        await press(pilot, "right_square_bracket")
        await until(pilot, lambda: "  line 54" in shown(app))
        texts = [e.text for e in tab(app).page.entries]
        assert texts == [*(f"line {n}" for n in range(5)), "lines are left out here", *(f"line {n}" for n in range(45, 55))]


async def test_scrolling_past_the_top_fetches_older_lines(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.logreader.LINES", 50)
    monkeypatch.setattr("tui.logreader.OLDER", 30)
    engine.say("db", *counted(100))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 99")
        await press(pilot, "g")
        await until(pilot, lambda: len(tab(app).page.entries) == 80)
        assert shown(app)[0] == "  line 50", "the view stays where it is"
        await press(pilot, "g")
        await until(pilot, lambda: len(tab(app).page.entries) == 100)
        await press(pilot, "g")
        assert shown(app)[0] == "  line 0"
        await until(pilot, lambda: tab(app).reader.complete)
        asked = len(engine.queries)
        await press(pilot, "k", "g")
        assert len(engine.queries) == asked
        assert [e.text for e in tab(app).page.entries] == [f"line {n}" for n in range(100)]


async def test_an_error_is_shown_below_what_was_said_and_goes_when_it_is_over(engine: ScriptedEngine) -> None:
    engine.say("db", said("hello"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "hello")
        await press(pilot, "left_square_bracket")
        logs_of, trouble = engine.logs, Unavailable("the engine does not answer")

        def broken(*args: Any, **options: Any) -> Any:
            raise trouble

        engine.logs = broken  # type: ignore[method-assign]
        await press(pilot, "right_square_bracket")
        await until(pilot, lambda: shown(app)[:2] == ["  hello", "✘ the engine does not answer"])
        engine.logs = logs_of  # type: ignore[method-assign]
        engine.publish(Changed(row=engine.find("db")))
        engine.say("db", said("again", 1))
        await until(pilot, lambda: shown(app)[:3] == ["  hello", "  again", ""])


async def test_a_silent_container_is_said_to_be(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "It has said nothing yet.")


async def test_the_held_screen_holds_the_logs_too(engine: ScriptedEngine) -> None:
    engine.say("db", said("before"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "before")
        await press(pilot, "exclamation_mark")
        engine.say("db", said("after"))
        await until(pilot, lambda: bool(tab(app).reader.book._waiting))
        await pilot.pause(0.15)
        assert not on_screen(app, "after")
        await press(pilot, "exclamation_mark")
        await until(pilot, lambda: on_screen(app, "after"))


async def test_a_flood_freezes_nothing_and_stays_bounded(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(10))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 9")
        engine.say("db", *counted(200_000, start=10))
        logs_tab, answered, most = tab(app), 0, 0
        while not any("line 200009" in line for line in shown(app)):  # the pilot would wait until nothing runs any more
            times = logs_tab.state.times
            burst(app, "t")
            while logs_tab.state.times == times:
                await asyncio.sleep(0.001)
            answered += 1
            await asyncio.sleep(0.1)  # a person's pace: a key is a painting, and they would take all the time there is
            book = logs_tab.reader.book
            most = max(most, len(book.entries) + len(book._waiting))
        assert answered > 3, "keys are answered while it pours"
        assert most <= 3 * logs.LINES
        assert len(logs_tab.page.entries) == logs.LINES
