"""What changes without a record changing: freezers, figures, and whether everything held is still in the kernel.

All this is read only while somebody watches, once a second and of all containers in one go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

import psutil

from engine.core import Engine
from engine.model.container import Container
from engine.model.errors import EngineError
from engine.model.frames import Sampled
from engine.model.world import HostSample, Sample
from engine.monitor.freezers import Freezers
from engine.monitor.links import Links
from engine.monitor.missing import Missing

log = logging.getLogger(__name__)

SECONDS = 1.0
SIZES_SECONDS = 5.0
"""Between two walks through one writable layer, at the least."""
SIZES_BUDGET = 0.01
"""Seconds of walking in one go; the rest has its turn later."""
SIZES_REST = 50
"""How many times as long as a walk took there is none."""
FIREWALL_EVERY = 5
"""Rounds between two looks at a stranger's firewall, watched or not."""


Carried = dict[str, tuple[int, int]]
"""Bytes received and sent by the host's end of each cable."""


class Samples:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.host = engine, engine.host
        self._freezers, self._missing = Freezers(engine), Missing(engine)
        self._links = Links(engine, self._missing)
        self._before: dict[str, tuple[float, int, Carried]] = {}
        """When measured, nanoseconds of CPU, and what each cable had carried."""
        self._sizes: dict[str, tuple[float, int, int]] = {}
        """When measured, bytes, files; the one measured longest ago first."""
        self._rested = 0.0
        self._round = 0
        self._sampler: asyncio.Task[None] | None = None
        self._walker: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._freezers.open()
        self._sampler = asyncio.create_task(self._sample())

    async def close(self) -> None:
        tasks = [task for task in (self._sampler, self._walker) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._freezers.close(), self._links.close(), return_exceptions=True)

    async def _sample(self) -> None:
        while True:
            self._round += 1
            self._freezers.follow(self.engine.hub.watched)
            self._links.follow(self.engine.hub.watched)
            try:
                if self._round % FIREWALL_EVERY == 0:
                    await self.host.links.refresh()
                    await self.host.firewall.refresh()
                if self.engine.hub.watched:
                    await self._look()
            except EngineError as error:
                log.warning("cannot look at the kernel: %s", error)
            except Exception:  # the next look may succeed, and without looks the screen would stand still
                log.exception("cannot look at the kernel")
            await asyncio.sleep(SECONDS)

    async def _look(self) -> None:
        alive = [c for c in self.engine.ledger.records.values() if c.state.status.alive]
        counters = await self.host.links.counters()
        usages = await self.host.cgroups.usages([c.id for c in alive])
        now = time.monotonic()
        samples = tuple([self._figures(c, now, usages[c.id], counters) for c in alive if c.id in usages])
        self._before = {id: kept for id, kept in self._before.items() if id in usages}
        memory = psutil.virtual_memory()
        host = HostSample(cpu=psutil.cpu_percent(), memory_used=memory.total - memory.available)
        self.engine.hub.publish(Sampled(samples=samples, host=host))
        if now > self._rested and (self._walker is None or self._walker.done()):
            self._walker = self.engine.spawn(self._measure(alive))
        await self._missing.look(alive)

    async def _measure(self, alive: list[Container]) -> None:
        """Walk through the writable layers that were not walked through for longest."""
        mounts = {c.id: c.layers.mount_id for c in alive if c.layers}
        self._sizes = {id: kept for id, kept in self._sizes.items() if id in mounts}
        began = time.monotonic()
        for id in [*(mounts.keys() - self._sizes.keys()), *self._sizes]:
            last = self._sizes.get(id)
            if time.monotonic() > began + SIZES_BUDGET or (last and last[0] > began - SIZES_SECONDS):
                break
            with suppress(EngineError):  # removed meanwhile
                size, changes = await self.host.rootfs.sizes(mounts[id])
                self._sizes.pop(id, None)
                self._sizes[id] = (time.monotonic(), size, changes)
        now = time.monotonic()
        self._rested = now + (now - began) * SIZES_REST

    def _figures(self, c: Container, now: float, usage: tuple[int, int, int], counters: dict[str, tuple[int, int]]) -> Sample:
        cpu, memory, limit = usage
        carried = {e.veth: counters[e.veth] for e in c.plugged if e.veth in counters}
        then, cpu_then, before = self._before.get(c.id, (now - SECONDS, cpu, carried))
        self._before[c.id] = (now, cpu, carried)
        _, size, changes = self._sizes.get(c.id, (0, None, None))
        past = max(now - then, 0.001)
        wires = {veth: _rates(count, before.get(veth, count), past) for veth, count in carried.items()}
        return Sample(
            id=c.id,
            cpu=max(0.0, (cpu - cpu_then) / past / 1e7),
            memory=memory,
            memory_limit=limit,
            rx=sum(rx for rx, _ in wires.values()),
            tx=sum(tx for _, tx in wires.values()),
            wires=wires if len(wires) > 1 else {},
            rw_size=size,
            changes=changes,
        )


def _rates(count: tuple[int, int], before: tuple[int, int], past: float) -> tuple[float, float]:
    """Bytes per second into the container and out of it: what the host's end of the cable receives, the container has sent."""
    tx, rx = (max(0.0, (now - then) / past) for now, then in zip(count, before, strict=True))
    return rx, tx
