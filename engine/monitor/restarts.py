"""Restarts: who waits for the next start by its policy is started when its back-off is over."""

from __future__ import annotations

import asyncio

from engine.core import Engine
from engine.model.container import Container
from engine.model.status import Status, Verb
from engine.waits import linked_run


class Restarts:
    """The record has the date; this only waits for it. A stop takes the date away."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._open = False
        engine.ledger.listen(self._changed)

    def open(self) -> None:
        """Begin, also with what a former engine left waiting."""
        self._open = True
        for c in self.engine.ledger.records.values():
            self._changed(None, c)

    async def close(self) -> None:
        self._open = False
        for waiting in self._waiting.values():
            waiting.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)

    def _changed(self, before: Container | None, after: Container | None) -> None:
        c = after or before
        assert c
        due = after is not None and after.status is Status.RESTARTING and not (after.run and after.run.moving)
        if due and self._open and c.id not in self._waiting:
            self._waiting[c.id] = asyncio.create_task(self._wait(c))
        elif not due and c.id in self._waiting:
            self._waiting.pop(c.id).cancel()

    async def _wait(self, c: Container) -> None:
        clock = self.engine.host.clock
        assert c.restart_at
        await clock.sleep(max(0.0, (c.restart_at - clock.now()).total_seconds()))
        await linked_run(self.engine.ledger, c)
        self._waiting.pop(c.id, None)
        self.engine.spawn(self.engine.quietly(Verb.AGAIN, c.id))
