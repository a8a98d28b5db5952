"""Health: a probe each interval for every running container that asks for it (reference, section 5).

One monitor for each container, from the moment its record says running until it no longer does. It probes, writes the result
down, sleeps. Whoever asks for a probe now wakes it, so there is never more than one probe in a container.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from msgspec.structs import replace

from engine.core import Engine
from engine.host import Clock
from engine.model.container import Container, Probe
from engine.model.errors import Conflict, EngineError, HostFailed
from engine.model.status import Status
from engine.sessions.execs import Execs, Timeout
from engine.spec import health

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks at a freezer that somebody has frozen behind our back."""


class Health:
    """Writes the results into the records, and into `engine.probe_due` when the next one is due."""

    def __init__(self, engine: Engine, execs: Execs) -> None:
        self.engine, self.execs = engine, execs
        self._wards: dict[str, _Ward] = {}
        engine.on_probe = self.probe_now
        engine.ledger.listen(self._changed)

    def open(self) -> None:
        """Begin with what a former engine left running. Their status stays what it is."""
        for c in self.engine.ledger.records.values():
            self._changed(None, c)

    async def close(self) -> None:
        monitors = [ward.monitor for ward in self._wards.values()]
        self._wards.clear()
        for monitor in monitors:
            monitor.cancel()
        await asyncio.gather(*monitors, return_exceptions=True)

    async def probe_now(self, c: Container) -> Probe:
        """Run the check at once, or share in the one that runs. Raises `Conflict` where no probe can be."""
        if c.id in self._wards and await self._frozen(c.id):
            raise _frozen(c)
        if ward := self._wards.get(c.id):
            return await ward.ask()
        raise Conflict(*_why_not(c))

    def _changed(self, before: Container | None, after: Container | None) -> None:
        c = after or before
        assert c
        check = health.check(c.config) if after and c.status is Status.RUNNING else None
        ward = self._wards.get(c.id)
        if ward and (check is None or ward.pid != c.state.pid):
            del self._wards[c.id]
            ward.monitor.cancel()
            self._due(c, None)
        if check and c.id not in self._wards:
            now = self.engine.host.clock.now()
            thawed = before is not None and before.status is Status.PAUSED
            ward = self._wards[c.id] = _Ward(c, check, now if thawed else health.last_looked_at(c.state, now))
            ward.monitor = asyncio.create_task(self._look_after(ward))

    async def _look_after(self, ward: _Ward) -> None:
        """Probe for as long as it runs: what is in the way of one result (a full disk, no containerd) is told, and passes."""
        clock = self.engine.host.clock
        try:
            while c := self.engine.ledger.get(ward.id):
                now = clock.now()
                pause = ward.check.pause(c.state.health or health.begun(None), c.state.started_at, now)
                rest = max(0.0, pause - (now - ward.since).total_seconds())
                self._due(c, now + timedelta(seconds=rest))
                await ward.sleep(clock, rest)
                self._due(c, None)
                try:
                    await self._look(ward)
                except EngineError as error:
                    log.warning("cannot look after the health of %s: %s", c.name, error)
                    ward.answer(error)
                except Exception as error:  # a defect must not leave the container without a monitor
                    log.exception("cannot look after the health of %s", c.name)
                    ward.answer(HostFailed(f"cannot probe {c.name}: {error!r}"))
                ward.since = clock.now()
        finally:
            ward.answer(Conflict(f"the probe in {ward.name} was given up: it was stopped or paused meanwhile"))

    async def _look(self, ward: _Ward) -> None:
        """One result, unless the container is frozen: that says nothing of its health. Then until it is thawed."""
        c = self.engine.ledger.records[ward.id]
        probe = None if await self._frozen(c.id) else await self._probe(c, ward.check)
        if probe is None:
            ward.answer(_frozen(c))
            while await self._frozen(c.id):
                await self.engine.host.clock.sleep(LOOK_SECONDS)
            return
        # A save that has begun is not cancelled with the monitor.
        note = self.engine.ledger.note(c.id, lambda now: self._after(now, ward, probe))
        await asyncio.shield(self.engine.spawn(note))
        ward.answer(probe)

    async def _probe(self, c: Container, check: health.Check) -> Probe | None:
        """The result; None when it failed and the container was frozen meanwhile."""
        clock = self.engine.host.clock
        started = clock.now()
        freezing = asyncio.create_task(self._until_frozen(c.id))
        try:
            code, said = await self.execs.run(c, check.command, timeout=check.timeout, limit=health.OUTPUT_LIMIT + 1)
            output = health.clip(said)
        except Timeout as error:
            code, output = -1, health.timed_out(check.timeout, error.output)
        except EngineError as error:
            code, output = -1, str(error)
        finally:
            seen = freezing.done() and freezing.exception() is None
            freezing.cancel()
            await asyncio.gather(freezing, return_exceptions=True)
        if code and (seen or await self._frozen(c.id)):
            return None
        return Probe(start=started, end=clock.now(), exit_code=code, output=output)

    async def _until_frozen(self, id: str) -> None:
        """A probe that takes long may have been held: it is looked for, so that a short freeze is not taken for an illness."""
        frozen = False
        while not frozen:
            await asyncio.sleep(LOOK_SECONDS)
            frozen = await self._frozen(id)

    async def _frozen(self, id: str) -> bool:
        """Does the kernel hold it still? By us, by somebody else, or with the cgroup above it."""
        freeze = await self.engine.host.cgroups.freezer(id)
        return freeze is not None and freeze.kernel != "thawed"

    def _due(self, c: Container, at: datetime | None) -> None:
        if at is None:
            self.engine.probe_due.pop(c.id, None)
        else:
            self.engine.probe_due[c.id] = at
        self.engine.publish(c)

    def _after(self, now: Container, ward: _Ward, probe: Probe) -> Container | None:
        if self._wards.get(now.id) is not ward:
            return None  # paused, stopped or started anew since the probe began
        before, check = now.state.health or health.begun(None), ward.check
        after = health.after_probe(before, probe, now.state.started_at, check.start_period, check.retries)
        return replace(now, state=replace(now.state, health=after))


