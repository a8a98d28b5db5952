"""Exits: whatever ends by itself is recorded and cleaned up; containerd's absence is told and made good."""

from __future__ import annotations

from msgspec.structs import replace

from engine.core import Engine
from engine.host import Exit
from engine.model.frames import EngineChanged


class Exits:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.host.tasks.on_exit(self._exited)
        engine.host.tasks.on_trouble(self._trouble)

    def _exited(self, id: str, exit: Exit) -> None:
        self.engine.spawn(self.engine.ended(id, exit.pid))

    def _trouble(self, sentence: str) -> None:
        hub = self.engine.hub
        hub.publish(EngineChanged(engine=replace(hub.world.engine, trouble=sentence)))
        if not sentence:
            self.engine.spawn(self._look_again())

    async def _look_again(self) -> None:
        """containerd is back: what ended meanwhile is found by looking, since its events are lost."""
        for c in list(self.engine.ledger.records.values()):
            if c.state.status.alive:
                task = await self.engine.host.tasks.look(c.id)
                if task is None or task.status == "stopped":
                    self.engine.spawn(self.engine.ended(c.id, 0))
