"""The tabs of pane 4: fetched for the selected container, painted as it changes, acted from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from engine.model.frames import Changed
from engine.model.status import Status
from tests.tui.made import probe, row
from tests.tui.piloting import SMALL, choose, dashboard, main, on_screen, seen, show_tab, until
from tests.tui.scripted import ScriptedEngine
from tui.panes.processes import ProcessesTab
from tui.screens.dialogs import Menu, Tell


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def kinds(engine: ScriptedEngine, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [(verb, target, params) for k, verb, target, params in engine.calls if k == kind]


async def open_tab(pilot: Any, app: Any, label: str) -> None:
    show_tab(app, label)
    await pilot.press("4")
    await until(pilot, lambda: on_screen(app, f"[{label}]"))


async def test_health_shows_the_probes_and_follows_them(engine: ScriptedEngine) -> None:
    engine.probes = (probe(0, "fine"), probe(1, "503 from upstream", second=5))
    async with dashboard(engine) as (app, pilot):
        id = await choose(pilot, app, "web")
        await open_tab(pilot, app, "Health")
        await until(pilot, lambda: on_screen(app, "503 from upstream") and on_screen(app, "✔ healthy"))
        engine.probes = (*engine.probes, probe(1, "still 503", second=10))
        engine.publish(Changed(row=replace(engine.find("web"), health="unhealthy", streak=2)))
        await until(pilot, lambda: on_screen(app, "still 503") and on_screen(app, "✘ unhealthy 2×"))
        assert on_screen(app, "P probe now")
        await pilot.press("P")
        await until(pilot, lambda: on_screen(app, "✘ the probe of web: exit 1"))
        assert kinds(engine, "probe") == [("", id, {})]


async def test_a_probe_is_opened_whole(engine: ScriptedEngine) -> None:
    engine.probes = (probe(1, "\n".join(f"row {n}." for n in range(6))),)
    async with dashboard(engine, SMALL) as (app, pilot):
        await choose(pilot, app, "web")
        await open_tab(pilot, app, "Health")
        await until(pilot, lambda: on_screen(app, "… 3 more lines") and not on_screen(app, "row 5."))
        await pilot.press("enter")
        await until(pilot, lambda: on_screen(app, "row 5."))


async def test_what_cannot_be_probed_says_why(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "job-17")
        await open_tab(pilot, app, "Health")
        await until(pilot, lambda: on_screen(app, "has no health check"))
        await pilot.press("P")
        await until(pilot, lambda: on_screen(app, "✘ cannot probe job-17"))


async def test_a_process_is_killed_from_here_and_no_other(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        id = await choose(pilot, app, "web")
        await open_tab(pilot, app, "Processes")
        await until(pilot, lambda: on_screen(app, "nginx: cache manager"))
        await pilot.press("j", "j", "K")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        assert on_screen(app, "process 4261, nginx: cache manager")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is main(app))
        assert not kinds(engine, "signal")
        await pilot.press("K", "j", "enter")
        await until(pilot, lambda: on_screen(app, "✔ sent to nginx: cache manager"))
        assert kinds(engine, "signal") == [("TERM", id, {"pid": 4261})] and not kinds(engine, "do")
        await until(pilot, lambda: sum("cache manager" in text for text in seen(app)) == 1)  # in the message alone


async def test_processes_are_looked_at_again_only_while_they_are_seen(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessesTab, "every", 0.05)
    async with dashboard(engine, SMALL) as (app, pilot):
        await choose(pilot, app, "web")
        await open_tab(pilot, app, "Processes")
        await until(pilot, lambda: len(kinds(engine, "top")) > 3)
        await pilot.press("1")
        await pilot.pause(0.2)
        asked = len(kinds(engine, "top"))
        await asyncio.sleep(0.3)
        assert len(kinds(engine, "top")) <= asked
        await pilot.press("4")
        await until(pilot, lambda: len(kinds(engine, "top")) > asked)


async def test_processes_keep_the_cursor_on_one_and_change_their_order(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await open_tab(pilot, app, "Processes")
        await until(pilot, lambda: on_screen(app, "nginx: cache manager"))
        await pilot.press("j", "j", "o")
        await until(pilot, lambda: on_screen(app, "order: cpu"))
        assert any("▸" in text and "cache manager" in text for text in seen(app))


async def test_what_does_not_run_has_no_processes(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "job-17")
        await open_tab(pilot, app, "Processes")
        await until(pilot, lambda: on_screen(app, "It is exited: it has no process."))
        engine.publish(Changed(row=row("job-17", Status.RUNNING, id=engine.find("job-17").id)))
        await until(pilot, lambda: on_screen(app, "nginx: cache manager"))


async def test_inspect_is_searched_folded_and_copied_from(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("i")
        await until(pilot, lambda: on_screen(app, '"Name": "web"'))
        await pilot.press("slash", *"interval", "enter")
        await until(pilot, lambda: on_screen(app, '▸     "Interval"') or any("▸" in t and "Interval" in t for t in seen(app)))
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard == "5000000000")
        await pilot.press("C")
        await until(pilot, lambda: app.clipboard == ".Config.Healthcheck.Interval")
        await pilot.press("n")
        await until(pilot, lambda: any("▸" in t and "StartInterval" in t for t in seen(app)))
        await pilot.press("N", "enter")
        await until(pilot, lambda: on_screen(app, '"Healthcheck": {'))
        await until(pilot, lambda: not on_screen(app, '"Interval": 5000000000'))
        await pilot.press("escape", "escape", "g", "c")
        await until(pilot, lambda: app.clipboard.startswith("{") and '"Interval": 5000000000' in app.clipboard)


async def test_letters_typed_into_a_search_are_no_commands(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("i")
        await until(pilot, lambda: on_screen(app, '"Name": "web"'))
        await pilot.press("slash", *"sdpq", "escape")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "tab-inspect")
        assert not kinds(engine, "do") and app.is_running


async def test_turning_the_tabs_goes_round(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        for label in ("Logs", "Health", "Processes", "Inspect", "Steps"):
            await pilot.press("right_square_bracket")
            await until(pilot, lambda label=label: on_screen(app, f"[{label}]"))  # type: ignore[misc]


async def test_x_says_why(engine: ScriptedEngine) -> None:
    engine.probes = (probe(1, "503 from upstream"),)
    async with dashboard(engine, SMALL) as (app, pilot):
        engine.publish(Changed(row=replace(engine.find("web"), health="unhealthy", streak=3)))
        await choose(pilot, app, "web")
        await until(pilot, lambda: app.scene.world.containers[main(app).selected].streak == 3)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Tell))
        await until(pilot, lambda: on_screen(app, "Why is web running?") and on_screen(app, "503 from upstream"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))


async def test_an_engine_that_fails_is_told_in_the_tab(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        engine.down = "the engine's socket is gone"
        await pilot.press("i")
        await until(pilot, lambda: on_screen(app, "✘ the engine's socket is gone"))
