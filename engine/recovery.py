"""An engine begins where the last one ended, and ends: what it takes up, what it starts, what it stops."""

from __future__ import annotations

import asyncio
import logging
import time

from msgspec.structs import replace

from engine.core import Engine
from engine.flow.step import held_steps
from engine.model.container import Container
from engine.model.errors import EngineError
from engine.model.interface import NO_PARAMS
from engine.model.status import Status, Verb
from engine.operations.exited import exited
from engine.operations.restart import to_be_started
from engine.operations.stop import grace
from engine.spec.logs import output
from engine.spec.restarts import wanted_at_boot
from engine.steps.task import ConnectOutput
from engine.waits import FOREVER, linked_run

log = logging.getLogger(__name__)


PATIENCE = 10.0
"""Seconds that one container's trouble keeps all others waiting for the engine."""
AGAIN_SECONDS = 5.0
"""Between two tries of what could not be recovered, as when a shim does not answer."""


class Recovery:
    """What a new engine does with the containers of the last one, until all of them are looked after again."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._rest: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load every record, then take up what a dead engine left open, all records side by side.

        Those that take long, or cannot be taken up now, are seen to in the background: each is locked as long as it takes.
        """
        engine = self.engine
        await engine.ledger.load()
        for c in engine.ledger.records.values():
            engine.publish(c)
        await engine.refresh_images()
        await self._sweep()
        began = time.monotonic()
        tries = {id: engine.spawn(_recover(engine, id)) for id in list(engine.ledger.records)}
        late = (await asyncio.wait(tries.values(), timeout=PATIENCE))[1] if tries else set()
        log.info("took up %d of %d containers in %.1f s", len(tries) - len(late), len(tries), time.monotonic() - began)
        self._rest = asyncio.create_task(self._see_to_the_rest(tries))

    async def _sweep(self) -> None:
        """Ports whose container is gone lead nowhere any more."""
        host, known = self.engine.host, self.engine.ledger.records.keys()
        for owner in await host.firewall.owners() - known:
            await host.firewall.unforward(owner)
        for owner in await host.ports.owners() - known:
            await host.ports.give_back(owner)

    async def close(self) -> None:
        if self._rest:
            self._rest.cancel()
            await asyncio.gather(self._rest, return_exceptions=True)

    async def _see_to_the_rest(self, tries: dict[str, asyncio.Task[bool]]) -> None:
        while left := [id for id, recovered in tries.items() if not await asyncio.shield(recovered)]:
            await self.engine.host.clock.sleep(AGAIN_SECONDS)
            tries = {id: self.engine.spawn(_recover(self.engine, id)) for id in left}


async def recover(engine: Engine) -> None:
    """All that a new engine can take up at once."""
    recovery = Recovery(engine)
    await recovery.open()
    await recovery.close()


async def _recover(engine: Engine, id: str) -> bool:
    """Take up one container. False: try again later."""
    async with engine.ledger.lock(id):
        c = engine.ledger.get(id)
        if c is None:
            return True
        try:
            restarting = c.run is not None and c.run.open and c.run.compound == Verb.RESTART
            await _connect_output(engine, c)
            if c.run and c.run.open:
                c = await engine.runner.resume(c)
            await _adopt(engine, c)
            now = engine.ledger.get(id)
            if now and (to_be_started(now) or (restarting and not now.status.up)):
                await engine.walk(Verb.RESTART, id, NO_PARAMS)
        except EngineError as error:
            log.warning("cannot recover %s: %s", c.name, error)
            now = engine.ledger.get(id)
            # Where the walk itself has ended, the record says how; else nobody has looked after it yet.
            return now is None or not now.state.status.alive or now.status is Status.DEAD
        except Exception:  # one container's trouble must not keep the engine from the others
            log.exception("cannot recover %s", c.name)
        finally:
            engine.networks.release(id)
    engine.clean_after(Verb.EXITED, id)
    return True


async def _connect_output(engine: Engine, c: Container) -> None:
    """Copy what the process says, or has said, before its task can be deleted: the shim waits only 2 s for a reader."""
    if ConnectOutput.__name__ in c.held and await engine.host.tasks.look(c.id):
        await engine.host.stdio.make(c.id, output(c))


async def _adopt(engine: Engine, c: Container) -> None:
    """Take over a container that a former engine started: its process, its output, its freezer."""
    if c.id not in engine.ledger.records or not c.state.status.alive:
        return
    task = await engine.host.tasks.look(c.id)
    if task is None:
        # Gone with the machine, most likely: its policy counts anew, as if somebody had started it (reference 7.3).
        await engine.runner.run(exited(c), replace(c, restart_count=0, backoff=0.0))
        return
    if task.status == "stopped":
        await engine.runner.run(exited(c), c)
        return
    await engine.host.tasks.adopt(c.id)
    await _renew(engine, c)
    if not engine.defaults.live_restore:
        await engine.walk(Verb.STOP, c.id, {"manual": False})


async def _renew(engine: Engine, c: Container) -> None:
    """Do again what did not outlive the last engine: its name service, say. What is there still is left alone."""
    for step in held_steps(c):
        if step.renewed and await step.evidence(engine.host, c) is None:
            now = await step.do(engine.host, c)
            if now != c:
                c = await engine.ledger.save(now)


def start_up(engine: Engine) -> None:
    """Start what its restart policy wants running, now that all else is recovered (reference 7.3)."""
    for c in engine.ledger.records.values():
        if wanted_at_boot(c) and not (c.run and c.run.open):
            engine.spawn(_start(engine, c))


async def _start(engine: Engine, c: Container) -> None:
    await linked_run(engine.ledger, c)
    await engine.quietly(Verb.START, c.id)


async def end_all(engine: Engine, *, patient: bool = False) -> None:
    """Stop every container, as its own stop signal and grace time say. Nobody asked: restart policies still hold.

    `patient`: however long it takes. Else those that take too long are left to the next engine.
    """
    alive = [c for c in engine.ledger.records.values() if c.state.status.alive]
    most = max((grace(c, NO_PARAMS) for c in alive), key=lambda seconds: (seconds < 0, seconds), default=0.0)
    stops = [engine.spawn(engine.quietly(Verb.STOP, c.id, {"manual": False})) for c in alive]
    seconds = FOREVER if patient or most < 0 else max(engine.defaults.shutdown_timeout, most + 5)
    if stops and (await asyncio.wait(stops, timeout=seconds))[1]:
        log.warning("containers are left that did not end in time")
