"""Docker's progress streams: JSON objects with `\\r\\n` between them, written as the work goes on.

What fails before anything is told has a status of its own; later it is the stream's last object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from engine.api import wire
from engine.api.reply import stream
from engine.images.progress import Line, Tell
from engine.model.errors import EngineError, Unauthorized


class Feed:
    """Lines on their way to a reader. Of a slow one's backlog only the last about the same bytes is kept."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Line] = {}
        self._changed = asyncio.Event()

    def tell(self, line: Line) -> None:
        self._waiting[line.id, line.status] = line
        self._changed.set()

    async def take(self, work: asyncio.Task[Any]) -> list[Line]:
        """All lines that wait, once there is one. None: the work is over."""
        work.add_done_callback(self._wake)
        while not self._waiting and not work.done():
            self._changed.clear()
            await self._changed.wait()
        work.remove_done_callback(self._wake)
        lines = list(self._waiting.values())
        self._waiting.clear()
        return lines

    def _wake(self, _: object) -> None:
        self._changed.set()


async def _whole(work: asyncio.Task[Any]) -> None:
    """Wait for work that tells of nothing. A registry's 401 is none of ours: the docker command would wait for a login to be
    typed, also where nobody types."""
    try:
        await work
    except Unauthorized as error:
        raise EngineError(error.message, error.hint) from error


async def told(request: web.Request, begin: Callable[[Tell], Awaitable[Any]]) -> web.StreamResponse:
    """Do the work and stream what it tells. It is cancelled when the reader goes."""
    feed = Feed()
    work = asyncio.ensure_future(begin(feed.tell))
    assert isinstance(work, asyncio.Task)
    try:
        lines = await feed.take(work)
        if not lines:
            await _whole(work)
        async with stream(request) as response:
            try:
                while lines:
                    await response.write(b"".join(map(wire.progress, lines)))
                    lines = await feed.take(work)
                await work
            except EngineError as error:
                await response.write(wire.progress({"errorDetail": {"message": str(error)}, "error": str(error)}))
        return response
    finally:
        work.cancel()
        await asyncio.wait([work])
