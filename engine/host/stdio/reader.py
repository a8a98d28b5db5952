"""Reading a log, also while it grows. A reader holds an offset and one block, however slow it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator

from engine.host.stdio.jsonlog import read_records, tail_offset
from engine.host.threads import short
from engine.model.interface import LogLine


class Growth:
    """Tells the readers of one log that it has grown, and at last that it is closed. Made in the event loop's thread."""

    def __init__(self) -> None:
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._readers: set[asyncio.Event] = set()
        self._told = False

    def reader(self) -> asyncio.Event:
        """An event that is set whenever there may be more to read."""
        event = asyncio.Event()
        self._readers.add(event)
        return event

    def leave(self, event: asyncio.Event) -> None:
        self._readers.discard(event)

    def grown(self) -> None:
        """Called by the copier, in its thread: at most one call waits in the event loop."""
        if self._readers and not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._tell)

    def close(self) -> None:
        self.closed = True
        self._tell()

    def _tell(self) -> None:
        self._told = False
        for event in self._readers:
            event.set()


async def read(path: str, growth: Growth | None, tail: int | None) -> AsyncGenerator[LogLine, None]:
    """The log's lines, oldest first, the last `tail` of them; with `growth` until it is closed. No log, no lines."""
    try:
        fd = await short(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    more = growth.reader() if growth else asyncio.Event()
    try:
        offset = 0 if tail is None else await short(tail_offset, fd, tail)
        while True:
            ended = growth is None or growth.closed
            more.clear()
            lines, end = await short(read_records, fd, offset)
            for line in lines:
                yield line
            if end > offset:
                offset = end
            elif ended:
                return
            else:
                await more.wait()
    finally:
        if growth:
            growth.leave(more)
        os.close(fd)
