"""Engines beside one another and after one another: what one has made is never the other's to touch, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine.client import Client
from engine.model.container import Container
from engine.model.errors import NotFound
from engine.model.status import Status
from tests.clients.test_docker import Docker
from tests.conftest import SpawnEngine
from tests.engine.host.test_priority import may
from tests.engines import EngineProcess
from tests.real.watching import POLITE, run, sh, until


def in_kernel(engine: EngineProcess, c: Container) -> bool:
    """Is all of a running container there: process, mount, namespace, cable, cgroup?"""
    assert c.layers and c.endpoints
    mounts = Path("/proc/mounts").read_text()
    return (
        Path(f"/proc/{c.state.pid}/cwd").exists()
        and f"{c.layers.mount_id}/merged" in mounts
        and f"{engine.run}/netns/{c.sandbox}" in mounts
        and Path("/sys/class/net", engine.bridge, "brif", c.endpoints[0].veth).exists()
        and Path("/sys/fs/cgroup/freezer", engine.cgroup_parent.strip("/"), c.id, "freezer.state").exists()
    )


async def gateway_answers(engine: EngineProcess, c: Container) -> None:
    gateway = engine.subnet.replace(".0/24", ".1")
    await sh("nsenter", "--net", "--target", str(c.state.pid), "busybox", "ping", "-c", "1", "-W", "5", gateway)


async def test_the_engine_runs_before_all_others_and_what_it_starts_does_not(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    async with engine.client() as client:
        await run(client, "web")
        container = (await client.inspect("web")).state.pid
    assert bool(os.sched_getscheduler(engine.pid) & os.SCHED_RR) == may()
    shim, children = psutil.Process(container).parent(), psutil.Process(engine.pid).children(recursive=True)
    threads = [int(task) for task in os.listdir(f"/proc/{engine.pid}/task") if int(task) != engine.pid]
    assert shim and children and threads
    pids = (container, shim.pid, *(child.pid for child in children), *threads)
    assert {os.sched_getscheduler(pid) for pid in pids} == {os.SCHED_OTHER}


async def test_one_goes_and_the_other_stays(spawn_engine: SpawnEngine) -> None:
    first, second = await spawn_engine(), await spawn_engine()
    async with first.client() as one, second.client() as other:
        # The same name on both: they know nothing of each other.
        await run(one, "web")
        await run(other, "web")
        gone, stays = await one.inspect("web"), await other.inspect("web")
        assert in_kernel(first, gone) and in_kernel(second, stays)
        await one.shutdown(containers=True)
        await until(lambda: not first.alive)
        first.process = None
        assert not first.left()
        assert await other.inspect("web") == stays and in_kernel(second, stays)
        await gateway_answers(second, stays)
        await run(other, "next")
        await gateway_answers(second, await other.inspect("next"))


async def test_settings_from_a_file(place_engine: Callable[[], EngineProcess]) -> None:
    place = place_engine()
    settings = {
        "hosts": [f"unix://{place.socket}"],
        "data-root": place.root,
        "exec-root": place.run,
        "bridge": place.bridge,
        "bip": place.subnet.replace(".0/", ".1/"),
        "cgroup-parent": place.cgroup_parent,
        "pidfile": f"{place.directory}/engine.pid",
    }
    place.directory.mkdir()
    path = place.directory / "daemon.json"
    path.write_text(json.dumps(settings))
    place.options = ("--config-file", str(path))
    await place.start()
    assert Path(settings["pidfile"]).read_text() == f"{place.pid}\n"  # type: ignore[arg-type]
    async with place.client() as client:
        await run(client, "web")
        assert in_kernel(place, await client.inspect("web"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
async def test_the_next_engine_adopts(spawn_engine: SpawnEngine, how: signal.Signals) -> None:
    engine = await spawn_engine()
    async with engine.client() as client:
        await run(client, "web")
        await run(client, "frozen")
        await client.do("pause", "frozen")
        before = [await client.inspect(name) for name in ("web", "frozen")]
    await (engine.end() if how is signal.SIGTERM else engine.kill9())
    assert all(in_kernel(engine, c) for c in before)
    await engine.start()
    async with engine.client() as client:
        after = [await client.inspect(name) for name in ("web", "frozen")]
        assert [(c.status, c.state.pid, c.state.started_at, c.endpoints) for c in after] == [
            (c.status, c.state.pid, c.state.started_at, c.endpoints) for c in before
        ]
        await gateway_answers(engine, after[0])
        await client.do("unpause", "frozen")
        for name in ("web", "frozen"):
            await client.do("stop", name, {"t": 5})
            assert (await client.inspect(name)).state.exit_code == 0


REMOVED = POLITE | {"HostConfig": {"AutoRemove": True}}


async def gone(client: Client, name: str) -> None:
    """Wait until there is no container of this name."""
    try:
        await client.wait(name, "removed")
        await client.inspect(name)
    except NotFound:
        return
    raise AssertionError(f"{name} is still there")


async def test_rm_removes_after_the_exit(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    async with engine.client() as client:
        await run(client, "web", REMOVED)
        c = await client.inspect("web")
        os.kill(c.state.pid, signal.SIGTERM)
        await gone(client, "web")
        # And when it ends while no engine lives.
        await run(client, "web", REMOVED)
        pid = (await client.inspect("web")).state.pid
    await engine.end()
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not psutil.pid_exists(pid))
    await engine.start()
    async with engine.client() as client:
        await gone(client, "web")
        assert await client.containers() == []
        assert {path.name for path in Path(engine.root, "containers").iterdir()} == set()


async def test_a_command_that_is_missing(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    docker = Docker(engine)
    said = await docker("run", "-d", "--name", "web", "busybox", "no-such-command")
    assert said.code == 127 and "no-such-command" in said.err
    async with engine.client() as client:
        c = await client.inspect("web")
        assert (c.status, c.state.exit_code) == (Status.CREATED, 127) and "no-such-command" in c.state.error
        assert not Path("/sys/class/net", f"veth{c.id[:11]}").exists()
        await client.do("remove", "web")
