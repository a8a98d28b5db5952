"""Health: a probe each interval for every running container that asks for it (reference, section 5)."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from msgspec.structs import replace

from engine.core import Engine
from engine.model.container import Container, Probe
from engine.model.errors import EngineError
from engine.model.status import Status
from engine.spec import health, oci

log = logging.getLogger(__name__)

EXEC_ID = "health"
"""One probe at a time for each container, always under this name, so a dead engine's last one can be found."""


class Health:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._monitors: dict[str, asyncio.Task[None]] = {}
        engine.ledger.listen(self._changed)

    def open(self) -> None:
        """Begin with what a former engine left running."""
        for c in self.engine.ledger.records.values():
            self._changed(None, c)

    async def close(self) -> None:
        for monitor in self._monitors.values():
            monitor.cancel()
        await asyncio.gather(*self._monitors.values(), return_exceptions=True)

    def _changed(self, before: Container | None, after: Container | None) -> None:
        c = after or before
        assert c
        wanted = after is not None and after.status is Status.RUNNING and health.check(after.config) is not None
        if wanted and c.id not in self._monitors:
            self._monitors[c.id] = asyncio.create_task(self._monitor(c))
        elif not wanted and c.id in self._monitors:
            self._monitors.pop(c.id).cancel()

    async def _monitor(self, c: Container) -> None:
        """Probe for as long as it runs: what is in the way of one result (a full disk, no containerd) is told, and passes."""
        check = health.check(c.config)
        assert check
        while True:
            try:
                await self._look_after(c, check)
                return
            except EngineError as error:
                log.warning("cannot look after the health of %s: %s", c.name, error)
                await self.engine.host.clock.sleep(check.interval)

    async def _look_after(self, c: Container, check: health.Check) -> None:
        await self.engine.host.tasks.forget_exec(c.id, EXEC_ID)
        while True:
            now = self.engine.ledger.get(c.id)
            if now is None or now.state.health is None:
                return
            clock = self.engine.host.clock
            await clock.sleep(check.pause(now.state.health, c.state.started_at, clock.now()))
            after = partial(self._after, then=c, check=check, probe=await self._probe(c, check))
            # A save that has begun is not cancelled with the monitor.
            await asyncio.shield(self.engine.spawn(self.engine.ledger.note(c.id, after)))

    async def _probe(self, c: Container, check: health.Check) -> Probe:
        host = self.engine.host
        started = host.clock.now()
        try:
            assert c.layers
            groups = tuple(c.host_config.group_add or ())
            user = await host.rootfs.user(c.layers.mount_id, c.config.user, groups)
            process = oci.process(c, host.facts, user, check.command)
            self._tell(c, f"exec_create: {' '.join(check.command)}")
            self._tell(c, f"exec_start: {' '.join(check.command)}")
            code, said = await host.tasks.probe(c.id, EXEC_ID, process, check.timeout, health.OUTPUT_LIMIT + 1)
            output = health.clip(said)
            self._tell(c, "exec_die", exitCode=str(code))
        except TimeoutError:
            code, output = -1, health.timed_out(check.timeout)
        except EngineError as error:
            code, output = -1, str(error)
        return Probe(start=started, end=host.clock.now(), exit_code=code, output=output)

    def _tell(self, c: Container, action: str, **attributes: str) -> None:
        own = (c.config.labels or {}) | {"image": c.config.image, "name": c.name, "execID": EXEC_ID}
        self.engine.events.publish("container", action, c.id, own | attributes)

    @staticmethod
    def _after(now: Container, then: Container, check: health.Check, probe: Probe) -> Container | None:
        if now.status is not Status.RUNNING or now.state.pid != then.state.pid or now.state.health is None:
            return None
        after = health.after_probe(now.state.health, probe, now.state.started_at, check.start_period, check.retries)
        return replace(now, state=replace(now.state, health=after))
