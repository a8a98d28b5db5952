"""The terminal, lent to a container: the dashboard steps aside, and comes back whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from textual.events import Key

from tui.typeahead import caught_up
from tui.widgets.terminal import CountingDriver

if TYPE_CHECKING:
    from tui.app import LongshoreApp

_SENT = {
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "delete": "\x1b[3~",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
}
"""What a terminal sends for keys that are no characters (ECMA-48; console_codes(4))."""


def typed(key: Key) -> bytes:
    """A key as a terminal sends it."""
    return (key.character or _SENT.get(key.key, "")).encode()


@asynccontextmanager
async def lent(app: LongshoreApp, keys: list[Key]) -> AsyncIterator[bytes]:
    """Nothing is painted and no key is taken. Yields what was typed ahead: `keys`, that are diverted.

    Raises Textual's `SuspendNotSupported` where there is no terminal to lend.
    """
    failed: BaseException | None = None
    driver = app._driver
    with app.batch_update():
        if isinstance(driver, CountingDriver):
            driver.lending = True
        with app.suspend():
            try:
                await asyncio.sleep(0)  # the last keys read are on their way from the reading thread
                await caught_up(app)
                yield b"".join(map(typed, keys))
            except BaseException as error:  # noqa: BLE001 - raised again when the terminal is ours: `suspend` would not take it back
                failed = error
        if isinstance(driver, CountingDriver):
            driver.lending = False
    for screen in app.screen_stack:
        screen.refresh(layout=True)
    if failed:
        raise failed
