"""What is repainted: the cells that have changed, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from textual.geometry import Region

from engine.model.status import Status
from engine.model.world import ContainerRow, World
from tests.tui.made import message, row, sample, sampled
from tests.tui.piloting import choose, chosen, dashboard, main, on_screen, show_tab, until
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.panes.details import DetailsPane
from tui.panes.processes import ProcessesTab
from tui.screens.images import ImagesScreen
from tui.view import containers
from tui.view.figures import Meter
from tui.view.scene import Scene
from tui.view.table import Layout
from tui.view.text import Line
from tui.widgets.lines import Lines


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def asked(engine: ScriptedEngine) -> list[tuple[str, str, dict[str, Any]]]:
    return [(verb, target, params) for kind, verb, target, params in engine.calls if kind == "do"]


def painted(app: LongshoreApp, meters: dict[str, Meter]) -> bool:
    return app.scene.meters is not meters


class Regions:
    """Records what every sheet of lines marks as dirty."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marked: list[tuple[str | None, Region | None]] = []
        refresh = Lines.refresh

        def record(lines: Lines, *regions: Region, **how: Any) -> Lines:
            self.marked += [(lines.id, region) for region in regions or (None,)]
            return refresh(lines, *regions, **how)

        monkeypatch.setattr(Lines, "refresh", record)


async def test_a_changed_figure_repaints_only_its_cells(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with dashboard(engine) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "✔ Mount the layers"))
        regions = Regions(monkeypatch)
        engine.publish(sampled(sample(engine.find("web").id, cpu=50.0)))
        await until(pilot, lambda: app.scene.meters[engine.find("web").id].cpu_shown > 20)
        assert regions.marked
        assert all(region is not None and region.height == 1 for _, region in regions.marked)
        table = [region for id, region in regions.marked if id == "table"]
        assert len(table) == 1
        assert table[0] and table[0].width <= 4


async def test_what_looks_the_same_repaints_nothing(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with dashboard(engine) as (app, pilot):
        await until(pilot, lambda: on_screen(app, "✔ Mount the layers"))
        for _ in range(20):
            engine.publish(sampled(sample(engine.find("web").id)))
            await until(pilot, lambda: app.feed._waiting == [])
        await until(pilot, lambda: app.scene.meters is app.feed.meters)
        app.scene = replace(app.scene, written=0.0)
        await pilot.pause(0.2)
        regions = Regions(monkeypatch)
        for n in range(8):
            meters = app.scene.meters
            engine.publish(sampled(sample(engine.find("web").id, cpu=3.2 + n % 2 * 0.1, rx=3100.0 + n), cpu=12.0 + n % 2 * 0.3))
            await until(pilot, partial(painted, app, meters))
        assert [marked for marked in regions.marked if marked[0] != "header"] == []


async def test_moving_the_cursor_repaints_two_rows(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with dashboard(engine) as (app, pilot):
        await pilot.press("g")
        regions = Regions(monkeypatch)
        await pilot.press("j")
        await until(pilot, lambda: chosen(app) == "web")
        table = [region for id, region in regions.marked if id == "table"]
        assert {region.y for region in table if region} == {0, 1}
        assert all(region and region.height == 1 for region in table)


async def test_only_visible_rows_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"c{n:03}", Status.EXITED) for n in range(500)]
    built: list[str] = []
    body = containers.body

    def record(scene: Scene, r: ContainerRow, columns: Layout) -> Line:
        built.append(r.name)
        return body(scene, r, columns)

    monkeypatch.setattr(containers, "body", record)
    async with dashboard(ScriptedEngine(World(containers={r.id: r for r in rows}))) as (_app, pilot):
        await pilot.pause(0.1)
        assert 5 < len(set(built)) < 60


@pytest.mark.parametrize("label", ["Health", "Processes", "Inspect"])
async def test_an_open_tab_costs_nothing_while_nothing_changes(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    monkeypatch.setattr(ProcessesTab, "every", 0.05)
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        show_tab(app, label)
        await until(pilot, lambda: len(main(app).query_one(DetailsPane).tab.lines) > 3)
        await pilot.pause(0.2)
        regions, asked = Regions(monkeypatch), len(engine.calls)
        for _ in range(4):
            main(app).query_one(DetailsPane).touch()
            await pilot.pause(0.15)
        assert label != "Processes" or len(engine.calls) > asked + 2
        assert [marked for marked in regions.marked if marked[0] == f"tab-{label.lower()}"] == []


async def test_a_changed_process_repaints_its_cells(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProcessesTab, "every", 0.05)
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        show_tab(app, "Processes")
        await until(pilot, lambda: on_screen(app, "nginx: cache manager"))
        regions = Regions(monkeypatch)
        rows = engine.processes.processes
        engine.processes = replace(engine.processes, processes=((*rows[0][:4], "33.3", *rows[0][5:]), *rows[1:]))
        await until(pilot, lambda: on_screen(app, "33.3"))
        marked = [region for id, region in regions.marked if id == "tab-processes"]
        assert len(marked) == 1 and marked[0] and marked[0].height == 1 and marked[0].width <= 5


async def test_events_cost_nothing_while_nothing_happens(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.happen(message("start", engine.find("web")))
    async with dashboard(engine) as (app, pilot):
        await pilot.press("E")
        await until(pilot, lambda: on_screen(app, "start"))
        await pilot.pause(0.2)
        regions = Regions(monkeypatch)
        await pilot.pause(0.5)
        assert [marked for marked in regions.marked if marked[0] == "events"] == []


async def test_what_changes_below_a_screen_repaints_nothing(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, ImagesScreen) and on_screen(app, "History · busybox"))
        regions: list[Any] = []
        monkeypatch.setattr(app.screen, "refresh", lambda *marked, **how: regions.append(marked))
        before = app.scene
        engine.publish(sampled(sample(engine.find("web").id, cpu=50.0), cpu=90.0))
        await until(pilot, lambda: app.scene is not before)
        await pilot.pause(0.2)
        assert regions == []
