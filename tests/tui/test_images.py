"""The images' screen, driven by keys: the list, and all that can be done to images from it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.model.registry import Credentials
from engine.model.status import Status
from tests.tui.images import MB, image, some_images
from tests.tui.made import row, small_world
from tests.tui.piloting import SMALL, WIDE, dashboard, main, on_screen, seen, until
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.panes.images import TransfersPane
from tui.screens.bulk import Bulk
from tui.screens.compare import CompareScreen
from tui.screens.dialogs import Ask, Confirm, Menu, NewContainer
from tui.screens.files import FilesScreen
from tui.screens.images import ImagesScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    rows = (
        row("front", image="nginx:1.27", image_id="sha256:" + "1" * 64),
        row("old", Status.EXITED, image="app:2", image_id="sha256:" + "2" * 64),
    )
    return ScriptedEngine(replace(small_world(), images=some_images(), containers={r.id: r for r in rows}))


@asynccontextmanager
async def images(
    engine: ScriptedEngine, size: tuple[int, int] = WIDE, **options: Any
) -> AsyncIterator[tuple[LongshoreApp, Pilot[None], ImagesScreen]]:
    async with dashboard(engine, size, **options) as (app, pilot):
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, ImagesScreen) and app.screen.entry is not None)
        screen = app.screen
        assert isinstance(screen, ImagesScreen)
        yield app, pilot, screen


def names(screen: ImagesScreen) -> list[str]:
    return [entry.target for entry in screen.table.rows]


def chosen(screen: ImagesScreen) -> str:
    return screen.entry.target if screen.entry else ""


async def choose(pilot: Pilot[None], screen: ImagesScreen, name: str) -> None:
    await pilot.press("1", "g", *["j"] * names(screen).index(name))
    await until(pilot, lambda: chosen(screen) == name)


def asked(engine: ScriptedEngine, verb: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [(target, other, how) for kind, target, other, how in engine.calls if kind == verb]


def reads(app: LongshoreApp, text: str) -> bool:
    """Does the screen say it, wherever its lines break?"""
    return text in " ".join(" ".join(seen(app)).replace("┃", " ").split())


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_the_list_tells_what_each_weighs_and_who_uses_it(engine: ScriptedEngine, size: tuple[int, int]) -> None:
    async with images(engine, size) as (app, _pilot, _screen):
        lines = seen(app)
        nginx = next(line for line in lines if "1.27" in line)
        assert "42 MB" in nginx and "32 MB" in nginx and "1 running" in nginx
        assert "1 not running" in next(line for line in lines if " app " in line)
        assert "dangling" in next(line for line in lines if "<none>" in line)
        assert on_screen(app, "on disk 57 MB · unique 47 MB · shared 10 MB · reclaimable 10 MB")
        assert size == SMALL or "111111111111" in nginx


async def test_the_list_follows_the_engine_and_a_moved_tag_keeps_the_cursor(engine: ScriptedEngine) -> None:
    async with images(engine) as (_app, pilot, screen):
        await choose(pilot, screen, "nginx:latest")
        rows = engine.world.images
        old = next(r for r in rows.values() if "nginx:latest" in r.tags)
        fresh = image(7, "nginx:latest", layers=((50, "ADD new"),))
        engine.set_images(rows | {old.id: replace(old, tags=("nginx:1.27",)), fresh.id: fresh})
        await until(pilot, lambda: screen.entry is not None and screen.entry.image.id == fresh.id)
        engine.set_images({old.id: replace(old, tags=("nginx:1.27",))})
        await until(pilot, lambda: names(screen) == ["nginx:1.27"] and chosen(screen) == "nginx:1.27")


async def test_filter_sort_and_parents(engine: ScriptedEngine) -> None:
    child = image(5, "made:1", parent="sha256:" + "3" * 64)
    engine.world = replace(engine.world, images=engine.world.images | {child.id: child})
    async with images(engine) as (app, pilot, screen):
        assert not on_screen(app, "<none>")
        await pilot.press("z")
        await until(pilot, lambda: "333333333333" in names(screen))
        await pilot.press("slash", *"ngi lat", "enter")
        await until(pilot, lambda: names(screen) == ["nginx:latest"])
        await pilot.press("escape")
        await until(pilot, lambda: len(names(screen)) == 6)
        await pilot.press(*["greater_than_sign"] * 3)
        await until(pilot, lambda: names(screen)[0].startswith("nginx") and on_screen(app, "SIZE▾"))
        await pilot.press("tilde")
        await until(pilot, lambda: names(screen)[0] == "registry.example:5000/team/tool:9")


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_layers_history_and_files_of_the_image_stood_on(engine: ScriptedEngine, size: tuple[int, int]) -> None:
    async with images(engine, size) as (app, pilot, screen):
        await choose(pilot, screen, "nginx:1.27")
        await pilot.press("2")
        await until(pilot, lambda: on_screen(app, "Layers · nginx:1.27") and on_screen(app, "wasted: 1.5 MB of 6.4 MB"))
        await pilot.press("h")
        await until(pilot, lambda: on_screen(app, "History · nginx:1.27") and on_screen(app, 'CMD ["nginx"]'))
        assert on_screen(app, "32 MB  install") and asked(engine, "history")[-1] == ("sha256:" + "1" * 64, "", {})
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, FilesScreen))
        await pilot.press("escape", "escape", "escape")
        await until(pilot, lambda: app.screen is main(app))


async def test_two_marked_images_are_compared(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, _screen):
        await pilot.press("equals_sign")
        assert on_screen(app, "mark two images")
        await pilot.press("g", "space", "space", "equals_sign")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        assert ("compare", "app:2 nginx:1.27") in engine.asked


# Pulling


async def pull(pilot: Pilot[None], app: LongshoreApp, engine: ScriptedEngine, name: str) -> None:
    await pilot.press("p", *name, "enter")
    await until(pilot, lambda: name in engine.moving)


async def test_a_pull_shows_bars_and_selects_what_came(engine: ScriptedEngine) -> None:
    async with images(engine, SMALL) as (app, pilot, screen):
        await pull(pilot, app, engine, "redis")
        engine.tell("redis", "Pulling from library/redis", "latest")
        engine.tell("redis", "Already exists", "aaaaaaaaaaaa")
        engine.tell("redis", "Downloading", "bbbbbbbbbbbb", 3 * MB, 12 * MB)
        await until(pilot, lambda: on_screen(app, "1 of 2 layers · 3 MB") and on_screen(app, "3 MB of 12 MB"))
        assert any("█" in line and "░" in line and "bbbbbbbbbbbb" in line for line in seen(app))
        engine.tell("redis", "Status: Downloaded newer image for redis:latest")
        engine.finish("redis", image(8, "redis:latest"))
        await until(pilot, lambda: chosen(screen) == "redis:latest" and on_screen(app, "✔ Status: Downloaded newer"))
        assert not screen.query_one(TransfersPane).display and screen.table.sheet.has_focus


async def test_escape_gives_a_pull_up_and_others_go_on_elsewhere(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, screen):
        await pull(pilot, app, engine, "redis")
        await pull(pilot, app, engine, "mysql:8")
        engine.tell("redis", "Downloading", "bbbbbbbbbbbb", 3 * MB, 12 * MB)
        await until(pilot, lambda: on_screen(app, "↓ 2 images 3 MB"))
        await pilot.press("escape")
        await until(pilot, lambda: engine.left == ["mysql:8"] and on_screen(app, "↓ redis:latest 0/1 3 MB"))
        assert on_screen(app, "the pull was given up")
        await pilot.press("tab", "q")
        await until(pilot, lambda: app.screen is main(app))
        engine.tell("redis", "Downloading", "bbbbbbbbbbbb", 9 * MB, 12 * MB)
        await until(pilot, lambda: on_screen(app, "↓ redis:latest 0/1 9 MB"))
        engine.finish("redis", image(8, "redis:latest"))
        await until(pilot, lambda: not on_screen(app, "↓ redis") and on_screen(app, "$ docker pull redis"))
        assert screen not in app.screen_stack


async def test_a_pull_that_fails_stays_with_its_reason_until_escape(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, _screen):
        await pull(pilot, app, engine, "nothing")
        engine.finish("nothing", error="manifest for nothing:latest not found")
        await until(pilot, lambda: on_screen(app, "✘ manifest for nothing:latest not found"))
        assert not app.transfers.running and on_screen(app, "On their way · 1")
        await pilot.press("4", "escape")
        await until(pilot, lambda: not on_screen(app, "On their way"))


async def test_a_pull_uses_the_login_of_who_sits_here(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"auths": {"registry.example:5000": {"auth": b64encode(b"ann:secret").decode()}}}
    (tmp_path / "config.json").write_text(json.dumps(kept))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    async with images(engine) as (app, pilot, _screen):
        await pull(pilot, app, engine, "registry.example:5000/a:1")
        assert engine.logins == {"registry.example:5000/a:1": Credentials(username="ann", password="secret")}


async def test_quitting_asks_first_while_something_is_on_its_way(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, _screen):
        await pull(pilot, app, engine, "redis")
        await pilot.press("q")
        await until(pilot, lambda: app.screen is main(app))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and on_screen(app, "pull of redis:latest"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))
        assert app.is_running and engine.left == []


async def test_a_name_that_cannot_be_is_refused_while_it_is_typed(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, _screen):
        await pilot.press("p", *"Redis")
        await until(pilot, lambda: on_screen(app, "✘ the name of an image is in lower case"))
        await pilot.press("enter")
        assert isinstance(app.screen, Ask) and asked(engine, "pull") == []


# Files


async def test_a_file_is_loaded_and_a_missing_one_is_told_in_the_prompt(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"archive")
    async with images(engine) as (app, pilot, screen):
        await pilot.press("L", *"b.tar", "enter")
        await until(pilot, lambda: reads(app, "No such file or directory"))
        await pilot.press(*["backspace"] * 5, *"a.tar", "enter")
        await until(pilot, lambda: "loaded:1" in names(screen) and on_screen(app, "✔ Loaded image: loaded:1"))
        assert on_screen(app, "$ docker load -i ")


async def test_what_is_no_archive_is_told_in_a_sentence(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(b"something else")
    async with images(engine) as (app, pilot, _screen):
        await pilot.press("L", "a", "enter")
        await until(pilot, lambda: on_screen(app, "it is no archive of images"))


async def test_marked_images_are_saved_in_one_file(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with images(engine) as (app, pilot, _screen):
        await pilot.press("g", "space", "space", "ctrl+s")
        await until(pilot, lambda: reads(app, "docker save -o images.tar app:2 nginx:1.27"))
        await pilot.press("enter")
        await until(pilot, lambda: on_screen(app, "✔ saved in"))
        assert (tmp_path / "images.tar").read_bytes() == b"archive" * 300
        assert [path.name for path in tmp_path.iterdir()] == ["images.tar"]
        await pilot.press("ctrl+s", "enter")
        await until(pilot, lambda: reads(app, "exists already"))


async def test_a_save_that_fails_leaves_no_file(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(names: tuple[str, ...]) -> AsyncIterator[bytes]:
        yield b"a" * (2 << 20)
        raise OSError("the line is cut")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "image_save", broken)
    async with images(engine) as (app, pilot, _screen):
        await pilot.press("ctrl+s", "enter")
        await until(pilot, lambda: on_screen(app, "✘ the line is cut"))
        assert list(tmp_path.iterdir()) == []


# What there is


async def test_a_name_is_given_and_one_of_another_image_only_after_asking(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, screen):
        await choose(pilot, screen, "app:2")
        await pilot.press("U")
        await until(pilot, lambda: on_screen(app, "no image was tagged from here"))
        await pilot.press("t", "end", *"-rc", "enter")
        await until(pilot, lambda: chosen(screen) == "app:2-rc")
        await pilot.press("U")
        await until(pilot, lambda: asked(engine, "remove") == [("app:2-rc", "", {"force": False})])
        await choose(pilot, screen, "app:2")
        await pilot.press("t", "ctrl+u", *"nginx:1.27", "enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and on_screen(app, "another image's name"))
        await pilot.press("right", "enter")
        await until(pilot, lambda: asked(engine, "tag")[1:] == [("app:2", "nginx:1.27", {})])
        await until(pilot, lambda: chosen(screen) == "nginx:1.27")
        await pilot.press("U")
        await until(pilot, lambda: asked(engine, "tag")[2:] == [("sha256:" + "1" * 64, "nginx:1.27", {})])


async def test_the_only_name_of_an_image_is_not_taken_back(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, screen):
        await choose(pilot, screen, "333333333333")
        await pilot.press("t", *"found:1", "enter")
        await until(pilot, lambda: chosen(screen) == "found:1")
        await pilot.press("U")
        await until(pilot, lambda: on_screen(app, "found:1 is the image's only name: with it the image would go"))
        assert not asked(engine, "remove")


async def test_removal_says_what_it_frees(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, screen):
        await choose(pilot, screen, "registry.example:5000/team/tool:9")
        await pilot.press("d")
        await until(pilot, lambda: on_screen(app, "That frees 3 MB."))
        await pilot.press("escape")
        await choose(pilot, screen, "nginx:latest")
        await pilot.press("d")
        await until(pilot, lambda: on_screen(app, "Take the name nginx:latest away? The image stays"))
        await pilot.press("right", "enter")
        await until(pilot, lambda: "nginx:latest" not in names(screen) and on_screen(app, "1 name gone; the image stays"))


async def test_a_conflict_is_told_and_force_is_offered_where_docker_allows_it(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, screen):
        await choose(pilot, screen, "app:2")
        await pilot.press("d", "right", "enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and on_screen(app, "(must force)"))
        assert on_screen(app, "$ docker rmi -f app:2")
        await pilot.press("escape")
        await until(pilot, lambda: on_screen(app, "✘ conflict: unable to remove"))
        assert asked(engine, "remove") == [("app:2", "", {"force": False})]
        await pilot.press("d", "right", "enter")
        await until(pilot, lambda: on_screen(app, "Remove it by force?"))
        await pilot.press("right", "enter")
        await until(pilot, lambda: "app:2" not in names(screen))
        assert asked(engine, "remove")[-1] == ("app:2", "", {"force": True})


async def test_many_are_removed_with_a_plan_and_a_report(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, screen):
        await pilot.press("g", "space", "G", "V", "d")
        await until(pilot, lambda: isinstance(app.screen, Bulk) and on_screen(app, "Remove 5 · frees 57 MB"))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: sum("✘" in line for line in seen(app)) == 2 and sum("✔" in line for line in seen(app)) == 3)
        await pilot.press("escape")
        await until(pilot, lambda: on_screen(app, "✘ 2 of 5 failed, 3 done"))
        assert len(names(screen)) == 2 and "app:2" in names(screen)


async def test_pruning_shows_first_what_goes(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, _screen):
        await pilot.press("b")
        await until(
            pilot, lambda: isinstance(app.screen, Menu) and on_screen(app, "frees 7 MB") and on_screen(app, "frees 10 MB")
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ImagesScreen))
        assert asked(engine, "prune") == []
        await pilot.press("b", "down", "down", "enter")
        await until(pilot, lambda: on_screen(app, "7 MB freed") and on_screen(app, "$ docker image prune -f -a"))
        assert asked(engine, "prune") == [("", "", {"dangling": ["false"]})]


async def test_a_container_is_made_from_the_image(engine: ScriptedEngine) -> None:
    async with images(engine) as (app, pilot, screen):
        await choose(pilot, screen, "app:2")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewContainer) and on_screen(app, "docker create app:2"))
        await pilot.press(*"fresh", "enter")
        await until(pilot, lambda: app.screen is main(app))
        verb, _, params = asked(engine, "do")[0]
        assert (verb, params["name"], params["body"]["Image"]) == ("create", "fresh", "app:2")


async def test_read_only_changes_nothing(engine: ScriptedEngine) -> None:
    async with images(engine, read_only=True) as (app, pilot, _screen):
        for key in ("p", "n", "t", "d", "L", "P", "b"):
            await pilot.press(key)
            assert isinstance(app.screen, ImagesScreen), key
        assert on_screen(app, "read-only: it was started")


async def test_no_image_says_how_to_get_one() -> None:
    async with dashboard(ScriptedEngine(replace(small_world(), images={}))) as (app, pilot):
        await pilot.press("I")
        await until(pilot, lambda: on_screen(app, "There is no image yet.") and on_screen(app, "p  pulls one"))
        await pilot.press("d", "enter", "h")
        assert isinstance(app.screen, ImagesScreen)
