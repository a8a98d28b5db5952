"""Reading the logs of one or more containers into one book: following, going on after a break, and back into the past."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from engine.model.errors import EngineError
from engine.model.interface import EngineInterface, LogLine
from tui.feed import PAINT_SECONDS, now
from tui.view.logs import LINES, NOTE, OLDEST, Book, Entry

OLDER = 2000
"""Lines fetched at once of what is older than all that is there."""
TURN = 0.005
"""Seconds for which lines are taken in before the screen gets as long for itself."""
BEHIND = 3.0
"""Seconds by which the reading may fall back before what lies between is left out."""
TICK = timedelta(microseconds=1)


class Reading:
    """How far one container's log has been read."""

    def __init__(self, number: int, id: str) -> None:
        self.number, self.id = number, id
        self.last: datetime | None = None
        self.same = 0
        """Lines read that have the time of the last one: several fit into a microsecond."""
        self.error = ""
        self.complete = False
        """There is nothing older."""
        self.touched = asyncio.Event()

    def took(self, when: datetime) -> None:
        self.same = self.same + 1 if when == self.last else 1
        self.last = when


class LogReader:
    """Reads the logs of these containers from `start` on (None: the last lines of all). `news`: there is more, or an error."""

    def __init__(self, engine: EngineInterface, ids: tuple[str, ...], news: Callable[[], None], start: datetime | None = None):
        self.engine, self.ids, self.news, self.start = engine, ids, news, start
        self.book = Book()
        self.readings = [Reading(number, id) for number, id in enumerate(ids)]
        self._looking_back = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for reading in self.readings:
                tasks.create_task(self._keep(reading))

    def touch(self) -> None:
        """The containers' records have changed: where a log had ended or failed, there may be more."""
        for reading in self.readings:
            reading.touched.set()

    def hold(self, still: bool) -> None:
        """While a person reads, nothing goes of what is there: as many new lines are taken in as ever, and then none.

        The engine waits for us then, and the container for nobody.
        """
        if still != self._flowing.is_set():
            return
        if still:
            self.book.limit = min(len(self.book.entries) + LINES, OLDEST)
            self._flowing.clear()
        else:
            self.book.limit = LINES
            self._flowing.set()

    @property
    def complete(self) -> bool:
        """There is nothing older, or it is not wanted."""
        return self.start is not None or all(reading.complete for reading in self.readings)

    async def _keep(self, reading: Reading) -> None:
        while True:
            reading.touched.clear()
            try:
                while await self._read(reading):
                    pass
                reading.error = ""
            except (EngineError, OSError) as error:
                reading.error = str(error)
            self.news()
            await asyncio.sleep(PAINT_SECONDS)
            await reading.touched.wait()

    async def _read(self, reading: Reading) -> bool:
        """Read on from where the reading stands. True when it fell back so far that it is better begun again."""
        since, known = reading.last, reading.same
        count, least = 0, float("inf")
        async for said, rested in self._lines(reading, follow=True, tail=LINES, since=since or self.start):
            if since and said.time <= since:
                known -= said.time == since
                if known >= 0:
                    continue
            elif since and known > 0:
                self.book.note("lines are left out here", said.time, reading.number)
            known = 0
            self.book.add(reading.number, said)
            reading.took(said.time)
            reading.error = ""
            self.news()
            count += 1
            if self.book.room <= 0:
                await self._flowing.wait()
            if rested:
                lag = (now() - said.time).total_seconds()
                least = min(least, lag)
                if count > LINES and lag > least + BEHIND:
                    return True
        return False

    async def _lines(
        self,
        reading: Reading,
        *,
        follow: bool = False,
        tail: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[tuple[LogLine, bool]]:
        """Lines, and whether the screen has had time for itself just before; it gets half of all time."""
        lines = self.engine.logs(reading.id, follow=follow, tail=tail, since=since, until=until)
        turn = time.monotonic()
        async with aclosing(lines):  # type: ignore[type-var]  # every engine's is a generator
            async for said in lines:
                rest = time.monotonic() - turn > TURN
                if rest:
                    await asyncio.sleep(TURN)
                    turn = time.monotonic()
                yield said, rest

    async def older(self) -> None:
        """Fetch what was said before the oldest line that is there. Raises `EngineError`.

        An engine counts lines from the end of a log, so nothing older is found while we do not know how far that is:
        where a view is held in a flood.
        """
        if self._looking_back:
            return
        self._looking_back = True
        try:
            for reading in self.readings:
                older = await self._before(reading)
                reading.complete = not older and self.book.room > 0
                self.book.before(older)
        finally:
            self._looking_back = False
        self.news()

    async def _before(self, reading: Reading) -> list[Entry]:
        held = [e for e in self.book.entries if e.source == reading.number and e.stream != NOTE]
        if not held:
            return []
        oldest = held[0].time
        same = sum(entry.time == oldest for entry in held)
        # What is there is asked for again: an engine may count the tail from the log's end or from `until`.
        tail = sum(entry.records for entry in held) + OLDER
        book = Book(tail)
        async for said, _ in self._lines(reading, tail=tail, until=oldest + TICK):
            if said.time <= oldest:
                book.add(reading.number, said)
        book.fold()
        known = min(same, sum(entry.time == oldest for entry in book.entries))
        return book.entries[: len(book.entries) - known][-OLDER:]


def since(window: timedelta | None) -> datetime | None:
    """When a window that ends now begins."""
    return datetime.now(UTC) - window if window else None
