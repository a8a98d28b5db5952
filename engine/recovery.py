"""An engine begins where the last one ended, and ends: what it takes up, what it starts, what it stops."""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from engine.core import FOREVER, Engine
from engine.model.container import Container
from engine.model.errors import EngineError
from engine.model.interface import NO_PARAMS
from engine.model.status import Verb
from engine.operations.exited import exited
from engine.operations.restart import to_be_started
from engine.operations.stop import grace
from engine.spec.logs import output
from engine.spec.restarts import wanted_at_boot
from engine.steps.task import ConnectOutput

log = logging.getLogger(__name__)


async def recover(engine: Engine) -> None:
    """Load every record, then take up what a dead engine left open, all records side by side."""
    await engine.ledger.load()
    for c in engine.ledger.records.values():
        engine.publish(c)
    await engine.refresh_images()
    await asyncio.gather(*(engine.spawn(_recover(engine, id)) for id in list(engine.ledger.records)))


async def _recover(engine: Engine, id: str) -> None:
    async with engine.ledger.lock(id):
        c = engine.ledger.records[id]
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
        except Exception:  # one container's trouble must not keep the engine from the others
            log.exception("cannot recover %s", c.name)
        finally:
            engine.networks.release(id)
    engine.clean_after(Verb.EXITED, id)


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
    if not engine.defaults.live_restore:
        await engine.walk(Verb.STOP, c.id, {"manual": False})


def start_up(engine: Engine) -> None:
    """Start what its restart policy wants running, now that all else is recovered (reference 7.3)."""
    for c in engine.ledger.records.values():
        if wanted_at_boot(c) and not (c.run and c.run.open):
            engine.spawn(engine.quietly(Verb.START, c.id))


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
