"""Keys typed ahead of the screen. Each key is answered before the next is asked for.

On a slow line a person types "n" and a name in one go. The form that "n" opens is not there yet when the name arrives, and
the name's letters are commands of the screen below: "s" stops a container. So a key is handed on only when what the key
before it has set off is on the screen: a dialog with its first field in focus, or a lesson that has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from textual.app import App
from textual.events import Key
from textual.message_pump import MessagePump

PATIENCE = 0.5
"""Seconds to wait for a part of the screen that does not answer: keys go on then."""
LONGEST = 5.0
"""Seconds to wait for an engine that is asked to begin a lesson."""
ROUNDS = 3
"""Turns in which what a key sets off, from handler to handler, comes as far as opening or closing a screen."""


class TypeAhead:
    def __init__(self, app: App[Any], forward: Callable[[Key], Awaitable[None]]) -> None:
        self._app, self._forward = app, forward
        self._keys: asyncio.Queue[Key] = asyncio.Queue()
        self._free = asyncio.Event()
        self._free.set()
        self._diverted: list[Key] | None = None

    def put(self, key: Key) -> None:
        if self._diverted is None:
            self._keys.put_nowait(key)
        else:
            self._diverted.append(key)

    @contextmanager
    def diverted(self) -> Iterator[list[Key]]:
        """The keys that wait, and those to come, go into a list: they are meant for whoever gets the terminal."""
        self._diverted = [self._keys.get_nowait() for _ in range(self._keys.qsize())]
        for _ in self._diverted:
            self._keys.task_done()
        try:
            yield self._diverted
        finally:
            self._diverted = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """A screen is on its way: keys wait for it."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    async def run(self) -> None:
        while True:
            await self._forward(await self._keys.get())
            await self._answered()
            self._keys.task_done()

    async def answered(self) -> None:
        """Until there is no key that waits for its answer."""
        await self._keys.join()

    async def _answered(self) -> None:
        if not self._app.screen_stack:
            return  # that key has ended the dashboard
        screen = self._app.screen
        focused = self._app.focused or screen
        for _ in range(ROUNDS):
            # Once for the key itself, then for what its handlers have sent on: a button that was pressed, a worker.
            for node in focused.ancestors_with_self:
                await caught_up(node)
            await asyncio.sleep(0)
        await _at_most(LONGEST, self._free.wait())
        if self._app.screen_stack and self._app.screen is not screen:
            await caught_up(self._app.screen)
            await _at_most(PATIENCE, self._focused())

    async def _focused(self) -> None:
        while self._app.screen_stack and self._app.focused is None:  # noqa: ASYNC110 - Textual has no event for it
            await asyncio.sleep(0.01)


async def caught_up(node: MessagePump) -> None:
    """Until a part of the screen has dealt with all that was sent to it."""
    done = asyncio.Event()
    if node.call_later(done.set):
        await _at_most(PATIENCE, done.wait())


async def _at_most(seconds: float, wait: Awaitable[Any]) -> None:
    try:
        await asyncio.wait_for(wait, seconds)
    except TimeoutError:
        return
