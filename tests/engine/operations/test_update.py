"""update: what is given changes, in the kernel where it runs and in the record; the rest stays."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import force_setattr, replace

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import Conflict, EngineError, HostFailed, Invalid
from engine.model.status import Status
from tests.engine.operations.seen import told
from tests.engine.worlds import BODY, REACH


async def make(engine: Engine, **host_config: Any) -> str:
    done = await engine.do("create", "", {"name": "web", "body": {**BODY, "HostConfig": host_config}})
    return done.id


@pytest.fixture
def controllers(engine: Engine) -> None:
    """A kernel that can limit everything."""
    force_setattr(engine.host.facts, "controllers", frozenset({"memory", "swap", "cpu", "cpuset", "pids"}))


@pytest.mark.usefixtures("controllers")
async def test_the_running_feels_it_at_once(engine: Engine, world: SimulatedWorld) -> None:
    id = await make(engine, CpuShares=256)
    await engine.do("start", "web")
    await engine.do("update", "web", {"body": {"CpuShares": 512, "PidsLimit": 20}})
    c = engine.resolve("web")
    assert c.status is Status.RUNNING
    assert (c.host_config.cpu_shares, c.host_config.pids_limit) == (512, 20)
    assert world.tasks[id].limits["cpu"]["shares"] == 512 and world.tasks[id].limits["pids"] == {"limit": 20}
    assert "devices" not in world.tasks[id].limits
    assert (await told(engine))[-1] == "update"


@pytest.mark.usefixtures("controllers")
async def test_zero_leaves_as_it_is_and_minus_one_lifts_the_limit_of_processes(engine: Engine) -> None:
    await make(engine, CpuShares=256, PidsLimit=20)
    await engine.do("update", "web", {"body": {"CpuShares": 0, "Memory": 0, "RestartPolicy": {}}})
    assert engine.resolve("web").host_config.cpu_shares == 256
    await engine.do("update", "web", {"body": {"PidsLimit": -1}})
    assert engine.resolve("web").host_config.pids_limit == -1


async def test_a_policy_changes_without_a_process(engine: Engine) -> None:
    await make(engine)
    await engine.do("update", "web", {"body": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}})
    assert engine.resolve("web").host_config.restart_policy.maximum_retry_count == 3


@pytest.mark.usefixtures("controllers")
@pytest.mark.parametrize(
    ("has", "body", "error"),
    [
        ({"NanoCpus": 10**9}, {"CpuQuota": 5000}, Conflict),
        ({"CpuQuota": 5000}, {"NanoCpus": 10**9}, Conflict),
        ({"Memory": 64 << 20}, {"Memory": 256 << 20}, Conflict),
        ({"AutoRemove": True}, {"RestartPolicy": {"Name": "always"}}, Conflict),
        ({}, {"RestartPolicy": {"Name": "sometimes"}}, Invalid),
        ({}, {"Memory": 1}, Invalid),
        ({}, {"CpuShares": "many"}, Invalid),
        ({}, {"CpusetCpus": "99"}, Invalid),
    ],
)
async def test_what_cannot_be_changes_nothing(
    engine: Engine, has: dict[str, Any], body: dict[str, Any], error: type[EngineError]
) -> None:
    await make(engine, **has)
    before = engine.resolve("web").host_config
    with pytest.raises(error):
        await engine.do("update", "web", {"body": body})
    assert engine.resolve("web").host_config == before


@pytest.mark.usefixtures("controllers")
async def test_a_kernel_that_refuses_leaves_the_settings(engine: Engine) -> None:
    await make(engine, CpuShares=256)
    await engine.do("start", "web")

    async def refuse(id: str, resources: dict[str, Any]) -> None:
        if resources.get("cpu", {}).get("shares") == 512:
            raise HostFailed("cannot write cpu.shares: no")

    engine.host.tasks.update = refuse  # type: ignore[method-assign]
    with pytest.raises(HostFailed):
        await engine.do("update", "web", {"body": {"CpuShares": 512}})
    assert engine.resolve("web").host_config.cpu_shares == 256


async def test_the_dead_is_not_updated(engine: Engine) -> None:
    await REACH[Status.CREATED](engine)
    c = engine.resolve("web")
    engine.ledger.records[c.id] = replace(c, state=replace(c.state, status=Status.DEAD))
    with pytest.raises(EngineError) as raised:
        await engine.do("update", "web", {"body": {"CpuShares": 512}})
    assert raised.value.status == 500


async def linked(engine: Engine) -> None:
    await engine.do("create", "", {"name": "db", "body": BODY})
    await engine.do("start", "db")
    await make(engine, Links=["db:sql", "db"])


async def test_a_running_one_forgets_a_link_at_once(engine: Engine, world: SimulatedWorld) -> None:
    await linked(engine)
    await engine.do("start", "web")
    del world.network_files[engine.resolve("web").id]
    await engine.do("update", "web", {"unlink": "sql"})
    c = engine.resolve("web")
    assert c.host_config.links == (f"{engine.resolve('db').id}:db",)
    assert [names.split()[0] for e in c.endpoints for names in e.links] == ["db"]
    assert c.id in world.network_files and (await told(engine))[-1] == "update"


async def test_one_that_does_not_run_forgets_a_link_for_its_next_start(engine: Engine, world: SimulatedWorld) -> None:
    await linked(engine)
    await engine.do("update", "web", {"unlink": "sql"})
    assert engine.resolve("web").id not in world.network_files
    await engine.do("start", "web")
    assert [names.split()[0] for e in engine.resolve("web").endpoints for names in e.links] == ["db"]
    with pytest.raises(Invalid, match="either"):
        await engine.do("update", "web", {"unlink": "db", "body": {"CpuShares": 512}})
    with pytest.raises(Conflict, match="cannot remove the link web/sql: there is none"):
        await engine.do("update", "web", {"unlink": "sql"})
