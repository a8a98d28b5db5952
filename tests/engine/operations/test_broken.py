"""When the host fails and goes on failing: nobody waits for what nobody walks, no run stays open that nobody takes up."""

from __future__ import annotations

import asyncio

import pytest

from engine.core import Engine
from engine.host import within
from engine.model.container import Container
from engine.model.errors import AlreadySo, Conflict, EngineError, HostFailed, Invalid, NotFound
from engine.model.run import Move, Way
from engine.model.status import Status
from tests.engine.faults import Faults
from tests.engine.operations.seen import told
from tests.engine.worlds import BODY, engine_on, settle, world_in

SOON = 5.0


class Refusing(Faults):
    """From now on every call of these names fails."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names: set[str] = set(names)

    async def call(self, name, call, *args, **kwargs):  # type: ignore[no-untyped-def]
        if name in self.names:
            self.fired.append(len(self.calls))
            raise HostFailed(f"{name} fails")
        return await super().call(name, call, *args, **kwargs)


async def running(*names: str) -> tuple[Engine, Refusing]:
    """An engine with `web` running, on a host that refuses these calls from then on."""
    faults = Refusing()
    engine = await engine_on(await world_in(Status.RUNNING), faults)
    faults.names.update(names)
    return engine, faults


async def broken() -> tuple[Engine, Refusing]:
    """`web` after a stop that could go neither way."""
    engine, faults = await running("rootfs.unmount")
    with pytest.raises(HostFailed):
        await engine.do("stop", "web")
    assert engine.resolve("web").status is Status.DEAD
    return engine, faults


async def test_nobody_waits_for_a_broken_stop() -> None:
    engine, _ = await broken()
    async with asyncio.timeout(SOON):
        with pytest.raises(Conflict):
            await engine.do("kill", "web")
        with pytest.raises(AlreadySo):
            await engine.do("stop", "web", {"t": -1})
        assert await engine.wait("web") == 143
    assert not (await engine.steps("web")).running


async def test_a_broken_stop_is_removed_once_the_host_obeys() -> None:
    engine, faults = await broken()
    faults.names.clear()
    await engine.do("remove", "web")
    assert [c.name for c in engine.ledger.records.values()] == ["neighbour"]


@pytest.mark.parametrize("verb", ["start", "restart"])
async def test_a_broken_stop_is_ended_by_the_next_start(verb: str) -> None:
    engine, faults = await broken()
    with pytest.raises(HostFailed, match=r"rootfs\.unmount fails"):
        await engine.do(verb, "web")
    assert engine.resolve("web").status is Status.DEAD
    faults.names.clear()
    await engine.do(verb, "web")
    assert engine.resolve("web").status is Status.RUNNING
    await engine.do("pause", "web")


async def test_a_broken_create_is_gone_with_the_next_start() -> None:
    faults = Refusing("files.make", "rootfs.drop_layer")
    engine = await engine_on(await world_in(None), faults)
    with pytest.raises(HostFailed):
        await engine.do("create", "", {"name": "web", "body": BODY})
    assert engine.resolve("web").status is Status.DEAD
    faults.names.clear()
    with pytest.raises(NotFound, match="No such container"):
        await engine.do("start", "web")


async def test_a_record_that_cannot_be_saved_leaves_no_open_run() -> None:
    engine, faults = await running("records.save")
    for verb in ("stop", "pause"):
        with pytest.raises(HostFailed, match=r"records\.save fails"):
            await engine.do(verb, "web")
        run = engine.resolve("web").run
        assert not (run and run.open)
    faults.names.clear()
    with pytest.raises(AlreadySo):
        await engine.do("start", "web")
    async with asyncio.timeout(SOON):
        await engine.do("kill", "web")
    assert engine.resolve("web").status is Status.EXITED


async def test_a_disk_that_fills_up_within_a_stop_leaves_no_open_run() -> None:
    engine, faults = await running()
    c = engine.resolve("web")

    def full(now: Container, row: int) -> None:
        faults.names.add("records.save")

    engine.ledger.listen_moves(full)
    with pytest.raises(HostFailed):
        await engine.do("stop", "web")
    run = engine.resolve("web").run
    assert run and not run.open and c.id == engine.resolve("web").id


async def test_a_lesson_goes_on_where_the_evidence_cannot_be_had() -> None:
    engine, faults = await running("cgroups.freezer")
    plan = await engine.begin("pause", "web")
    assert "cgroups.freezer fails" in str(plan.steps[0].before)
    plan = await engine.advance("web", Move.ABORT)
    assert plan.way is Way.UNDONE and engine.resolve("web").status is Status.RUNNING
    faults.names.clear()
    await engine.do("pause", "web")


async def test_only_the_kernel_says_that_a_process_has_ended() -> None:
    engine, _ = await running()
    for ask in (engine.do, engine.begin, engine.plan):
        with pytest.raises(Invalid, match="no verb 'exited'"):
            assert await within(SOON, ask("exited", "web"))


async def test_an_exit_of_the_last_process_does_not_touch_the_next() -> None:
    """Somebody's stop and start wait too."""
    engine, _ = await running()
    c = engine.resolve("web")
    async with engine.ledger.lock(c.id):
        await engine.host.tasks.kill(c.id, 9)
        asks = []
        for verb in ("stop", "start"):
            asks.append(asyncio.create_task(engine.do(verb, "web")))
            for _ in range(3):  # until it stands in the queue
                await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        await asyncio.gather(*asks, return_exceptions=True)
        await settle(engine)
        await engine.ended(c.id, c.state.pid)
        await engine.do("pause", "web")
    now = engine.resolve("web")
    assert now.status is Status.PAUSED and now.state.pid != c.state.pid


async def test_a_removed_container_does_not_come_back_on_the_screen() -> None:
    """A look at its freezer that began before the removal ends after it."""
    engine, _ = await running()
    c = engine.resolve("web")
    await engine.do("remove", "web", {"force": True})
    engine.publish(c)
    assert c.id not in engine.hub.world.containers


async def test_an_old_record_does_not_cover_a_newer_one_on_the_screen() -> None:
    engine, _ = await running()
    c = engine.resolve("web")
    await engine.do("pause", "web")
    engine.publish(c)
    assert engine.hub.world.containers[c.id].status is Status.PAUSED


async def test_nothing_is_kept_of_what_is_gone() -> None:
    engine, _ = await running()
    await engine.do("remove", "web", {"force": True})
    await settle(engine)
    with pytest.raises(EngineError):
        await engine.do("start", "web")
    (neighbour,) = engine.ledger.records
    for kept in (engine.lessons, engine.freezers, engine.missing, engine.ledger._locks):
        assert set(kept) <= {neighbour}
    assert "destroy" in await told(engine)
