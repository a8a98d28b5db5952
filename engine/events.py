"""The hub of `docker events`: whoever publishes does not know who reads.

The last 256 messages are kept for readers who ask for the past. A reader that falls 1,024 behind is cut off: a stream
that ends tells of a gap, one that skips does not.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from engine.model.events import Actor, Message

HISTORY = 256
"""Docker's number."""
BACKLOG = 1024
NANO = 1_000_000_000
NOTHING: Mapping[str, str] = MappingProxyType({})


class Events:
    """`clock` answers nanoseconds since 1970."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self.clock = clock
        self._history: deque[Message] = deque(maxlen=HISTORY)
        self._readers: set[asyncio.Queue[Message | None]] = set()

    @property
    def readers(self) -> int:
        return len(self._readers)

    def publish(self, type: str, action: str, id: str, attributes: Mapping[str, str] = NOTHING) -> None:
        """Tell of something that has happened. Never blocks, never raises.

        `type` and `action` are Docker's words (reference 4.14); an image's or a container's event also carries the mirrors
        that old clients read.
        """
        now = self.clock()
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

    @contextmanager
    def subscribe(self, since: int | None = None, until: int | None = None) -> Iterator[AsyncIterator[Message]]:
        """Messages from now on. `since`, `until`: nanoseconds since 1970; either brings the kept past first.

        They end at `until`, or when the reader fell too far behind.
        """
        queue: asyncio.Queue[Message | None] = asyncio.Queue()
        past = self._history if since is not None or until is not None else ()
        for message in past:
            if (since or 0) <= message.time_nano <= (until or message.time_nano):
                queue.put_nowait(message)
        self._readers.add(queue)
        try:
            yield self._read(queue, until)
        finally:
            self._readers.discard(queue)

    async def _read(self, queue: asyncio.Queue[Message | None], until: int | None) -> AsyncIterator[Message]:
        while True:
            try:
                # What waits already is taken even when `until` is past: only a real wait can time out.
                async with asyncio.timeout(None if until is None else (until - self.clock()) / NANO):
                    message = await queue.get()
            except TimeoutError:
                return
            if message is None:
                return
            if message.time_nano <= (until or message.time_nano):
                yield message
