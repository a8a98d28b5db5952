"""Driving the dashboard in tests."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from textual.events import Key
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.pilot import Pilot

from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.panes.details import DetailsPane
from tui.screens.main import MainScreen
from tui.typeahead import caught_up

HELD = 0.2
"""Seconds to wait for a key that waits for the engine itself."""

WIDE, SMALL = (120, 40), (80, 24)


class Hands(Pilot[None]):
    """Presses keys as fast as the dashboard answers them: Textual's own pilot waits 40 ms and more after each."""

    def __init__(self, app: LongshoreApp) -> None:
        super().__init__(app)
        self.typed = app.typed

    async def press(self, *keys: str) -> None:
        for key in keys:
            self.app.post_message(pressed(key))
            await caught_up(self.app)
            with suppress(TimeoutError):
                async with asyncio.timeout(HELD):
                    await self.typed.answered()
        await self._wait_for_screen()

    async def pause(self, delay: float | None = None) -> None:
        await self._wait_for_screen()
        await asyncio.sleep(delay or 0)
        if not delay:
            await self._wait_for_screen()  # for what the first have sent on
        self.app.screen._on_timer_update()


def pressed(key: str) -> Key:
    """`key`: a character, or the name of a key."""
    name = _character_to_key(key) if len(key) == 1 and not key.isalnum() else key
    try:
        return Key(name, unicodedata.lookup(_get_unicode_name_from_key(REPLACED_KEYS.get(name, name))))
    except KeyError:
        return Key(name, key if len(key) == 1 else None)


@asynccontextmanager
async def dashboard(
    engine: ScriptedEngine, size: tuple[int, int] = WIDE, **options: Any
) -> AsyncIterator[tuple[LongshoreApp, Hands]]:
    """The dashboard on an engine, its first scene painted."""
    app = LongshoreApp(engine, **options)
    async with app.run_test(size=size):
        pilot = Hands(app)
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
    """What stands on the screen, line by line; nothing while it is laid out anew."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    if len(strips) != height:
        return []
    return ["".join(segment.text for segment in strip)[:width] for strip in strips]


async def settled(pilot: Pilot[None], app: LongshoreApp) -> list[str]:
    """What stands on the screen when nothing moves on it any more."""
    before: list[str] = []
    while not before or seen(app) != before:
        before = seen(app)
        await pilot.pause(0.1)
    return before


def on_screen(app: LongshoreApp, text: str) -> bool:
    return any(text in line for line in seen(app))


def chosen(app: LongshoreApp) -> str:
    """The name of the container under the cursor, or empty."""
    row = main(app).row
    return row.name if row else ""


def show_tab(app: LongshoreApp, label: str) -> None:
    """Have pane 4 show a tab."""
    details = main(app).query_one(DetailsPane)
    main(app).action_tab([tab.label for tab in details.tabs].index(label) - details.active)


async def choose(pilot: Pilot[None], app: LongshoreApp, name: str) -> str:
    """Put the cursor on a container; its id."""
    rows = [r.name for r in main(app).table.rows]
    await pilot.press("g", *["j"] * rows.index(name))
    await until(pilot, lambda: chosen(app) == name)
    return main(app).selected
