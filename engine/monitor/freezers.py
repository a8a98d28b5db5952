"""Freezers: the kernel's word for each living container, as it changes, for as long as somebody watches."""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from engine.core import Engine
from engine.host import Freeze
from engine.model.container import Container
from engine.model.errors import EngineError

log = logging.getLogger(__name__)


class Freezers:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.cgroups = engine, engine.host.cgroups
        self._following: asyncio.Task[None] | None = None
        engine.ledger.listen(self._changed)

    def open(self) -> None:
        for c in self.engine.ledger.records.values():
            self._changed(None, c)

    async def close(self) -> None:
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def follow(self, wanted: bool) -> None:
        """Follow or let be: on cgroup v1 it costs a look every 250 ms."""
        if wanted and (self._following is None or self._following.done()):
            self._following = asyncio.create_task(self._follow())
        elif not wanted and self._following:
            self._following.cancel()
            self._following = None

    def _changed(self, before: Container | None, after: Container | None) -> None:
        c = after or before
        assert c
        if after and after.state.status.alive:
            self.cgroups.watch(c.id)
        else:
            self.cgroups.unwatch(c.id)
            self.engine.freezers.pop(c.id, None)
            self.engine.missing.pop(c.id, None)

    async def _follow(self) -> None:
        try:
            async for said in self.cgroups.changes():
                for id, freeze in said.items():
                    self._tell(id, freeze)
        except EngineError as error:  # followed again with the next round
            log.warning("cannot follow the freezers: %s", error)

    def _tell(self, id: str, freeze: Freeze) -> None:
        c, told = self.engine.ledger.get(id), self.engine.freezers.get(id)
        now = self._dated(freeze, told)
        if c and c.state.status.alive and now != told:
            self.engine.freezers[id] = now
            self.engine.publish(c)

    def _dated(self, freeze: Freeze, before: Freeze | None) -> Freeze:
        """With the time since when it has been freezing."""
        if freeze.kernel != "freezing":
            return freeze
        began = before.since if before and before.kernel == "freezing" else None
        return replace(freeze, since=began or self.engine.host.clock.now())
