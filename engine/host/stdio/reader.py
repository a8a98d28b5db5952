"""Reading a log, also while it grows and is rotated. A reader holds one block and its files, however slow it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from engine.host.stdio.records import Format
from engine.host.stdio.rotation import LogFiles, Opened
from engine.host.things import LogQuery
from engine.host.threads import long, short
from engine.model.interface import LogLine


class Growth:
    """Tells the readers of one log that it has grown, and at last that it is closed. Made in the event loop's thread."""

    def __init__(self) -> None:
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._readers: set[asyncio.Event] = set()
        self._told = False

    @property
    def readers(self) -> int:
        return len(self._readers)

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


class Reader:
    """`growth`: follow until that is closed; None: read what is there now. Lines come oldest first. No log, no lines."""

    def __init__(self, files: LogFiles, form: Format, growth: Growth | None, query: LogQuery) -> None:
        self._files = files
        self._format = form
        self._growth = growth
        self._query = query
        self._open: list[Opened] = []
        """What is still to be read, oldest first."""

    async def lines(self) -> AsyncGenerator[LogLine, None]:
        more = self._growth.reader() if self._growth else asyncio.Event()
        try:
            await self._begin()
            while self._open:
                file = self._open[0]
                await self._unpack(file)
                async for line in self._read(file, more):
                    if self._query.until and line.time > self._query.until:
                        return
                    if not self._query.since or line.time >= self._query.since:
                        yield line
                self._open.pop(0).close()
                if not self._open and self._growth and (following := await short(self._files.open_after, file.generation)):
                    self._open.append(following)
        finally:
            if self._growth:
                self._growth.leave(more)
            for file in self._open:
                file.close()

    async def _begin(self) -> None:
        """Open the files and, for the last `tail` lines, find where they begin."""
        self._open = await short(self._files.open_all)
        if self._query.since:
            oldest = self._query.since.timestamp() - 1  # file times are coarse
            while len(self._open) > 1 and self._open[0].changed < oldest:
                self._open.pop(0).close()
        left = self._query.tail
        if left is None:
            return
        for file in reversed(self._open):
            await self._unpack(file)
            file.offset, found = await long(self._format.tail, file.file.fileno(), left)
            left -= found
            if left == 0:
                while self._open[0] is not file:
                    self._open.pop(0).close()
                return

    async def _unpack(self, file: Opened) -> None:
        if file.packed:
            await long(file.unpack, os.path.dirname(self._files.path))

    async def _read(self, file: Opened, more: asyncio.Event) -> AsyncGenerator[LogLine, None]:
        """What is in one file, until there is nothing further to come in it."""
        while True:
            # Looked at before reading: what is found after it is all that was written.
            ended = self._growth is None or self._growth.closed or self._is_over() or self._files.generation > file.generation
            more.clear()
            if self._growth is None and file.offset >= file.size:
                return  # a container may write as fast as we read
            lines, end = await short(self._format.read, file.file.fileno(), file.offset)
            for line in lines:
                yield line
            if end > file.offset:
                file.offset = end
            elif ended:
                return
            else:
                await self._wait(more)

    def _is_over(self) -> bool:
        return self._query.until is not None and datetime.now(UTC) > self._query.until

    async def _wait(self, more: asyncio.Event) -> None:
        """For more, or for the end of the time asked for."""
        try:
            async with asyncio.timeout(self._seconds()):
                await more.wait()
        except TimeoutError:
            return

    def _seconds(self) -> float | None:
        until = self._query.until
        return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until else None