class _Ward:
    """One process that is looked after. `since`: when the interval before the next probe began."""

    monitor: asyncio.Task[None]

    def __init__(self, c: Container, check: health.Check, since: datetime) -> None:
        self.id, self.name, self.pid = c.id, c.name, c.state.pid
        self.check, self.since = check, since
        self._asked: list[asyncio.Future[Probe]] = []
        self._nap: asyncio.Task[None] | None = None

    async def sleep(self, clock: Clock, seconds: float) -> None:
        """So long, or until somebody asks."""
        if self._asked:  # before the first interval had begun
            return
        self._nap = asyncio.create_task(clock.sleep(seconds))
        try:
            await asyncio.wait((self._nap,))
        finally:
            self._nap.cancel()

    async def ask(self) -> Probe:
        """The result of the probe that runs or, where none does, of one that begins now."""
        result: asyncio.Future[Probe] = asyncio.get_running_loop().create_future()
        self._asked.append(result)
        if self._nap:
            self._nap.cancel()
        return await result

    def answer(self, outcome: Probe | EngineError) -> None:
        asked, self._asked = self._asked, []
        for result in asked:
            if result.done():  # who asked has gone
                continue
            if isinstance(outcome, EngineError):
                result.set_exception(outcome)
            else:
                result.set_result(outcome)


def _why_not(c: Container) -> tuple[str, str]:
    cannot = f"cannot probe {c.name}: "
    if health.check(c.config) is None:
        return f"{cannot}it has no health check", "create one with a check: --health-cmd"
    if c.status is Status.PAUSED:
        return f"{cannot}it is paused", "unpause it first"
    return f"{cannot}it is not running but {c.status}", "start it first"


def _frozen(c: Container) -> Conflict:
    return Conflict(f"cannot probe {c.name}: its processes are frozen", "thaw it, or the cgroup above it")
