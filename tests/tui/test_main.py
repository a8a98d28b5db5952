"""The main screen: frames in, cells and engine calls out."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from textual.widgets import Button, Input, OptionList

from engine.model.errors import Conflict
from engine.model.frames import Changed, Gone, NetworksChanged
from engine.model.interface import LogLine
from engine.model.world import Freezer, World
from tests.tui.made import BEGAN, BRIDGE, row, sampled
from tests.tui.piloting import SMALL, WIDE, choose, chosen, dashboard, main, on_screen, seen, settled, until
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.feed import Delivery
from tui.screens.dialogs import Confirm, Menu, NewContainer
from tui.screens.help import Help
from tui.view.figures import Meter


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def asked(engine: ScriptedEngine) -> list[tuple[str, str, dict[str, Any]]]:
    return [(verb, target, params) for kind, verb, target, params in engine.calls if kind == "do"]


def painted(app: LongshoreApp, meters: dict[str, Meter]) -> bool:
    return app.scene.meters is not meters


async def test_the_world_is_painted_wide(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "✔ Mount the layers"))
        text = "\n".join(seen(app))
        for part in (
            "1 Containers · 1 running · 1 frozen · 1 exited",
            "2 Layers · db · union mounted",
            "3 Networks",
            "[Steps]  Logs",
        ):
            assert part in text
        for part in ("FROZEN", "128/512 MB", "nat ✔", "● live", "containerd 1.6.20", "n new"):
            assert part in text


async def test_small_shows_one_pane_at_a_time_with_the_same_keys(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        for key, title in (("2", "2 Layers"), ("3", "3 Networks"), ("4", "4 db"), ("1", "1 Containers")):
            await pilot.press(key)
            await until(pilot, partial(on_screen, app, title))
            assert sum(pane.display for pane in main(app).panes) == 1
        await pilot.press("tab")
        await until(pilot, lambda: on_screen(app, "2 Layers"))


@pytest.mark.parametrize("size", [(40, 12), (20, 8), (200, 60)])
async def test_no_size_is_refused(engine: ScriptedEngine, size: tuple[int, int]) -> None:
    async with dashboard(engine, size) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "web"))


async def test_growing_shows_all_panes_again(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await pilot.resize_terminal(*WIDE)
        await until(pilot, lambda: on_screen(app, "3 Networks") and on_screen(app, "2 Layers"))


async def test_frames_are_folded_into_what_is_seen(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        web = engine.find("web")
        engine.publish(Changed(row=replace(web, freezer=Freezer(kernel="frozen", asked=False, self_frozen=True))))
        await until(pilot, lambda: on_screen(app, "FROZEN from outside"))
        engine.publish(Changed(row=row("fresh")), NetworksChanged(networks={BRIDGE.id: replace(BRIDGE, nat=False)}))
        await until(pilot, lambda: on_screen(app, "fresh") and on_screen(app, "! nat ✘ gone"))
        engine.publish(Gone(id=row("fresh").id))
        await until(pilot, lambda: not on_screen(app, "fresh"))


async def test_a_burst_of_frames_is_one_assignment(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        scenes: list[Any] = []
        app.watch(app, "scene", lambda scene: scenes.append(scene), init=False)
        engine.publish(*(Changed(row=row(f"c{n}")) for n in range(200)))
        await until(pilot, lambda: len(app.scene.world.containers) == 203)
        assert len(scenes) <= 2


async def test_the_selection_stays_with_its_container(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        web = await choose(pilot, app, "web")
        engine.publish(Changed(row=row("aaa")))
        await until(pilot, lambda: on_screen(app, "aaa"))
        assert main(app).selected == web
        engine.publish(Gone(id=web))
        await until(pilot, lambda: bool(main(app).row) and main(app).selected != web)


@pytest.mark.parametrize(
    ("name", "key", "verb", "command"),
    [
        ("web", "s", "stop", "docker stop web"),
        ("job-17", "s", "start", "docker start job-17"),
        ("web", "p", "pause", "docker pause web"),
        ("db", "p", "unpause", "docker unpause db"),
    ],
)
async def test_keys_ask_the_engine_and_show_the_docker_command(
    engine: ScriptedEngine, name: str, key: str, verb: str, command: str
) -> None:
    async with dashboard(engine) as (app, pilot):
        id = await choose(pilot, app, name)
        await pilot.press(key)
        await until(pilot, lambda: app.notice.tone == "good")
        assert asked(engine) == [(verb, id, {})]
        assert on_screen(app, f"$ {command}")


async def test_a_key_that_is_not_allowed_says_why_and_asks_nothing(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "job-17")
        await pilot.press("p")
        await until(pilot, lambda: on_screen(app, "cannot pause or unpause job-17: it is exited"))
        assert not asked(engine)


async def test_an_error_is_a_sentence_until_esc(engine: ScriptedEngine) -> None:
    engine.fails["stop"] = Conflict("cannot stop web: it is being walked through step by step", "wait for the lesson to end")
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("s")
        await until(pilot, lambda: on_screen(app, "✘ cannot stop web: it is being walked through step by step; wait for"))
        await pilot.press("escape")
        await until(pilot, lambda: not on_screen(app, "✘ cannot stop"))


@pytest.mark.parametrize("keys", [("enter",), ("escape",)])
async def test_remove_defaults_to_cancel(engine: ScriptedEngine, keys: tuple[str, ...]) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "job-17")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert isinstance(app.focused, Button) and app.focused.id == "cancel"
        await pilot.press(*keys)
        await until(pilot, lambda: app.screen is main(app))
        assert not asked(engine)


@pytest.mark.parametrize(("name", "params"), [("job-17", {}), ("web", {"force": True})])
async def test_remove_is_asked_for_and_forced_where_it_lives(engine: ScriptedEngine, name: str, params: dict[str, Any]) -> None:
    async with dashboard(engine) as (app, pilot):
        id = await choose(pilot, app, name)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert on_screen(app, "force") == bool(params)
        await pilot.press("right", "enter")
        await until(pilot, lambda: id not in app.scene.world.containers)
        assert asked(engine) == [("remove", id, params)]


async def test_kill_asks_for_the_signal_and_defaults_to_none(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        id = await choose(pilot, app, "web")
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is main(app))
        assert not asked(engine)
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: bool(asked(engine)))
        assert asked(engine) == [("kill", id, {"signal": "KILL"})]


async def test_new_makes_what_the_form_says_and_selects_it(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewContainer))
        await pilot.press(*"shop", "tab", *"sleep 9", "tab", *"true")
        await until(pilot, lambda: on_screen(app, "--name shop"))
        await pilot.press("enter")
        await until(pilot, lambda: chosen(app) == "shop")
        check = {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000}
        body = {"Image": "busybox:latest", "Cmd": ["sleep", "9"], "Healthcheck": check}
        assert asked(engine) == [("create", "", {"name": "shop", "body": body})]


async def test_new_says_what_cannot_be_right(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewContainer))
        await pilot.press(*"web", "enter")
        await until(pilot, lambda: on_screen(app, "✘ the name web is taken"))
        app.screen.query_one("#name", Input).value = "free"
        app.screen.query_one("#command", Input).value = "sh -c 'open"
        await until(pilot, lambda: on_screen(app, "close the quotes"))
        await pilot.press("enter", "escape")
        assert not asked(engine)


async def test_read_only_is_seen_and_refuses(engine: ScriptedEngine) -> None:
    async with dashboard(engine, read_only=True) as (app, pilot):
        assert on_screen(app, "read-only")
        await pilot.press("s", "p", "d", "K", "n", "t")
        await until(pilot, lambda: on_screen(app, "this dashboard is read-only"))
        assert app.screen is main(app)
        assert not engine.calls


async def test_the_filter_narrows_and_esc_shows_all(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("slash", *"nginx")
        await until(pilot, lambda: len(main(app).table.rows) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: on_screen(app, "filter: nginx"))
        await pilot.press("escape")
        await until(pilot, lambda: len(main(app).table.rows) == 3)
        await pilot.press("z")
        await until(pilot, lambda: len(main(app).table.rows) == 2)


async def test_letters_typed_into_the_filter_are_no_commands(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("slash", *"sdpq", "delete", "escape")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "table")
        assert not engine.calls
        assert app.is_running


async def test_esc_never_quits_and_q_does(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press(*["escape"] * 4)
        assert app.is_running and app._exit is False
        await pilot.press("q")
        assert app._exit is True


async def test_what_the_engine_tells_while_the_dashboard_goes_is_nobodys(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    async with dashboard(engine) as (app, _pilot):
        screen, close = main(app), app._close_all

        async def closing() -> None:
            await app._prune(screen)
            scene = app.scene
            app._delivered(
                Delivery(world=scene.world, meters=scene.meters, link=scene.link, touched=frozenset({screen.selected}))
            )
            told.append(screen.selected)
            await close()

        monkeypatch.setattr(app, "_close_all", closing)
    assert told


async def test_help_and_palette_open_and_close(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help) and on_screen(app, "Freeze its processes"))
        await pilot.press("escape", "colon")
        await until(pilot, lambda: type(app.screen).__name__ == "CommandPalette")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))


async def test_a_command_of_the_palette_is_carried_out(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        id = await choose(pilot, app, "web")
        stop = next(c for c in app.get_system_commands(main(app)) if c.title.endswith("(s)"))
        await stop.callback()
        await until(pilot, lambda: bool(asked(engine)))
        assert asked(engine) == [("stop", id, {})]


async def test_logs_are_shown_without_their_escapes(engine: ScriptedEngine) -> None:
    engine.lines = [
        LogLine(stream="stdout", time=BEGAN, log=b"\x1b[31mhello\x1b[0m\n"),
        LogLine(stream="stderr", time=BEGAN, log=b"trouble\n"),
    ]
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("l")
        await until(pilot, lambda: on_screen(app, "  hello") and on_screen(app, "! trouble"))
        assert on_screen(app, "Steps  [Logs]")


async def test_long_logs_end_at_the_end(engine: ScriptedEngine) -> None:
    engine.lines = [LogLine(stream="stdout", time=BEGAN, log=f"line {n}.\n".encode()) for n in range(300)]
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("l")
        await until(pilot, lambda: on_screen(app, "line 299."))
        await pilot.press("g")
        await until(pilot, lambda: on_screen(app, "line 0."))


async def test_copy_writes_the_docker_command(engine: ScriptedEngine) -> None:
    async with dashboard(engine, docker="docker -H unix:///x.sock") as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard == "docker -H unix:///x.sock inspect web")
        await pilot.press("p")
        await until(pilot, lambda: app.notice.tone == "good" and "pause" in app.notice.command)
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard == "docker -H unix:///x.sock pause web")


async def test_held_still_nothing_moves_until_let_go(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "+1 ~1 -1") and on_screen(app, "✔ Mount the layers"))
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: on_screen(app, "held"))
        before = await settled(pilot, app)
        engine.publish(Changed(row=row("fresh")))
        await until(pilot, lambda: "fresh" in {r.name for r in app.feed.world.containers.values()})
        await pilot.pause(0.15)
        assert seen(app) == before
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: on_screen(app, "fresh") and not on_screen(app, "held"))


async def test_a_lost_engine_is_said_with_its_next_try_and_found_again(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.feed.RETRY_SECONDS", (0.3,))
    async with dashboard(engine) as (app, pilot):
        engine.cut("the engine's socket is gone")
        await until(pilot, lambda: on_screen(app, "✘ disconnected: the engine's socket is gone"))
        assert on_screen(app, "next try ")
        assert on_screen(app, "1 Containers · 1 running · 1 frozen · 1 exited · ✘ disconnected")
        assert on_screen(app, "web")
        engine.world = World(containers={row("back").id: row("back")})
        engine.down = ""
        await until(pilot, lambda: on_screen(app, "● live") and on_screen(app, "back") and not on_screen(app, "web"))


async def test_no_engine_from_the_start_is_said(engine: ScriptedEngine) -> None:
    engine.down = "nobody answers"
    async with dashboard(engine) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "✘ disconnected: nobody answers"))


async def test_silence_of_a_running_container_is_shown_as_age(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.feed.STALE_SECONDS", (1, 3600))
    async with dashboard(engine) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "◌ 1 s old"))
        engine.publish(sampled())
        await until(pilot, lambda: on_screen(app, "● live"))


async def test_an_empty_world_says_what_to_do() -> None:
    async with dashboard(ScriptedEngine(World())) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "There is no container yet."))
        await pilot.press("s", "p", "d", "K", "l", "enter", "1", "j", "G")
        await until(pilot, lambda: on_screen(app, "n makes one") or on_screen(app, "no container to act on"))


async def test_choosing_a_menu_entry_by_letter_keys(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("G")
        options = app.screen.query_one(OptionList)
        assert options.highlighted == options.option_count - 1
        await pilot.press("g", "j", "k", "escape")
        await until(pilot, lambda: app.screen is main(app))
