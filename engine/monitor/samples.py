"""What changes without a record changing: freezers, figures, and whether everything held is still in the kernel.

Only the freezer's events are followed all the time; the rest is read once a second, and only while somebody watches.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

import psutil

from engine.core import Engine
from engine.flow.step import held_steps
from engine.model.container import Container
from engine.model.errors import EngineError
from engine.model.frames import NetworksChanged, Sampled
from engine.model.world import HostSample, NetworkRow, Sample
from engine.spec.rows import network_row

log = logging.getLogger(__name__)

SECONDS = 1.0
SIZES_EVERY = 5
"""Rounds between two walks through the writable layers."""
FIREWALL_EVERY = 5
"""Rounds between two looks at a stranger's firewall, watched or not."""


class Samples:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.host = engine, engine.host
        self._before: dict[str, tuple[float, int, int, int]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._round = 0
        self._sampler: asyncio.Task[None] | None = None
        self._follower: asyncio.Task[None] | None = None
        engine.ledger.listen(self._changed)

    def open(self) -> None:
        for c in self.engine.ledger.records.values():
            self._changed(None, c)
        self._sampler = asyncio.create_task(self._sample())

    async def close(self) -> None:
        tasks = [task for task in (self._sampler, self._follower) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, before: Container | None, after: Container | None) -> None:
        c = after or before
        assert c
        if after and after.state.status.alive:
            self.host.cgroups.watch(c.id)
            if before and before.state.status is not after.state.status and self.engine.hub.watched:
                self.engine.spawn(self._read_freezer(c.id))
        else:
            self.host.cgroups.unwatch(c.id)
            self.engine.freezers.pop(c.id, None)
            self.engine.missing.pop(c.id, None)

    async def _follow_freezers(self) -> None:
        async for id in self.host.cgroups.changes():
            await self._read_freezer(id)

    def _follow_while_watched(self) -> None:
        """Following costs a look every 250 ms on cgroup v1, so it is done only for somebody."""
        if self.engine.hub.watched and (self._follower is None or self._follower.done()):
            self._follower = asyncio.create_task(self._follow_freezers())
        elif not self.engine.hub.watched and self._follower:
            self._follower.cancel()
            self._follower = None

    async def _read_freezer(self, id: str) -> None:
        c = self.engine.ledger.get(id)
        if c is None:
            return
        freeze = await self.host.cgroups.freezer(id) if c.state.status.alive else None
        if freeze is None:
            self.engine.freezers.pop(id, None)
        else:
            self.engine.freezers[id] = freeze
        self.engine.publish(c)

    async def _sample(self) -> None:
        while True:
            self._round += 1
            self._follow_while_watched()
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
        await self._look_at_networks()
        alive = [c for c in self.engine.ledger.records.values() if c.state.status.alive]
        counters = await self.host.links.counters()
        usages = await self.host.cgroups.usages([c.id for c in alive])
        samples = []
        for c in alive:
            try:
                await self._look_for_missing(c)
                await self._read_freezer(c.id)
                if c.id in usages:
                    samples.append(await self._figures(c, usages[c.id], counters))
            except EngineError as error:  # its shim is dying, say: no reason not to look at the others
                log.info("cannot look at %s: %s", c.name, error)
        self._before = {id: kept for id, kept in self._before.items() if id in usages}
        self._sizes = {id: kept for id, kept in self._sizes.items() if id in usages}
        memory = psutil.virtual_memory()
        host = HostSample(cpu=psutil.cpu_percent(), memory_used=memory.total - memory.available)
        self.engine.hub.publish(Sampled(samples=tuple(samples), host=host))

    async def _look_for_missing(self, c: Container) -> None:
        """What the record holds and the kernel does not have: somebody took it away behind our back."""
        if c.run and c.run.open:
            return
        missing = tuple([step.thing for step in held_steps(c) if step.thing and await step.evidence(self.host, c) is None])
        if self.engine.ledger.get(c.id) is c and missing != self.engine.missing.get(c.id, ()):
            self.engine.missing[c.id] = missing
            self.engine.publish(c)

    async def _look_at_networks(self) -> None:
        rows: dict[str, NetworkRow] = {}
        for own in self.engine.networks.all.values():
            up = bool(own.bridge) and await self.host.links.look_bridge(own.bridge) is not None
            nat = bool(own.bridge) and await self.host.firewall.look(own) is not None
            rows[own.name] = network_row(own, up=up, nat=nat)
        if rows != self.engine.hub.world.networks:
            self.engine.hub.publish(NetworksChanged(networks=rows))

    async def _figures(self, c: Container, usage: tuple[int, int, int], counters: dict[str, tuple[int, int]]) -> Sample:
        now, (cpu, memory, limit) = time.monotonic(), usage
        # What the host's end of the cable receives, the container has sent.
        tx, rx = counters.get(c.endpoint.veth, (0, 0)) if c.endpoint else (0, 0)
        then, cpu_then, rx_then, tx_then = self._before.get(c.id, (now - SECONDS, cpu, rx, tx))
        self._before[c.id] = (now, cpu, rx, tx)
        if c.layers and (c.id not in self._sizes or self._round % SIZES_EVERY == 0):
            with suppress(EngineError):
                self._sizes[c.id] = await self.host.rootfs.sizes(c.layers.mount_id)
        size, changes = self._sizes.get(c.id, (None, None))
        past = max(now - then, 0.001)
        return Sample(
            id=c.id,
            cpu=max(0.0, (cpu - cpu_then) / past / 1e7),
            memory=memory,
            memory_limit=limit,
            rx=max(0.0, (rx - rx_then) / past),
            tx=max(0.0, (tx - tx_then) / past),
            rw_size=size,
            changes=changes,
        )
