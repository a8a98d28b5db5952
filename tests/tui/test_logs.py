"""The Logs tab: every key, and what is seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual._xterm_parser import XTermParser

from engine.model.interface import LogLine
from tests.tui.piloting import SMALL, dashboard, main, on_screen, seen, until
from tests.tui.reading import BEGAN, counted, foot, press, read, said, shown, tab
from tests.tui.scripted import ScriptedEngine
from tests.tui.test_typeahead import burst
from tui.app import LongshoreApp
from tui.screens.dialogs import NewContainer


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


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
        await until(pilot, lambda: on_screen(app, "nothing matches ne 2s"))


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
    now = datetime.now(UTC)
    old = LogLine(stream="stdout", time=now - timedelta(minutes=30), log=b"half an hour old\n")
    engine.say("db", old, LogLine(stream="stdout", time=now, log=b"recent\n"))
    async with dashboard(engine) as (app, pilot):
        await read(pilot, app, "half an hour old")
        for number, minutes in enumerate((1, 5, 15), start=1):
            engine.queries.clear()
            await press(pilot, str(number))
            await until(pilot, lambda: bool(engine.queries) and shown(app)[:2] == ["  recent", ""])
            since = engine.queries[-1]["since"]
            assert timedelta(0) <= datetime.now(UTC) - since - timedelta(minutes=minutes) < timedelta(seconds=20)
        await until(pilot, lambda: "last 15 min" in foot(app))
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
