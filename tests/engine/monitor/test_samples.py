"""Looks at the kernel: what is gone is missed, nothing else is; a freeze that lasts is dated; nobody watching costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from engine.core import Engine
from engine.host import Freeze
from engine.host.simulated_world import SimulatedWorld
from engine.model.container import Container
from engine.model.errors import Unavailable
from engine.model.frames import Sampled
from engine.model.status import Status
from engine.monitor.freezers import Freezers
from engine.monitor.missing import Missing
from engine.monitor.samples import Samples
from engine.steps.layers import layers
from tests.engine.worlds import BODY, engine_on, settle

Take = Callable[[SimulatedWorld, Container], Any]

TAKEN: dict[str, Take] = {
    "union mount": lambda world, c: world.mounts.clear(),
    "network namespace": lambda world, c: world.netns.clear(),
    "veth": lambda world, c: world.plugs.clear(),
    "address": lambda world, c: world.addresses.clear(),
    "network files": lambda world, c: world.network_files.clear(),
    "output pipes": lambda world, c: world.pipes.clear(),
    "specification": lambda world, c: world.specs.clear(),
    "task": lambda world, c: world.tasks.clear(),
    "writable layer": lambda world, c: world.layers.discard(layers(c).mount_id),
    "init layer": lambda world, c: world.layers.discard(layers(c).init_id),
    "settings": lambda world, c: world.files.clear(),
}


@pytest.fixture
async def world() -> SimulatedWorld:
    return SimulatedWorld()


@pytest.fixture
async def engine(world: SimulatedWorld) -> AsyncIterator[Engine]:
    engine = await engine_on(world)
    for name in ("web", "db"):
        await engine.do("create", "", {"name": name, "body": BODY})
        await engine.do("start", name)
    yield engine
    await settle(engine)


def alive(engine: Engine) -> list[Container]:
    return [c for c in engine.ledger.records.values() if c.state.status.alive]


def missing(engine: Engine, name: str) -> tuple[str, ...]:
    """What a container misses; of its veth and its address the kind is enough."""
    row = next(row for row in engine.hub.world.containers.values() if row.name == name)
    kinds: dict[str, str] = {}
    for wire in row.wires:
        kinds |= {wire.veth: "veth", f"address {wire.address.partition('/')[0]}": "address"}
    return tuple(kinds.get(thing, thing) for thing in row.missing)


@pytest.mark.parametrize("thing", TAKEN)
async def test_what_is_taken_away_is_missed_and_what_is_back_is_not(
    engine: Engine, world: SimulatedWorld, thing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Missing(engine)
    await looks.look(alive(engine))
    assert (missing(engine, "web"), missing(engine, "db")) == ((), ())
    monkeypatch.setattr("engine.monitor.missing.BUDGET", 0)  # so the two have their closer look in turn
    monkeypatch.setattr("engine.monitor.missing.PERIOD", 0)
    kept = {name: value.copy() for name, value in vars(world).items() if isinstance(value, set | dict)}
    TAKEN[thing](world, engine.resolve("web"))
    for _ in range(2):
        await looks.look(alive(engine))
    assert missing(engine, "web") == (thing,)
    assert missing(engine, "db") == (() if "layer" in thing else (thing,))
    vars(world).update(kept)
    for _ in range(2):
        await looks.look(alive(engine))
    assert (missing(engine, "web"), missing(engine, "db")) == ((), ())


async def test_things_are_named_in_the_order_of_the_steps(engine: Engine, world: SimulatedWorld) -> None:
    world.addresses.clear()
    world.plugs.clear()
    world.mounts.clear()
    await Missing(engine).look(alive(engine))
    assert missing(engine, "web") == ("union mount", "veth", "address")


async def test_a_record_that_is_changing_is_left_alone(engine: Engine, world: SimulatedWorld) -> None:
    looks = Missing(engine)
    stopping = asyncio.create_task(engine.do("stop", "web", {"t": 0}))
    while not stopping.done():
        await looks.look(alive(engine))
        assert missing(engine, "web") == ()
        await asyncio.sleep(0)
    await stopping
    assert engine.resolve("web").status is Status.EXITED


async def test_a_closer_look_is_had_once_in_a_while(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    async def look(id: str) -> str:
        looked.append(id)
        return "spec"

    monkeypatch.setattr(engine.host.tasks, "look_registered", look)
    looks = Missing(engine)
    for _ in range(3):
        await looks.look(alive(engine))
    assert sorted(looked) == sorted(c.id for c in alive(engine))
    await engine.do("pause", "web")  # a record that has changed is looked at at once
    await looks.look(alive(engine))
    assert looked[2:] == [engine.resolve("web").id]


async def test_a_container_that_cannot_be_looked_at_keeps_nobody_from_the_others(
    engine: Engine, world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = engine.resolve("web")
    look = engine.host.tasks.look_registered

    async def dying(id: str) -> str | None:
        if id == web.id:
            raise Unavailable("cannot tell: its shim does not answer")
        return await look(id)

    monkeypatch.setattr(engine.host.tasks, "look_registered", dying)
    world.specs.clear()
    await Missing(engine).look(alive(engine))
    assert (missing(engine, "web"), missing(engine, "db")) == ((), ("specification",))


async def test_a_freeze_under_way_is_dated_from_its_first_sight(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    web = engine.resolve("web")
    words = ["thawed", "freezing", "freezing", "frozen", "freezing"]

    async def changes() -> AsyncIterator[dict[str, Freeze]]:
        while words:
            yield {web.id: Freeze(kernel=words[0], self_frozen=True, parent_frozen=False)}
            row = engine.hub.world.containers[web.id]
            seen.append(row.freezer and row.freezer.since)
            await engine.host.clock.sleep(5)
            words.pop(0)
        await asyncio.Event().wait()

    seen: list[Any] = []
    monkeypatch.setattr(engine.host.cgroups, "changes", changes)
    freezers = Freezers(engine)
    freezers.open()
    freezers.follow(True)
    async with asyncio.timeout(5):
        while len(seen) < 5:
            await asyncio.sleep(0)
    await freezers.close()
    thawed, first, second, frozen, again = seen
    assert thawed is frozen is None
    assert first == second < again


async def test_nothing_is_read_while_nobody_watches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    refreshed = asyncio.Event()

    def spy(port: Any, name: str) -> None:
        real = getattr(port, name)

        async def call(*args: Any) -> Any:
            asked.append(name)
            return await real(*args)

        monkeypatch.setattr(port, name, call)

    async def refresh() -> None:
        refreshed.set()

    host = engine.host
    for port, name in ((host.cgroups, "usages"), (host.links, "counters"), (host.rootfs, "sightings"), (host.tasks, "look")):
        spy(port, name)
    monkeypatch.setattr("engine.monitor.samples.SECONDS", 0.001)
    monkeypatch.setattr(host.firewall, "refresh", refresh)
    samples = Samples(engine)
    samples.open()
    async with asyncio.timeout(5):
        await refreshed.wait()
        assert asked == []
        async with aclosing(engine.watch()) as frames:  # type: ignore[type-var]
            async for frame in frames:
                if isinstance(frame, Sampled) and len(frame.samples) == 2:
                    break
    await samples.close()
    assert {"usages", "counters"} <= set(asked)


async def test_each_of_several_cables_has_its_own_rates(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.do("create_network", "", {"body": {"Name": "back"}})
    await engine.do("connect", "web", {"network": "back"})
    first, second = (e.veth for e in engine.resolve("web").plugged)
    (lone,) = (e.veth for e in engine.resolve("db").plugged)
    # As the host's ends count: what they receive, the containers have sent.
    counters = [{first: (100, 200), second: (0, 0), lone: (5, 5)}, {first: (110, 230), second: (7, 0), lone: (6, 5)}]
    times = [1000.0, 1010.0]
    monkeypatch.setattr("engine.monitor.samples.time.monotonic", lambda: times[0])

    async def counted() -> dict[str, tuple[int, int]]:
        return counters[0]

    monkeypatch.setattr(engine.host.links, "counters", counted)
    samples = Samples(engine)
    await samples._look()
    del counters[0], times[0]
    await samples._look()
    await samples.close()
    told = engine.hub.world.samples
    web, db = told[engine.resolve("web").id], told[engine.resolve("db").id]
    assert web.wires == {first: (3.0, 1.0), second: (0.0, 0.7)}
    assert (web.rx, web.tx) == (3.0, 1.7)
    assert (db.wires, db.rx, db.tx) == ({}, 0.0, 0.1)
