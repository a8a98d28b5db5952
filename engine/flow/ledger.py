"""The ledger: every record in memory, each change saved before it is believed, each save told at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from engine.model.errors import EngineError
from engine.model.run import Record

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)


class Store(Protocol):
    """Where records last. A host's `Records` port is one."""

    async def save(self, kind: str, id: str, data: bytes, *, sync: bool = False) -> None: ...

    async def load(self, kind: str) -> dict[str, bytes]: ...

    async def forget(self, kind: str, id: str) -> None: ...


class Ledger(Generic[R]):
    """The only writer of one kind of record.

    Claims (a name, an address) are taken by looking at `records` and calling `claim` with no await between.
    """

    def __init__(self, store: Store, kind: str, encode: Callable[[R], bytes], decode: Callable[[bytes], R]) -> None:
        self.records: dict[str, R] = {}
        self._told: dict[str, R] = {}  # what listeners last heard: a step's move is in `records` before it is saved
        self._store, self._kind, self._encode, self._decode = store, kind, encode, decode
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # each lives while somebody wants it
        self._listeners: list[Callable[[R | None, R | None], None]] = []
        self._move_listeners: list[Callable[[R, int], None]] = []

    def listen(self, listener: Callable[[R | None, R | None], None]) -> None:
        """Be told (before, after) in the tick of every change; None: did not exist, or is gone. Must not raise."""
        self._listeners.append(listener)

    @contextmanager
    def listening(self, listener: Callable[[R | None, R | None], None]) -> Iterator[None]:
        """Be told for a while."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def listen_moves(self, listener: Callable[[R, int], None]) -> None:
        """Be told (record, row) in the tick in which a step's mark moves. Must not raise."""
        self._move_listeners.append(listener)

    def moved(self, r: R, row: int) -> None:
        """A step of the record's run was begun, done or taken back. Not saved: the next save carries it."""
        self.records[r.id] = r
        for listener in self._move_listeners:
            listener(r, row)

    def lock(self, id: str) -> AbstractAsyncContextManager[None]:
        """One operation at a time for each record."""
        return self._locks.setdefault(id, asyncio.Lock())

    def get(self, id: str) -> R | None:
        return self.records.get(id)

    def told(self, id: str) -> R | None:
        """The record as listeners know it: without what a step has done since and is not saved."""
        return self._told.get(id)

    async def load(self) -> None:
        """Read every record. All are known before any is recovered. One that cannot be read is left alone, and told."""
        for id, data in (await self._store.load(self._kind)).items():
            try:
                self.records[id] = self._told[id] = self._decode(data)
            except EngineError as error:
                log.error("%s of %s is left out: %s", self._kind, id, error)

    def claim(self, r: R) -> None:
        """Make the record known before it is saved, so that nobody else takes what it decided on."""
        self.records[r.id] = r

    async def save(self, r: R, *, sync: bool = False) -> R:
        """Make a record last, then make it known. Raises when it could not be saved: nothing is known then."""
        await self._store.save(self._kind, r.id, self._encode(r), sync=sync)
        self.records[r.id] = r
        self._tell(r.id, r)
        return r

    def keep(self, r: R) -> None:
        """Make a record known without saving it: what is on disk is older, and safe to recover from."""
        self.records[r.id] = r
        self._tell(r.id, r)

    async def note(self, id: str, change: Callable[[R], R | None]) -> None:
        """Write down an observation, between operations. `change` answers None when it no longer applies."""
        async with self.lock(id):
            r = self.records.get(id)
            changed = change(r) if r else None
            if changed is not None and changed != r:
                await self.save(changed)

    async def forget(self, id: str) -> None:
        """Remove the record and its directory."""
        await self._store.forget(self._kind, id)
        self.records.pop(id, None)
        self._tell(id, None)

    def _tell(self, id: str, after: R | None) -> None:
        before = self._told.pop(id, None)
        if after is not None:
            self._told[id] = after
        elif before is None:
            return
        for listener in tuple(self._listeners):
            listener(before, after)
