"""The hub: frames out to whoever watches. A snapshot and the stream after it are taken in one tick, so nothing falls between.

A reader that is slow keeps only the latest frame of each thing; what it missed does not matter any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from msgspec.structs import replace

from engine.model.frames import Frame, Snapshot, fold, key
from engine.model.world import World


class Hub:
    def __init__(self) -> None:
        self.world = World()
        self._seq = 0
        self._readers: set[_Reader] = set()

    @property
    def watched(self) -> bool:
        """Somebody is looking: worth measuring."""
        return bool(self._readers)

    def publish(self, frame: Frame) -> None:
        self._seq += 1
        frame = replace(frame, seq=self._seq)
        self.world = fold(self.world, frame)
        for reader in self._readers:
            reader.put(frame)

    async def watch(self) -> AsyncIterator[Frame]:
        reader = _Reader()
        reader.put(Snapshot(seq=self._seq, world=self.world))
        self._readers.add(reader)
        try:
            while True:
                for frame in await reader.take():
                    yield frame
        finally:
            self._readers.discard(reader)


class _Reader:
    """One watcher's backlog, coalesced."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Frame] = {}
        self._ready = asyncio.Event()

    def put(self, frame: Frame) -> None:
        name = key(frame)
        self._waiting.pop(name, None)
        self._waiting[name] = frame
        self._ready.set()

    async def take(self) -> list[Frame]:
        await self._ready.wait()
        self._ready.clear()
        frames, self._waiting = list(self._waiting.values()), {}
        return frames
