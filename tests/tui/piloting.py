"""Driving the dashboard in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot

from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.screens.main import MainScreen

WIDE, SMALL = (120, 40), (80, 24)


@asynccontextmanager
async def dashboard(
    engine: ScriptedEngine, size: tuple[int, int] = WIDE, **options: Any
) -> AsyncIterator[tuple[LongshoreApp, Pilot[None]]]:
    """The dashboard on an engine, its first scene painted."""
    app = LongshoreApp(engine, **options)
    async with app.run_test(size=size) as pilot:
        if not engine.down:
            await until(pilot, lambda: app.scene.link.up)
            await until(pilot, lambda: not app.scene.world.containers or bool(main(app).selected))
        yield app, pilot


def main(app: LongshoreApp) -> MainScreen:
    screen = app.screen_stack[0]
    assert isinstance(screen, MainScreen)
    return screen


async def until(pilot: Pilot[None], so: Callable[[], bool]) -> None:
    """Wait until something is so; fails when it does not come to be."""
    async with asyncio.timeout(10):
        while not so():
            await pilot.pause(0.01)
    await pilot.pause()


def seen(app: LongshoreApp) -> list[str]:
    """What stands on the screen, line by line."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    assert len(strips) == height
    return ["".join(segment.text for segment in strip)[:width] for strip in strips]


def on_screen(app: LongshoreApp, text: str) -> bool:
    return any(text in line for line in seen(app))


def chosen(app: LongshoreApp) -> str:
    """The name of the container under the cursor, or empty."""
    row = main(app).row
    return row.name if row else ""


async def choose(pilot: Pilot[None], app: LongshoreApp, name: str) -> str:
    """Put the cursor on a container; its id."""
    rows = [r.name for r in main(app).table.rows]
    await pilot.press("g", *["j"] * rows.index(name))
    await until(pilot, lambda: chosen(app) == name)
    return main(app).selected
