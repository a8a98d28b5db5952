"""The Logs tab: every key, and what it does with a flood."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from textual._xterm_parser import XTermParser
from textual.geometry import Region
from textual.pilot import Pilot

from engine.model.errors import Unavailable
from engine.model.frames import Changed
from engine.model.interface import LogLine
from tests.tui.piloting import SMALL, dashboard, main, on_screen, seen, until
from tests.tui.scripted import ScriptedEngine
from tests.tui.test_typeahead import burst
from tui.app import LongshoreApp
from tui.panes.logs import LogsTab
from tui.screens.dialogs import NewContainer
from tui.view import logs
from tui.widgets.lines import Sheet

BEGAN = datetime.now(UTC) - timedelta(minutes=30)
Dashboard = AbstractAsyncContextManager[tuple[LongshoreApp, Pilot[None]]]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def said(text: str, seconds: float = 0.0, stream: str = "stdout") -> LogLine:
    return LogLine(stream=stream, time=BEGAN + timedelta(seconds=seconds), log=text.encode() + b"\n")


def counted(count: int, start: int = 0) -> list[LogLine]:
    return [said(f"line {n}", n / 1000) for n in range(start, start + count)]


def tab(app: LongshoreApp) -> LogsTab:
    return main(app).query_one(LogsTab)


def foot(app: LongshoreApp) -> str:
    return "".join(span.text for span in tab(app).foot)


def shown(app: LongshoreApp) -> list[str]:
    """The lines in view, without the state below them."""
    logs = tab(app)
    return ["".join(span.text for span in logs.line_at(y)).rstrip() for y in range(logs.view_height)]


async def read(pilot: Pilot[None], app: LongshoreApp, text: str) -> None:
    """Open the logs, and wait for a text in them."""
    await pilot.press("l")
    await until(pilot, lambda: any(text in line for line in shown(app)))


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()


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


async def test_search_marks_what_matches_and_n_goes_through_it(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(100))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 99")
        await press(pilot, "slash", *"LINE")
        assert "/LINE: not found" in foot(app)
        await press(pilot, *["backspace"] * 4, *"ine .5$")
        assert "/ine .5$: in 9 lines" in foot(app)
        await press(pilot, "enter")
        assert "9 of 9" in foot(app) and "▸ line 95" in shown(app)
        await press(pilot, "N", "N")
        assert "7 of 9" in foot(app) and "▸ line 75" in shown(app) and "◌ held" in foot(app)
        await press(pilot, "n", "n", "n")
        assert "1 of 9" in foot(app) and "▸ line 15" in shown(app)
        assert on_screen(app, "the search goes on at the other end")
        found = [span.text for y in range(tab(app).view_height) for span in tab(app).line_at(y) if span.tone == "found"]
        assert "ine 15" in found


async def test_esc_ends_the_search_then_the_filter_and_n_is_a_new_container_again(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(30))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 29")
        await press(pilot, "ampersand", *"2", "enter")
        await press(pilot, "slash", *"5", "enter")
        assert "/5: 1 of 1" in foot(app) and "&2: 12 of 30" in foot(app)
        await press(pilot, "escape")
        assert "/5" not in foot(app) and "&2" in foot(app)
        await press(pilot, "escape")
        assert "&2" not in foot(app)
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(app.screen, NewContainer))


async def test_what_is_typed_in_one_go_reaches_the_search_line(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(30))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 29")
        burst(app, "/", *"ne 2s", "enter", "n")
        await until(pilot, lambda: tab(app).state.search == "ne 2s" and app.focused is tab(app))
        assert on_screen(app, "nothing matches ne 2s")


@pytest.mark.parametrize("size", [(40, 12), (20, 8), (200, 60)])
async def test_every_key_works_at_any_size(engine: ScriptedEngine, size: tuple[int, int]) -> None:
    engine.say("db", *counted(50), said("long " * 100))
    async with dashboard(engine, size) as (app, pilot):
        await read(pilot, app, "long")
        await press(pilot, *"ttwkkgGmfcf", "slash", *"e 3", "enter", *"nN", "ampersand", *"e", "enter", "pageup", *"40")
        await until(pilot, lambda: bool(tab(app).page.entries))
        assert app.focused is tab(app)


async def test_esc_in_the_search_line_gives_it_up(engine: ScriptedEngine) -> None:
    engine.say("db", *counted(30))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 29")
        await press(pilot, "slash", *"2", "escape")
        assert "/" not in foot(app)
        assert app.focused is tab(app)


async def test_the_filter_shows_only_what_matches_as_it_is_typed_and_as_it_comes(engine: ScriptedEngine) -> None:
    engine.say("db", said("GET /a 200"), said("GET /b 500"), said("POST /c 500"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "POST")
        await press(pilot, "ampersand", *"get .* 500")
        assert shown(app)[0] == "  GET /b 500" and "&get .* 500: 1 of 3" in foot(app)
        await press(pilot, "enter")
        engine.say("db", said("GET /d 500"), said("GET /e 200"))
        await until(pilot, lambda: shown(app)[:2] == ["  GET /b 500", "  GET /d 500"])
        assert "2 of 5" in foot(app)
        await press(pilot, "ampersand", *["backspace"] * 10, *"!get", "enter")
        assert shown(app)[:2] == ["  POST /c 500", ""]
        await press(pilot, "ampersand", *"xyz")
        assert "No line matches the filter" in shown(app)[0]


async def test_lines_wrap_or_move_sideways(engine: ScriptedEngine) -> None:
    engine.say("db", said("head " + "word " * 40 + "tail"))
    async with dashboard(engine, SMALL) as (app, pilot):
        await read(pilot, app, "tail")
        await press(pilot, "w")
        assert shown(app)[0].endswith("›") and shown(app)[1] == ""
        assert "not wrapped" in foot(app)
        await press(pilot, *["right"] * 5)
        assert "tail" in shown(app)[0]
        await press(pilot, *["left"] * 9)
        assert "head" in shown(app)[0]
        await press(pilot, "right", "w")
        assert "head" in shown(app)[0] and any("tail" in line for line in shown(app))


async def test_timestamps_come_in_two_lengths(engine: ScriptedEngine) -> None:
    engine.say("db", said("hello"))
    clock = f"{BEGAN.astimezone():%H:%M:%S}"
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "hello")
        await press(pilot, "t")
        assert shown(app)[0].startswith(f"  {clock}.")
        await press(pilot, "t")
        assert shown(app)[0].startswith(f"  {BEGAN.astimezone():%Y-%m-%d} {clock}.")
        await press(pilot, "t")
        assert shown(app)[0] == "  hello"


async def test_a_mark_stays_between_what_was_said_before_and_after(engine: ScriptedEngine) -> None:
    engine.say("db", said("before"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "before")
        await press(pilot, "m")
        engine.say("db", said("after"))
        await until(pilot, lambda: "  after" in shown(app))
        assert [line[:8] for line in shown(app)[:3]] == ["  before", "── mark ", "  after"]


async def test_time_windows_ask_anew_and_the_panes_are_with_alt(engine: ScriptedEngine) -> None:
    recent = LogLine(stream="stdout", time=datetime.now(UTC), log=b"recent\n")
    engine.say("db", said("half an hour old"), recent)
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "half an hour old")
        for number, minutes in enumerate((1, 5, 15), start=1):
            await press(pilot, str(number))
            await until(pilot, lambda: shown(app)[:2] == ["  recent", ""])
            since = engine.queries[-1]["since"]
            assert timedelta(0) <= datetime.now(UTC) - since - timedelta(minutes=minutes) < timedelta(seconds=20)
        assert "last 15 min" in foot(app)
        await press(pilot, "4")
        await until(pilot, lambda: "  half an hour old" in shown(app))
        await press(pilot, "0")
        await until(pilot, lambda: engine.queries[-1]["since"] is None and "  recent" in shown(app))
        assert main(app).active == 4
        for number in (3, 4, 2):
            (key,) = XTermParser().feed(f"\x1b{number}")  # as a terminal sends Alt and a digit
            await press(pilot, key.key)  # type: ignore[attr-defined]
            assert main(app).active == number
        await press(pilot, "alt+3")
        assert main(app).active == 3
        await press(pilot, "1")
        assert main(app).active == 1


async def test_marks_outlive_a_new_window(engine: ScriptedEngine) -> None:
    engine.say("db", said("x"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "x")
        await press(pilot, "m", "4")
        await until(pilot, lambda: any(line.startswith("── mark") for line in shown(app)))


async def test_an_empty_window_says_so(engine: ScriptedEngine) -> None:
    engine.say("db", said("half an hour old"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "half an hour old")
        await press(pilot, "1")
        await until(pilot, lambda: "Nothing was said in the last 1 min; 0 shows all." in shown(app)[0])


async def test_save_asks_where_says_where_and_overwrites_nothing(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine.say("db", said("\x1b[31mred\x1b[0m"), said("blue"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "red")
        await press(pilot, "ctrl+s", "enter")
        await until(pilot, lambda: on_screen(app, "✔ saved 2 lines in"))
        (file,) = tmp_path.iterdir()
        assert file.name.startswith("db-2") and file.suffix == ".log"
        assert file.read_text() == "red\nblue\n"
        assert app.focused is tab(app)

        (tmp_path / "there.log").write_text("mine")
        await press(pilot, "ctrl+s", "home", "ctrl+k", *"there.log", "enter")
        await until(pilot, lambda: on_screen(app, "there.log exists already; give another name"))
        assert (tmp_path / "there.log").read_text() == "mine"
        await press(pilot, *["backspace"] * 4, *"/x/y", "enter")
        await until(pilot, lambda: on_screen(app, "cannot write"))
        await press(pilot, "escape")
        assert app.focused is tab(app)
        assert len(list(tmp_path.iterdir())) == 2


async def test_copy_takes_the_lines_in_view_or_the_match(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(LongshoreApp, "copy_to_clipboard", lambda app, text: copied.append(text))
    engine.say("db", *counted(3))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "line 2")
        await press(pilot, "c")
        assert on_screen(app, "copied 3 lines")
        await press(pilot, "slash", *"1", "enter", "c")
        assert copied == ["line 0\nline 1\nline 2\n", "line 1\n"]


async def test_marked_containers_are_merged_in_time_order_with_their_names(engine: ScriptedEngine) -> None:
    engine.say("db", said("one", 1), said("three", 3, "stderr"))
    engine.say("web", said("two", 2))
    async with dashboard(engine) as (app, pilot):
        ids = tuple(engine.find(name).id for name in ("web", "db"))
        await read(pilot, app, "three")
        tab(app).mark(ids)
        await until(pilot, lambda: shown(app)[:4] == ["  db  one", "  web two", "! db  three", ""])
        assert "2 containers" in foot(app)
        engine.say("web", said("four", 4))
        engine.say("db", said("five", 5))
        await until(pilot, lambda: shown(app)[3:5] == ["  web four", "  db  five"])
        tab(app).mark(())
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


async def test_nothing_of_a_program_reaches_the_terminal_but_text(engine: ScriptedEngine) -> None:
    nasty = "a\x1b]0;owned\x07b\x1b[2J\x1b[Hc\x9b31md\x1b[?1049he\x1b]52;c;QUJD\x1b\\f\x07\x1bPq\x1b\\g\x1bch\x0e\x1b]0;open"
    engine.say("db", said(nasty), said("50 %\r100 %"))
    async with dashboard(engine, SMALL) as (app, pilot):
        await read(pilot, app, "100 %")
        assert shown(app)[:2] == ["  abcdefgh0;open", "  100 %"]
        assert all(line.isprintable() for line in seen(app))


@pytest.mark.parametrize(("theme", "hidden"), [("longshore-night", {0}), ("longshore-day", {7, 11, 15}), ("ansi-dark", set())])
async def test_colours_stay_but_where_they_would_hide_the_text(engine: ScriptedEngine, theme: str, hidden: set[int]) -> None:
    engine.say("db", *(said(f"\x1b[{30 + n if n < 8 else 82 + n}mcolour") for n in range(16)), said("\x1b[41;37mboth"))
    async with dashboard(engine, SMALL) as (app, pilot):
        app.theme = theme
        await read(pilot, app, "both")
        await press(pilot, "G")
        sheet = tab(app)
        plain = sheet.rich_style.color
        styles = [sheet._style(sheet.page.look.line(e, 0)[1].tone) for e in sheet.page.entries]
        assert {n for n, style in enumerate(styles[:16]) if style.color in (None, plain)} == hidden
        assert all(style.color and style.color.number == n for n, style in enumerate(styles[:16]) if n not in hidden)
        assert styles[16].bgcolor and styles[16].color


async def test_footer_and_help_know_the_keys(engine: ScriptedEngine) -> None:
    engine.say("db", said("x"))
    async with dashboard(engine, SMALL) as (app, pilot):
        assert not on_screen(app, "f follow")
        await read(pilot, app, "x")
        assert on_screen(app, "f follow  / search  & filter")
        await press(pilot, "escape", "question_mark")
        await until(pilot, lambda: on_screen(app, "Keys"))
        await press(pilot, "G")
        keys: Callable[[], bool] = lambda: on_screen(app, "In logs")  # noqa: E731
        for _ in range(10):
            if keys():
                break
            await press(pilot, "pageup")
        assert keys()


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
