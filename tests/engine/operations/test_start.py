"""start: first the file system, then the network, then the process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import AlreadySo, CannotRun, Conflict
from engine.model.run import Way
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import BODY, REACH

WIRING = ["PlugVeth", "GiveAddress", "SetDefaultRoute"]


def in_order(*wiring: str) -> list[str]:
    before, after = ["MountLayers", "MakeNetworkNamespace"], ["WriteNetworkFiles", "ConnectOutput", "HandOverSpec"]
    return [*before, *wiring, *after, "CreateTask", "StartProcess"]


async def test_the_process_comes_last_and_all_is_held(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.CREATED](engine)
    await engine.do("start", "web")
    c = engine.resolve("web")
    assert steps(engine) == in_order(*WIRING)
    assert set(in_order(*WIRING)) - {"StartProcess", "SetDefaultRoute"} <= {key.partition("/")[0] for key in c.held}
    assert c.status is Status.RUNNING and c.has_been_started_before and not c.has_been_manually_stopped
    assert c.state.pid == world.tasks[c.id].pid and c.state.started_at.year > 1
    (e,) = c.endpoints
    assert e.veth == f"veth{c.id[:7]}{e.network_id[:4]}"
    assert await told(engine) == ["create", "network connect", "start"]


async def test_without_a_network_there_is_a_namespace_and_no_cable(engine: Engine, world: SimulatedWorld) -> None:
    await engine.do("create", "", {"name": "web", "body": {**BODY, "HostConfig": {"NetworkMode": "none"}}})
    await engine.do("start", "web")
    assert steps(engine) == in_order()
    assert world.netns and not world.plugs and engine.resolve("web").endpoints == ()


async def test_a_second_start_is_nothing_and_of_the_frozen_refused(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)
    with pytest.raises(AlreadySo):
        await engine.do("start", "web")
    await engine.do("pause", "web")
    with pytest.raises(Conflict, match="it is paused; unpause it first"):
        await engine.do("start", "web")


async def test_a_command_that_is_not_there_walks_back_and_says_127(engine: Engine, world: SimulatedWorld) -> None:
    await engine.do("create", "", {"name": "web", "body": {"Image": "busybox", "Cmd": ["missing"]}})
    before = world.owned()
    with pytest.raises(CannotRun, match="not found"):
        await engine.do("start", "web")
    c = engine.resolve("web")
    assert world.owned() == before
    assert c.status is Status.CREATED and c.state.exit_code == 127 and "not found" in c.state.error
    assert c.run and c.run.way is Way.UNDONE
    assert await told(engine) == ["create", "network connect", "network disconnect"]


async def test_two_containers_share_the_bridge_and_no_address(engine: Engine) -> None:
    for name in ("web", "db"):
        await engine.do("create", "", {"name": name, "body": BODY})
        await engine.do("start", name)
    (web,), (db,) = engine.resolve("web").endpoints, engine.resolve("db").endpoints
    assert web.bridge == db.bridge
    assert len({web.address, db.address, web.gateway}) == 3 and web.mac != db.mac


async def test_many_asked_at_once_begin_in_turns(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """To decide takes a millisecond: a hundred on end would keep everybody waiting for a tenth of a second."""
    names = [f"web{number}" for number in range(50)]
    for name in names:
        await engine.do("create", "", {"name": name, "body": BODY})
    turns, began, decide = [0], list[int](), engine.decide

    async def count() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    def noted(*args: Any) -> Any:
        began.append(turns[0])
        return decide(*args)

    monkeypatch.setattr(engine, "decide", noted)
    counting = asyncio.create_task(count())
    await asyncio.gather(*(engine.do("start", name) for name in names))
    counting.cancel()
    assert len(set(began)) == len(began) == len(names)
    assert all(engine.resolve(name).status is Status.RUNNING for name in names)
