"""Links: whoever deletes a cable or a bridge by hand is noticed at once, for as long as somebody watches."""

from __future__ import annotations

import asyncio
import logging
import time

from engine.core import Engine
from engine.model.errors import EngineError
from engine.monitor.missing import Missing

log = logging.getLogger(__name__)

SECONDS = 0.1
"""Between two looks, at the least: what changes meanwhile is seen in one."""
REST = 10
"""How many times as long as a look took there is none: a hundred starts at once ring all the time."""


class Links:
    def __init__(self, engine: Engine, missing: Missing) -> None:
        self.engine, self.missing = engine, missing
        self._following: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def follow(self, wanted: bool) -> None:
        """Follow or let be: nobody needs to know what nobody sees."""
        if wanted and (self._following is None or self._following.done()):
            self._following = asyncio.create_task(self._follow())
        elif not wanted and self._following:
            self._following.cancel()
            self._following = None

    async def _follow(self) -> None:
        try:
            while True:
                await self.engine.host.links.changed()
                began = time.monotonic()
                await self.missing.look([c for c in self.engine.ledger.records.values() if c.state.status.alive])
                await asyncio.sleep(max(SECONDS, REST * (time.monotonic() - began)))
        except (EngineError, OSError) as error:  # followed again with the next round
            log.warning("cannot follow the host's links: %s", error)
