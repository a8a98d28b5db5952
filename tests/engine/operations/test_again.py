"""again: the restart policy starts what has ended; stop, kill and remove take its next start away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from engine.core import Engine
from engine.host.simulated import simulated
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import AlreadySo, Conflict, EngineError
from engine.model.status import Status
from engine.monitor.restarts import Restarts
from engine.networks import Networks
from engine.recovery import end_all, recover, start_up
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import BODY, REACH, end, engine_on, settle


@pytest.fixture
async def restarts(engine: Engine) -> AsyncIterator[Restarts]:
    monitor = Restarts(engine)
    monitor.open()
    yield monitor
    await monitor.close()


async def run(engine: Engine, policy: str, most: int = 0, **body: Any) -> None:
    host_config = {"RestartPolicy": {"Name": policy, "MaximumRetryCount": most}}
    await engine.do("create", "", {"name": "web", "body": {**BODY, **body, "HostConfig": host_config}})
    await engine.do("start", "web")


async def until(engine: Engine, status: Status) -> None:
    async with asyncio.timeout(5):
        while engine.resolve("web").status is not status:
            await engine.change()
    await settle(engine)


async def test_between_two_starts_nothing_of_it_is_in_the_world(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.RESTARTING](engine)
    c = engine.resolve("web")
    assert c.state.exit_code == 7 and c.restart_count == 1 and c.restart_at and not world.tasks and not world.mounts
    assert (c.restart_at - c.state.finished_at).total_seconds() == 0.1


async def test_it_runs_again_and_is_waited_for_longer_each_time(engine: Engine, restarts: Restarts) -> None:
    await run(engine, "always")
    for count, seconds in enumerate((0.1, 0.2, 0.4, 0.8), 1):
        await end(engine, 0)
        await until(engine, Status.RUNNING)
        c = engine.resolve("web")
        assert (c.restart_count, round(c.backoff, 3)) == (count, seconds) and c.restart_at is None


async def test_on_failure_counts(engine: Engine, restarts: Restarts) -> None:
    await run(engine, "on-failure", 2)
    for _ in range(2):
        await end(engine, 1)
        await until(engine, Status.RUNNING)
    await end(engine, 1)
    await settle(engine)
    assert engine.resolve("web").status is Status.EXITED
    await engine.do("start", "web")
    assert engine.resolve("web").restart_count == 0
    await end(engine, 0)
    assert engine.resolve("web").status is Status.EXITED


@pytest.mark.parametrize("verb", ["stop", "kill"])
async def test_who_stops_it_between_two_starts_takes_the_next_away(engine: Engine, verb: str) -> None:
    await REACH[Status.RESTARTING](engine)
    so_far = len(await told(engine))
    await engine.do(verb, "web")
    c = engine.resolve("web")
    assert c.status is Status.EXITED and c.restart_at is None and c.has_been_manually_stopped and c.state.exit_code == 7
    assert steps(engine) == ["CancelRestart"]
    assert (await told(engine))[so_far:] == (["stop"] if verb == "stop" else [])


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
async def test_what_was_stopped_stays_stopped_while_the_engine_lives(engine: Engine, restarts: Restarts, policy: str) -> None:
    await run(engine, policy)
    await engine.do("stop", "web")
    await settle(engine)
    assert engine.resolve("web").status is Status.EXITED


async def test_a_signal_that_is_not_its_stop_signal_is_no_wish_that_it_ends(engine: Engine) -> None:
    await run(engine, "always", StopSignal="SIGTERM")
    await engine.do("kill", "web", {"signal": "USR1"})
    await end(engine, 3)
    assert engine.resolve("web").status is Status.RESTARTING


@pytest.mark.parametrize(
    ("verb", "error"), [("start", AlreadySo), ("pause", Conflict), ("unpause", EngineError), ("remove", Conflict)]
)
async def test_what_cannot_be_done_between_two_starts(engine: Engine, verb: str, error: type[EngineError]) -> None:
    await REACH[Status.RESTARTING](engine)
    with pytest.raises(error):
        await engine.do(verb, "web")


async def test_what_cannot_be_started_again_stays_ended_and_says_why(engine: Engine, restarts: Restarts) -> None:
    await run(engine, "always")

    async def broken(mount_id: str) -> str:
        raise Conflict("cannot mount: no")

    engine.host.rootfs.mount = broken  # type: ignore[method-assign]
    await end(engine, 7)
    await until(engine, Status.EXITED)
    c = engine.resolve("web")
    assert c.state.exit_code == 7 and "cannot mount" in c.state.error


async def test_who_waits_hears_of_the_end_though_it_is_started_again(engine: Engine) -> None:
    await run(engine, "always")
    waiting = asyncio.create_task(engine.wait("web"))
    await asyncio.sleep(0)
    await end(engine, 9)
    async with asyncio.timeout(5):
        assert await waiting == 9


async def next_engine(world: SimulatedWorld) -> Engine:
    engine = await engine_on(world)
    start_up(engine)
    await settle(engine)
    return engine


@pytest.mark.parametrize(("policy", "runs"), [("always", True), ("unless-stopped", False), ("on-failure", True), ("no", False)])
async def test_the_next_engine_starts_what_was_stopped_as_the_policy_says(
    world: SimulatedWorld, policy: str, runs: bool
) -> None:
    engine = await engine_on(world)
    await run(engine, policy)
    await engine.do("stop", "web")
    await settle(engine)
    after = await next_engine(world)
    assert (after.resolve("web").status is Status.RUNNING) is runs


async def linked(engine: Engine) -> None:
    """`web` is linked to `db`; both always run."""
    always = {"RestartPolicy": {"Name": "always"}}
    for name, links in (("db", []), ("web", ["db"])):
        body = BODY | {"HostConfig": always | {"Links": links}}
        await engine.do("create", "", {"name": name, "body": body})
        await engine.do("start", name)


async def test_the_next_engine_starts_the_linked_first(world: SimulatedWorld) -> None:
    engine = await engine_on(world)
    await linked(engine)
    await end_all(engine)
    world.records = dict(reversed(world.records.items()))  # whoever is linked is found first
    after = await next_engine(world)
    assert {c.name: c.status for c in after.ledger.records.values()} == {"db": Status.RUNNING, "web": Status.RUNNING}


async def test_between_two_starts_the_linked_is_waited_for(
    engine: Engine, restarts: Restarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await linked(engine)
    web_due, db_due = asyncio.Event(), asyncio.Event()
    naps = iter((web_due, db_due))

    async def sleep(seconds: float) -> None:
        await next(naps).wait()

    monkeypatch.setattr(engine.host.clock, "sleep", sleep)
    for name in ("web", "db"):
        c = engine.resolve(name)
        await engine.host.tasks.kill(c.id, 9)
        await engine.ended(c.id, c.state.pid)
    web_due.set()
    for _ in range(100):
        await asyncio.sleep(0)
    assert engine.resolve("web").status is Status.RESTARTING
    db_due.set()
    await until(engine, Status.RUNNING)
    assert engine.resolve("db").status is Status.RUNNING and not engine.resolve("web").state.error


@pytest.mark.parametrize(("policy", "runs"), [("always", True), ("unless-stopped", True), ("no", False)])
async def test_what_the_engine_itself_stopped_comes_back_with_the_next(world: SimulatedWorld, policy: str, runs: bool) -> None:
    engine = await engine_on(world)
    await run(engine, policy)
    await end_all(engine)
    assert engine.resolve("web").status is Status.EXITED
    after = await next_engine(world)
    assert (after.resolve("web").status is Status.RUNNING) is runs


async def test_after_a_reboot_what_has_a_policy_comes_back(world: SimulatedWorld) -> None:
    engine = await engine_on(world)
    await run(engine, "unless-stopped")
    for gone in (world.tasks, world.specs, world.pipes, world.mounts, world.netns, world.plugs, world.addresses):
        gone.clear()
    after = await engine_on(world)
    c = after.resolve("web")
    assert c.status is Status.RESTARTING and c.restart_count == 1 and c.state.exit_code == 255
    restarts = Restarts(after)
    restarts.open()
    await until(after, Status.RUNNING)
    await restarts.close()


async def test_a_next_start_outlives_the_engine(world: SimulatedWorld) -> None:
    engine = await engine_on(world)
    await REACH[Status.RESTARTING](engine)
    due = engine.resolve("web").restart_at
    after = await engine_on(world)
    assert after.resolve("web").restart_at == due
    restarts = Restarts(after)
    restarts.open()
    await until(after, Status.RUNNING)
    await restarts.close()


async def test_without_live_restore_the_next_engine_stops_what_runs(world: SimulatedWorld) -> None:
    engine = await engine_on(world)
    await run(engine, "no")
    host = simulated(world)
    networks = Networks(host)
    await networks.open()
    after = Engine(host, networks, replace(engine.defaults, live_restore=False))
    await recover(after)
    c = after.resolve("web")
    assert c.status is Status.EXITED and c.state.exit_code == 143 and not c.has_been_manually_stopped
