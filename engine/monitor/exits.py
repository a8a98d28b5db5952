"""Exits: whatever ends by itself is recorded and cleaned up. Troubles of the host: told, and made good when they are over."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from msgspec.structs import replace

from engine.core import Engine
from engine.host import Exit
from engine.model.container import Container
from engine.model.errors import EngineError
from engine.model.frames import EngineChanged

log = logging.getLogger(__name__)

FIRST, LONGEST = 1.0, 60.0
"""Seconds between two tries to record an exit, as on a full disk; each waits twice as long as the one before."""


class Exits:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._troubles: dict[str, str] = {}
        self._again: set[asyncio.Task[None]] = set()
        engine.host.tasks.on_exit(self._exited)
        engine.host.tasks.on_oom(self._out_of_memory)
        engine.host.tasks.on_trouble(self._containerd)
        engine.host.stdio.on_trouble(partial(self._trouble, "output"))

    async def close(self) -> None:
        for task in self._again:
            task.cancel()
        await asyncio.gather(*self._again, return_exceptions=True)

    def _exited(self, id: str, exit: Exit) -> None:
        self.engine.spawn(self._record(id, exit.pid, FIRST))

    async def _record(self, id: str, pid: int, delay: float) -> None:
        try:
            await self.engine.ended(id, pid)
        except EngineError as error:
            log.warning("%s; trying again in %g s", error, delay)
            again = asyncio.create_task(self._try_again(id, pid, delay))
            self._again.add(again)
            again.add_done_callback(self._again.discard)

    async def _try_again(self, id: str, pid: int, delay: float) -> None:
        await self.engine.host.clock.sleep(delay)
        self.engine.spawn(self._record(id, pid, min(2 * delay, LONGEST)))

    def _out_of_memory(self, id: str) -> None:
        if id in self.engine.ledger.records:
            self.engine.spawn(self.engine.ledger.note(id, _killed))

    def _trouble(self, part: str, sentence: str) -> None:
        self._troubles[part] = sentence
        hub, trouble = self.engine.hub, "; ".join(filter(None, self._troubles.values()))
        if trouble != hub.world.engine.trouble:
            hub.publish(EngineChanged(engine=replace(hub.world.engine, trouble=trouble)))

    def _containerd(self, sentence: str) -> None:
        self._trouble("containerd", sentence)
        if not sentence:
            for c in self.engine.ledger.records.values():
                if c.state.status.alive:
                    self.engine.spawn(self._look_again(c.id))

    async def _look_again(self, id: str) -> None:
        """containerd is back: what ended meanwhile is found by looking, since its events are lost."""
        try:
            task = await self.engine.host.tasks.look(id)
        except EngineError:
            return  # its shim is dying: the wait for its exit tells of it
        if task is None or task.status == "stopped":
            await self._record(id, 0, FIRST)


def _killed(c: Container) -> Container:
    return replace(c, state=replace(c.state, oom_killed=True))
