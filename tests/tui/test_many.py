"""Marks and what is done to all that are marked, undo, renaming, and the order of the table."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual.widgets import Button

from engine.model.errors import HostFailed
from engine.model.frames import Changed, Gone
from engine.model.status import Status
from engine.model.world import World
from tests.tui.made import row, sample, sampled
from tests.tui.piloting import SMALL, choose, dashboard, main, on_screen, seen, until
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.screens.bulk import Bulk
from tui.screens.dialogs import Menu, Rename


@pytest.fixture
def engine() -> ScriptedEngine:
    rows = [row(name) for name in ("api", "cache", "web")] + [row("job", Status.EXITED)]
    return ScriptedEngine(World(containers={r.id: r for r in rows}))


def asked(engine: ScriptedEngine) -> list[tuple[str, str, dict[str, Any]]]:
    names = {r.id: r.name for r in engine.world.containers.values()}
    return [(verb, names.get(target, target), params) for kind, verb, target, params in engine.calls if kind == "do"]


def marked(app: LongshoreApp) -> list[str]:
    return [r.name for r in main(app).aimed] if main(app).marks else []


def table(app: LongshoreApp) -> list[str]:
    return [r.name for r in main(app).table.rows]


async def test_marks_are_set_counted_and_cleared(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "space")
        await until(pilot, lambda: marked(app) == ["api", "cache"])
        assert on_screen(app, "2 marked") and sum("●" in text for text in seen(app)[1:]) == 2
        assert on_screen(app, "stop 2")
        await pilot.press("g", "space")
        await until(pilot, lambda: marked(app) == ["cache"])
        await pilot.press("u")
        await until(pilot, lambda: marked(app) == [] and not on_screen(app, "marked"))


async def test_a_range_goes_from_the_last_mark_to_here(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "G", "V")
        await until(pilot, lambda: marked(app) == ["api", "cache", "web", "job"])
        engine.publish(Gone(id=engine.find("web").id))
        await until(pilot, lambda: marked(app) == ["api", "cache", "job"])
        await pilot.press("escape")
        await until(pilot, lambda: not main(app).marks)


async def test_many_are_stopped_after_their_plan_was_shown(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "G", "V", "s")
        await until(pilot, lambda: isinstance(app.screen, Bulk))
        await until(pilot, lambda: on_screen(app, "left alone: it is exited") and on_screen(app, "docker stop api cache web"))
        assert not asked(engine)
        assert isinstance(app.focused, Button) and app.focused.id == "cancel"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is main(app))
        assert not asked(engine)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.focused, Button))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: on_screen(app, "✔ api") and on_screen(app, "✔ web"))
        assert sorted(asked(engine)) == [("stop", name, {}) for name in ("api", "cache", "web")]
        await pilot.press("enter")
        await until(pilot, lambda: on_screen(app, "✔ 3 done"))


async def test_each_failure_is_told_with_its_container(engine: ScriptedEngine) -> None:
    do = engine.do

    async def refuse(verb: str, target: str = "", params: Any = None) -> Any:
        if target == engine.find("cache").id:
            raise HostFailed("cannot freeze cache: the kernel said no")
        return await do(verb, target, params or {})

    engine.do = refuse  # type: ignore[method-assign]
    async with dashboard(engine, SMALL) as (app, pilot):
        await pilot.press("g", "space", "space", "p")
        await until(pilot, lambda: isinstance(app.focused, Button))
        await pilot.press("tab", "enter")
        await until(
            pilot, lambda: on_screen(app, "✘ cache") and on_screen(app, "the kernel said no") and on_screen(app, "✔ api")
        )
        await pilot.press("escape")
        await until(pilot, lambda: on_screen(app, "✘ 1 of 2 failed, 1 done"))


async def test_a_plan_goes_on_when_its_dialog_is_closed(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "space", "r")
        await until(pilot, lambda: isinstance(app.focused, Button))
        await pilot.press("tab", "enter", "escape")
        await until(pilot, lambda: on_screen(app, "✔ 2 done"))
        assert sorted(asked(engine)) == [("restart", "api", {}), ("restart", "cache", {})]


@pytest.mark.parametrize(
    ("keys", "call"),
    [(("d",), ("remove", {"force": True})), (("K", "j", "enter"), ("kill", {"signal": "TERM"}))],
)
async def test_many_are_removed_or_killed(engine: ScriptedEngine, keys: tuple[str, ...], call: tuple[str, Any]) -> None:
    ids = {engine.find("api").id, engine.find("cache").id}
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "space", *keys)
        await until(pilot, lambda: isinstance(app.screen, Bulk) and isinstance(app.focused, Button))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: len([c for c in engine.calls if c[0] == "do"]) == 2)
        assert {target for kind, _, target, _ in engine.calls if kind == "do"} == ids
        assert all((verb, params) == call for kind, verb, _, params in engine.calls if kind == "do")


@pytest.mark.parametrize(
    ("name", "key", "did", "undid"),
    [("api", "p", "pause", "unpause"), ("api", "s", "stop", "start"), ("job", "s", "start", "stop")],
)
async def test_undo_takes_the_last_deed_back(engine: ScriptedEngine, name: str, key: str, did: str, undid: str) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, name)
        await pilot.press(key)
        await until(pilot, lambda: app.notice.tone == "good")
        await pilot.press("U")
        await until(pilot, lambda: on_screen(app, f"$ docker {undid} {name}"))
        assert [verb for verb, _, _ in asked(engine)] == [did, undid]


async def test_undo_of_many_shows_its_plan(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g", "space", "space", "p")
        await until(pilot, lambda: isinstance(app.focused, Button))
        await pilot.press("tab", "enter", "escape")
        await until(pilot, lambda: on_screen(app, "✔ 2 done"))
        await pilot.press("U")
        await until(pilot, lambda: isinstance(app.screen, Bulk) and on_screen(app, "docker unpause api cache"))


async def test_what_nothing_undoes_is_said(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("U")
        await until(pilot, lambda: on_screen(app, "nothing was done from here yet"))
        await choose(pilot, app, "job")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.focused, Button))
        await pilot.press("right", "enter")
        await until(pilot, lambda: "job" not in table(app))
        await pilot.press("U")
        await until(pilot, lambda: on_screen(app, "cannot take back the remove of job"))


async def test_rename_from_the_palette_and_back(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        rename = next(c for c in app.get_system_commands(main(app)) if c.title == "rename")
        await rename.callback()
        await until(pilot, lambda: isinstance(app.screen, Rename))
        await pilot.press("ctrl+u", *"api")
        await until(pilot, lambda: on_screen(app, "✘ the name api is taken"))
        await pilot.press("enter", "ctrl+u", *"shop")
        await until(pilot, lambda: on_screen(app, "$ docker rename web shop"))
        await pilot.press("enter")
        await until(pilot, lambda: "shop" in table(app))
        await pilot.press("U")
        await until(pilot, lambda: "web" in table(app) and on_screen(app, "$ docker rename shop web"))


async def test_the_order_is_chosen_turned_round_and_kept(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        web, api = engine.find("web").id, engine.find("api").id
        engine.publish(sampled(sample(web, cpu=90.0), sample(api, cpu=5.0)))
        await until(pilot, lambda: app.scene.meter(web).cpu_shown == 90)
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: table(app) == ["web", "api", "cache", "job"] and on_screen(app, "CPU▾"))
        await pilot.press("tilde")
        await until(pilot, lambda: table(app) == ["job", "cache", "api", "web"] and on_screen(app, "CPU▴"))
        engine.publish(Changed(row=row("aaa")))
        await until(pilot, lambda: "aaa" in table(app))
        assert main(app).table.order.column == "cpu"
        await pilot.press("shift+left")
        await until(pilot, lambda: table(app) == ["aaa", "api", "cache", "web", "job"])


async def test_rows_do_not_jump_with_every_sample(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        web, api = engine.find("web").id, engine.find("api").id
        engine.publish(sampled(sample(web, cpu=90.0), sample(api, cpu=5.0)))
        await until(pilot, lambda: app.scene.meter(web).cpu_shown == 90)
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: table(app)[0] == "web")
        for _ in range(4):
            meters = app.scene.meters
            engine.publish(sampled(sample(web, cpu=1.0), sample(api, cpu=99.0)))
            await until(pilot, lambda meters=meters: app.scene.meters is not meters)  # type: ignore[misc]
        assert table(app)[0] == "web"
        main(app).table._sorted = (0.0, main(app).table.order)
        engine.publish(sampled(sample(web, cpu=1.0), sample(api, cpu=99.0)))
        await until(pilot, lambda: table(app)[0] == "api")


async def test_restarting_is_shown_with_its_next_try_and_its_count(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        due = app.scene.now
        waiting = row("web", Status.RESTARTING, exit_code=3, policy="always", restarts=4, restart_at=due)
        engine.publish(Changed(row=waiting))
        await until(pilot, lambda: on_screen(app, f"next try {due.astimezone():%H:%M:%S}"))
        assert on_screen(app, "restarting") and on_screen(app, "4↻") and on_screen(app, "1 restarting")
        await choose(pilot, app, "web")
        await pilot.press("s")
        await until(pilot, lambda: asked(engine) == [("stop", "web", {})])


async def test_read_only_refuses_all_that_changes(engine: ScriptedEngine) -> None:
    async with dashboard(engine, read_only=True) as (app, pilot):
        await pilot.press("g", "space", "space")
        for key in ("s", "p", "r", "d", "K", "U", "e", "a"):
            app.notice = replace(app.notice, text="")
            await pilot.press(key)
            await until(pilot, lambda: on_screen(app, "this dashboard is read-only"))
            assert app.screen is main(app)
        await main(app).run_action("rename")
        assert not [call for call in engine.calls if call[0] in ("do", "exec", "attach")]


async def test_a_menu_is_not_opened_for_marks_that_nothing_can_be_done_to(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "job")
        await pilot.press("space", "p")
        await until(pilot, lambda: on_screen(app, "cannot pause or unpause any of the 1 marked containers as they are"))
        assert not isinstance(app.screen, Menu | Bulk)
