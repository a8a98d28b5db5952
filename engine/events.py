"""The hub of `docker events`: whoever publishes does not know who reads.

The last 256 messages are kept for readers who ask for the past. A reader that falls 1,024 behind is cut off: a stream
that ends tells of a gap, one that skips does not.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from engine.model.events import Actor, Message

HISTORY = 256
"""Docker's number."""
BACKLOG = 1024
NANO = 1_000_000_000


class Events:
    """`clock` answers nanoseconds since 1970."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._history: deque[Message] = deque(maxlen=HISTORY)
        self._readers: set[asyncio.Queue[Message | None]] = set()

    @property
    def readers(self) -> int:
        return len(self._readers)

    def publish(self, type: str, action: str, id: str, attributes: Mapping[str, str] = {}) -> None:
        """Tell of something that has happened. Never blocks, never raises.

        `type` and `action` are Docker's words (reference 4.14); an image's or a container's event also carries the mirrors
        that old clients read.
        """
        now = self._clock()
        message = Message(
            type=type,
            action=action,
            actor=Actor(id=id, attributes=dict(attributes)),
            status=action if type in ("container", "image") else "",
            id=id if type in ("container", "image") else "",
            from_=attributes.get("image", "") if type == "container" else "",
            scope="local",
            time=now // NANO,
            time_nano=now,
        )
        self._history.append(message)
        for reader in tuple(self._readers):
            if reader.qsize() < BACKLOG:
                reader.put_nowait(message)
            else:
                self._readers.discard(reader)
                reader.put_nowait(None)

    async def stream(self, since: int | None = None, until: int | None = None) -> AsyncIterator[Message]:
        """Messages as they come. `since`, `until`: nanoseconds since 1970; either brings the kept past first.

        Ends at `until`, or when the reader fell too far behind.
        """
        queue: asyncio.Queue[Message | None] = asyncio.Queue()
        past = tuple(self._history) if since is not None or until is not None else ()
        self._readers.add(queue)
        try:
            for message in past:
                if (since or 0) <= message.time_nano <= (until or message.time_nano):
                    yield message
            while coming := await self._next(queue, until):
                yield coming
        finally:
            self._readers.discard(queue)

    async def _next(self, queue: asyncio.Queue[Message | None], until: int | None) -> Message | None:
        if until is None:
            return await queue.get()
        try:
            message = await asyncio.wait_for(queue.get(), (until - self._clock()) / NANO)
        except TimeoutError:
            return None
        return message if message and message.time_nano <= until else None
