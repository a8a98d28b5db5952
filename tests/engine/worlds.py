"""Small worlds for tests: an engine on a simulated host, and containers brought into every status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from engine.core import Engine
from engine.host import Host
from engine.host.simulated import simulated
from engine.host.simulated_process import SimulatedTasks
from engine.host.simulated_world import SimulatedWorld
from engine.model.container import from_disk
from engine.model.status import FORCED, TRANSITIONS, Answer, Status, Verb
from engine.monitor.exits import Exits
from engine.networks import Networks
from engine.recovery import recover
from tests.engine.faults import Faults

BODY = {"Image": "busybox", "Cmd": ["sleep", "1000"]}
WIRED = BODY | {"HostConfig": {"NetworkMode": "back", "PortBindings": {"80/tcp": [{}]}}}
"""The same on a network of its own, with a published port. `world_in` has the networks `back` and `front`."""


async def engine_on(world: SimulatedWorld, faults: Faults | None = None) -> Engine:
    """The next engine on a world, recovered."""
    host: Host = simulated(world)
    networks = Networks(host)
    await networks.open()
    if faults:
        host = faults.wrap(host)
    engine = Engine(host, networks)
    Exits(engine)
    await recover(engine)
    return engine


async def settle(engine: Engine) -> None:
    """Until nothing is on its way: exits that were seen are recorded."""
    await asyncio.sleep(0)
    await engine.close()


Body = dict[str, Any]


async def _created(engine: Engine, body: Body = BODY) -> None:
    await engine.do("create", "", {"name": "web", "body": body})


async def _running(engine: Engine, body: Body = BODY) -> None:
    await _created(engine, body)
    await engine.do("start", "web")


async def _paused(engine: Engine, body: Body = BODY) -> None:
    await _running(engine, body)
    await engine.do("pause", "web")


async def _exited(engine: Engine, body: Body = BODY) -> None:
    await _running(engine, body)
    await engine.do("kill", "web")


async def _restarting(engine: Engine, body: Body = BODY) -> None:
    host_config = body.get("HostConfig", {}) | {"RestartPolicy": {"Name": "on-failure"}}
    await _running(engine, body | {"HostConfig": host_config})
    await end(engine, 7)


async def end(engine: Engine, status: int) -> None:
    """`web`'s process ends by itself."""
    tasks: Any = engine.host.tasks
    real: SimulatedTasks = getattr(tasks, "_port", tasks)
    real.end(engine.resolve("web").id, status)
    await settle(engine)


async def _nothing(engine: Engine, body: Body = BODY) -> None:
    return


REACH: dict[Status | None, Callable[..., Awaitable[None]]] = {
    None: _nothing,
    Status.CREATED: _created,
    Status.RUNNING: _running,
    Status.PAUSED: _paused,
    Status.RESTARTING: _restarting,
    Status.EXITED: _exited,
}
"""How to bring `web` into a status. Dead and removing are reached by faults only."""


PARAMS: dict[Verb, dict[str, Any]] = {
    Verb.RENAME: {"name": "other"},
    Verb.UPDATE: {"body": {"CpuShares": 512}},
    Verb.CONNECT: {"network": "front"},
    Verb.DISCONNECT: {"network": "back"},
    Verb.REMOVE: {"force": True},
}
"""What a verb is told, where it must be told something."""


async def act(engine: Engine, verb: Verb) -> None:
    """The verb on `web`, as a client or the kernel would bring it about."""
    match verb:
        case Verb.CREATE:
            await _created(engine, WIRED)
        case Verb.EXITED:
            await end(engine, 7)
        case Verb.AGAIN:
            await engine.quietly(verb, engine.resolve("web").id)
        case _:
            await engine.do(verb, "web", PARAMS.get(verb, {}))


def cases() -> list[tuple[Verb, Status | None]]:
    """Every verb in every status it goes from: read off the transition table."""
    found: list[tuple[Verb, Status | None]] = [(Verb.CREATE, None)]
    for verb, row in TRANSITIONS.items():
        for status, answer in row.items():
            goes = answer is Answer.GO or (verb is Verb.REMOVE and status in FORCED)
            if goes and status in REACH:
                found.append((verb, status))
    return found


async def world_in(status: Status | None) -> SimulatedWorld:
    """A world with a running neighbour, and `web` in a status."""
    world = SimulatedWorld()
    engine = await engine_on(world)
    await engine.do("create", "", {"name": "neighbour", "body": BODY})
    await engine.do("start", "neighbour")
    for name in ("back", "front"):
        await engine.do("create_network", "", {"body": {"Name": name}})
    await REACH[status](engine, WIRED)
    await settle(engine)
    return world


def picture(world: SimulatedWorld) -> dict[str, Any]:
    """What is in the world, with `web`'s random names taken out: two worlds are alike when their pictures are."""
    records = [from_disk(data) for (kind, _), data in world.records.items() if kind == "containers"]
    return {
        "records": sorted(
            (c.name, str(c.status), sorted(key.partition("/")[0] for key in c.held), bool(c.run and c.run.open))
            for c in records
        ),
        "things": {name: len(things) for name, things in world.owned().items()},
        "tasks": sorted((t.status, t.frozen, str(t.limits)) for t in world.tasks.values()),
        "networks": sorted((c.name, *c.networks) for c in records),
        "files": sorted(world.network_files.values()),
        "shares": sorted(c.host_config.cpu_shares for c in records),
    }


def neighbour(world: SimulatedWorld) -> dict[str, Any]:
    """Everything of the neighbour's, exactly."""
    records = {id: from_disk(data) for (kind, id), data in world.records.items() if kind == "containers"}
    (c,) = [c for c in records.values() if c.name == "neighbour"]
    assert c.layers
    task = world.tasks.get(c.id)
    return {
        "record": c,
        "mounted": c.layers.mount_id in world.mounts,
        "netns": c.sandbox in world.netns,
        "plug": [veth for veth, owner in world.plugs.items() if owner == c.id],
        "addresses": {key: address for key, address in world.addresses.items() if key[0] == c.sandbox},
        "route": world.routes.get(c.sandbox),
        "task": task and (task.pid, task.status),
    }
