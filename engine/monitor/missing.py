"""What records hold and the kernel no longer has: somebody took it away behind our back.

Most things are seen in one go, however many containers there are. What can be seen only one by one (an address inside, a FIFO,
the specification) is looked at in turn, a few containers a second, and at once where a record has just changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.core import Engine
from engine.flow.step import Step, held_steps
from engine.host import Sighting, sighted
from engine.model.container import Container
from engine.model.errors import EngineError

log = logging.getLogger(__name__)

PERIOD = 10.0
"""Seconds after which a single container is worth a closer look again."""
BUDGET = 0.05
"""Seconds of each round for such looks; the first is had in any case."""


@dataclass(eq=False)
class _Held:
    """What one record says should be there."""

    c: Container
    things: list[str] = field(default_factory=list)
    """In the order of the steps."""
    sightings: dict[Sighting, str] = field(default_factory=dict)
    """The things that are seen in one go."""
    others: list[Step[Any, Container]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Of the others: what the last look has missed."""
    looked: float = -PERIOD
    """When that was."""


class Missing:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.host = engine, engine.host
        self._held: dict[str, _Held] = {}
        """By container, the one looked at longest ago first."""
        self._looking = asyncio.Lock()

    async def look(self, alive: Iterable[Container]) -> None:
        """One round."""
        async with self._looking:
            await self._round(alive)

    async def _round(self, alive: Iterable[Container]) -> None:
        await self.engine.network_verbs.refresh()
        self._take(alive)
        there = await sighted(self.host)
        await self._look_closer()
        for id, held in self._held.items():
            gone = held.gone.union(held.sightings[each] for each in held.sightings.keys() - there)
            missing = tuple([thing for thing in held.things if thing in gone]) if gone else ()
            if self.engine.ledger.get(id) is held.c and missing != self.engine.missing.get(id, ()):
                self.engine.missing[id] = missing
                self.engine.publish(held.c)

    def _take(self, alive: Iterable[Container]) -> None:
        """Go by the records as they are now. An operation on its way is about to change what should be there."""
        now = {c.id: c for c in alive if not (c.run and c.run.open)}
        known = {id: held for id, held in self._held.items() if now.get(id) is held.c}
        self._held = {id: _hold(c) for id, c in now.items() if id not in known} | known

    async def _look_closer(self) -> None:
        """Look at single containers, those whose record is new first, then the others in turn, until the time is up."""
        now = time.monotonic()
        for id, held in list(self._held.items()):
            if held.looked > now - PERIOD:
                return
            held.looked = now
            try:
                held.gone = {step.called(held.c) for step in held.others if await step.evidence(self.host, held.c) is None}
            except EngineError as error:  # its shim is dying, say: no reason not to look at the others
                log.info("cannot look at %s: %s", held.c.name, error)
            self._held[id] = self._held.pop(id)
            if time.monotonic() > now + BUDGET:
                return


def _hold(c: Container) -> _Held:
    held = _Held(c)
    for step in held_steps(c):
        if step.thing:
            thing = step.called(c)
            held.things.append(thing)
            if sighting := step.sighting(c):
                held.sightings[sighting] = thing
            else:
                held.others.append(step)
    return held
