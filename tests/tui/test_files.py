"""The Layers pane, the tree of files and the comparison, driven by keys."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.model.errors import NotFound
from engine.model.tree import Change, ChangeKind
from engine.model.world import Sample
from tests.tui.made import sampled
from tests.tui.piloting import SMALL, WIDE, choose, dashboard, main, on_screen, seen, until
from tests.tui.scripted import ScriptedEngine
from tests.tui.trees import CHANGES
from tui.panes import layers
from tui.screens.compare import CompareScreen
from tui.screens.files import FilesScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def asked(engine: ScriptedEngine, question: str) -> list[str]:
    return [about for what, about in engine.asked if what == question]


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_the_pane_explains_the_layers(engine: ScriptedEngine, size: tuple[int, int]) -> None:
    async with dashboard(engine, size) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("2")
        await until(pilot, lambda: on_screen(app, "+ /new"))
        if size == WIDE:
            await pilot.press("plus")
        for text in ("union mounted", "ADD file:rootfs.tar", "1 added, 1 changed, 1 deleted", "~ /etc/motd", "- /etc/old"):
            await until(pilot, lambda text=text: on_screen(app, text))  # type: ignore[misc]
        assert on_screen(app, "wasted: 1.5 MB of 6.4 MB") and on_screen(app, "upperdir=")


async def test_changes_show_as_they_happen_and_cost_nothing_when_none_do(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "SECONDS", 0.12)
    async with dashboard(engine, SMALL) as (app, pilot):
        id = await choose(pilot, app, "web")
        await pilot.press("2")
        await until(pilot, lambda: on_screen(app, "+ /new"))
        engine.publish(sampled(Sample(id=id, rw_size=10, changes=3)))
        await until(pilot, lambda: len(asked(engine, "changes")) >= 2)
        await pilot.pause(0.3)
        before = len(asked(engine, "changes"))
        for _ in range(5):
            engine.publish(sampled(Sample(id=id, rw_size=10, changes=3)))
            await pilot.pause(0.15)
        assert len(asked(engine, "changes")) == before
        engine.changes_now = (*CHANGES, Change(path="/newer", kind=ChangeKind.ADDED))
        engine.publish(sampled(Sample(id=id, rw_size=20, changes=4)))
        await until(pilot, lambda: on_screen(app, "+ /newer"))
        lines = [text for text in seen(app) if "+ /" in text]
        assert "/newer" in lines[0]


async def test_an_engine_that_cannot_tell_says_why_in_the_pane(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(target: str) -> None:
        raise NotFound("the layer is gone")

    monkeypatch.setattr(engine, "changes", fail)
    async with dashboard(engine, SMALL) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("2")
        await until(pilot, lambda: on_screen(app, "✘ the layer is gone"))


async def test_enter_opens_the_tree_and_it_is_walked_by_keys(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("2", "enter")
        await until(pilot, lambda: isinstance(app.screen, FilesScreen) and on_screen(app, "~ ▸ etc/"))
        assert on_screen(app, "rw+2") and on_screen(app, "+   new")
        assert asked(engine, "listing") == ["/"]  # nothing is fetched before it is opened
        await pilot.press("j", "enter")
        await until(pilot, lambda: on_screen(app, "hides ro 1 3 kB"))
        assert on_screen(app, "whiteout hides ro 2 7 B") and on_screen(app, "opaque hides ro 1")
        await pilot.press("h")
        await until(pilot, lambda: not on_screen(app, "whiteout"))
        await pilot.press("l")
        await until(pilot, lambda: on_screen(app, "whiteout"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))


async def test_a_file_is_read_and_cannot_steer_the_terminal(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("f")
        await until(pilot, lambda: on_screen(app, "+   new"))
        await pilot.press("slash", *"new", "enter", "enter")
        await until(pilot, lambda: on_screen(app, "fresh and red"))
        assert on_screen(app, "file  -rw-r--r-- 0644") and on_screen(app, "+ added against the image")
        assert not on_screen(app, "\x1b") and not on_screen(app, "title")
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard == "/new")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: on_screen(app, "Files · web"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))


async def test_only_what_has_changed(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("f")
        await until(pilot, lambda: on_screen(app, "~ ▸ etc/"))
        await pilot.press("f")
        await until(pilot, lambda: on_screen(app, "only what has changed") and not on_screen(app, "bin"))
        assert any("-" in text and "old" in text for text in seen(app))
        await pilot.press("j")
        await until(pilot, lambda: "/etc" in asked(engine, "listing") and on_screen(app, "hides ro 1 3 kB"))
        await pilot.press("escape")
        await until(pilot, lambda: on_screen(app, "bin"))


async def test_looking_again_shows_what_is_new(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("f")
        await until(pilot, lambda: on_screen(app, "+   new"))
        engine.changes_now = (replace(CHANGES[3], kind=ChangeKind.MODIFIED),)
        await pilot.press("r")
        await until(pilot, lambda: on_screen(app, "~   new"))


async def test_two_marked_containers_are_compared(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await pilot.press("g", "space", "space", "equals_sign")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and on_screen(app, "/etc/motd"))
        names = asked(engine, "compare")[0].split()
        assert on_screen(app, "size, mode") and on_screen(app, f"only in {names[0]}") and on_screen(app, "/only/")
        await pilot.press("j", "c")
        await until(pilot, lambda: app.clipboard == "/only")
        await pilot.press("escape", "escape", "u")
        await until(pilot, lambda: app.screen is main(app))


async def test_three_cannot_be_compared(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await pilot.press("g", "space", "space", "space", "equals_sign")
        await until(pilot, lambda: on_screen(app, "mark two containers"))
