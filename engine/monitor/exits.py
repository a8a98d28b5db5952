"""Exits: whatever ends by itself is recorded and cleaned up. Troubles of the host: told, and made good when they are over."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from engine.core import Engine
from engine.host import Exit
from engine.model.errors import EngineError
from engine.model.frames import EngineChanged


class Exits:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._troubles: dict[str, str] = {}
        engine.host.tasks.on_exit(self._exited)
        engine.host.tasks.on_trouble(self._containerd)
        engine.host.stdio.on_trouble(partial(self._trouble, "output"))

    def _exited(self, id: str, exit: Exit) -> None:
        self.engine.spawn(self.engine.ended(id, exit.pid))

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
            await self.engine.ended(id, 0)
