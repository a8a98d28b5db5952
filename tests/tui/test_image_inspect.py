"""All of an image as JSON, from the images' screen and back."""

from __future__ import annotations

from msgspec.structs import replace

from tests.tui.images import some_images
from tests.tui.made import small_world
from tests.tui.piloting import SMALL, on_screen, seen, until
from tests.tui.scripted import ScriptedEngine
from tests.tui.test_images import choose, images
from tui.screens.inspect import InspectScreen


async def test_an_image_is_inspected_searched_and_copied_from() -> None:
    engine = ScriptedEngine(replace(small_world(), images=some_images()))
    async with images(engine, SMALL) as (app, pilot, screen):
        await choose(pilot, screen, "app:2")
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, InspectScreen) and on_screen(app, '"app:2"'))
        await pilot.press("slash", *"serve", "enter")
        await until(pilot, lambda: any("▸" in line and '"serve"' in line for line in seen(app)))
        await pilot.press("c", "C")
        await until(pilot, lambda: app.clipboard == ".Config.Cmd[0]" and on_screen(app, "copied the path .Config.Cmd[0]"))
        await pilot.press("escape")
        assert isinstance(app.screen, InspectScreen), "the search goes first"
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
