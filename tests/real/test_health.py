"""Health checks of real containers: probes run inside, their results decide, and everybody is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.model.container import Container, Health
from engine.model.errors import Conflict
from engine.model.world import ContainerRow
from tests.clients.test_docker import Docker, until_now
from tests.conftest import SpawnEngine
from tests.engines import EngineProcess
from tests.real.watching import PATIENCE, Screen, run, until, watching

MS = 1_000_000
"""Nanoseconds, in which Docker's clients give times."""


def probed(test: str, **more: Any) -> dict[str, Any]:
    """A container that is healthy as long as it has the file `/ok`, unless `test` says otherwise."""
    check = {"Test": ["CMD-SHELL", test], "Interval": 200 * MS, "Retries": 2} | more
    return {"Image": "busybox", "Cmd": ["sh", "-c", "touch /ok; trap 'exit 0' TERM; sleep 1000 & wait"], "Healthcheck": check}


class Ward:
    """An engine, and somebody who looks after its containers' health."""

    def __init__(self, engine: EngineProcess, client: Client, screen: Screen) -> None:
        self.engine, self.client, self.screen = engine, client, screen

    async def health(self, name: str = "web") -> Health:
        health = (await self.client.inspect(name)).state.health
        assert health
        return health

    async def container(self, name: str = "web") -> Container:
        return await self.client.inspect(name)

    async def becomes(self, status: str, name: str = "web") -> ContainerRow:
        await self.screen.until(lambda: (row := self.screen.row(name)) and row.health == status)
        row = self.screen.row(name)
        assert row
        return row

    async def probes_since(self, moment: datetime, count: int, name: str = "web") -> None:
        """Wait for probes that began after a moment."""
        async with asyncio.timeout(PATIENCE):
            while len([probe for probe in (await self.health(name)).log if probe.start > moment]) < count:
                await asyncio.sleep(0.02)

    async def only_its_own_processes(self, id: str) -> None:
        """Wait until no probe's process is left: the shell and the sleep it waits for."""
        processes = Path("/sys/fs/cgroup/pids", self.engine.cgroup_parent.strip("/"), id, "cgroup.procs")
        await until(lambda: len(processes.read_text().split()) == 2)

    async def file(self, path: str) -> Path:
        """A file of the container's, as the host sees it."""
        return Path(f"/proc/{(await self.container()).state.pid}/root{path}")


@pytest.fixture
async def ward(spawn_engine: SpawnEngine) -> AsyncIterator[Ward]:
    engine = await spawn_engine()
    async with engine.client() as client, watching(client) as screen:
        yield Ward(engine, client, screen)


async def test_it_falls_ill_and_recovers(ward: Ward) -> None:
    await run(ward.client, "web", probed("cat /ok && echo fine"))
    assert (await ward.health()).status == "starting"
    assert (await ward.becomes("healthy")).probes.endswith(".")
    health = await ward.health()
    assert (health.failing_streak, health.log[-1].exit_code, health.log[-1].output) == (0, 0, "fine\n")
    assert "(healthy)" in await Docker(ward.engine).good("ps", "--format", "{{.Status}}")

    (await ward.file("/ok")).unlink()
    row = await ward.becomes("unhealthy")
    assert row.streak >= 2 and row.probes.endswith("xx")
    health = await ward.health()
    assert 2 <= len(health.log) <= 5 and health.log[-1].start < health.log[-1].end
    assert health.log[-1].exit_code == 1 and "No such file" in health.log[-1].output

    (await ward.file("/ok")).touch()
    assert (await ward.becomes("healthy")).streak == 0
    docker = Docker(ward.engine)
    events = await docker.good("events", *until_now(), "--filter", "container=web", "--format", "{{.Action}}")
    told = [line for line in events.splitlines() if line.startswith("health_status")]
    assert told == [f"health_status: {status}" for status in ("healthy", "unhealthy", "healthy")]
    assert {"exec_create: /bin/sh -c cat /ok && echo fine", "exec_die"} <= set(events.splitlines())

    await ward.client.do("stop", "web", {"t": 5})
    assert (await ward.health()).status == "unhealthy"  # nobody looks any more


async def test_a_probe_that_takes_too_long_is_ended(ward: Ward) -> None:
    id = await run(ward.client, "web", probed("echo begun; sleep 1000", Timeout=300 * MS, Retries=1))
    await ward.becomes("unhealthy")
    probe = (await ward.health()).log[0]
    assert (probe.exit_code, probe.output) == (-1, "Health check exceeded timeout (300ms): begun\n")
    assert timedelta(seconds=0.3) <= probe.end - probe.start < timedelta(seconds=5)
    docker = Docker(ward.engine)
    died = await docker.good("events", *until_now(), "--filter", "event=exec_die", "--format", "{{.Actor.Attributes.exitCode}}")
    assert died.splitlines()[0] == "137"
    await ward.client.do("pause", "web")  # so that no further one begins
    await ward.client.do("unpause", "web")
    await ward.only_its_own_processes(id)


async def test_failures_in_the_start_period_do_not_count(ward: Ward) -> None:
    check = {"StartPeriod": 60_000 * MS, "StartInterval": 100 * MS, "Interval": 300 * MS, "Retries": 1}
    await run(ward.client, "web", probed("test -e /ready", **check))
    await ward.screen.until(lambda: (row := ward.screen.row("web")) and row.probes == "xxx")
    health = await ward.health()
    assert (health.status, health.failing_streak) == ("starting", 0)
    (await ward.file("/ready")).touch()
    await ward.becomes("healthy")
    (await ward.file("/ready")).unlink()
    await ward.becomes("unhealthy")  # the start period is over with the first success


async def test_a_paused_container_is_not_probed(ward: Ward) -> None:
    await run(ward.client, "web", probed("true"))
    await run(ward.client, "clock", probed("true"))
    await ward.becomes("healthy")
    await ward.client.do("pause", "web")
    before = await ward.health()
    await ward.probes_since(before.log[-1].start, 4, "clock")
    assert (await ward.health()).log == before.log
    await ward.client.do("unpause", "web")
    await ward.probes_since(before.log[-1].start, 2)
    assert (await ward.health()).status == "healthy"


async def test_while_somebody_else_has_frozen_it_nothing_is_said_of_its_health(ward: Ward) -> None:
    body = probed("cp /proc/uptime /begun; sleep 0.3", Timeout=600 * MS, Retries=1)
    id = await run(ward.client, "web", body)
    await run(ward.client, "clock", probed("true"))
    await ward.becomes("healthy")
    begun = await ward.file("/begun")
    last = begun.stat().st_mtime_ns
    await until(lambda: begun.stat().st_mtime_ns > last)  # one is on its way
    freezer = Path("/sys/fs/cgroup/freezer", ward.engine.cgroup_parent.strip("/"), id, "freezer.state")
    freezer.write_text("FROZEN")
    before = await ward.health()
    await ward.screen.until(lambda: (row := ward.screen.row("web")) and row.probe_due is None)
    with pytest.raises(Conflict, match="cannot probe web: its processes are frozen"):
        await ward.client.probe("web")
    await ward.probes_since(datetime.now(UTC), 5, "clock")
    assert await ward.health() == before
    freezer.write_text("THAWED")
    await ward.probes_since(before.log[-1].end, 2)
    health = await ward.health()
    assert (health.status, {probe.exit_code for probe in health.log}) == ("healthy", {0})
    await ward.client.do("pause", "web")
    await ward.client.do("unpause", "web")
    await ward.only_its_own_processes(id)


async def test_a_probe_now(ward: Ward) -> None:
    body = probed("echo it is", Interval=3_600_000 * MS)
    await run(ward.client, "web", body)
    row = ward.screen.row("web")
    assert row and row.probe_due and row.started_at
    assert row.probe_due - row.started_at == timedelta(hours=1)
    one, two = await asyncio.gather(ward.client.probe("web"), ward.client.probe("web"))
    assert one == two and (one.exit_code, one.output) == (0, "it is\n")
    health = await ward.health()
    assert (health.status, health.log) == ("healthy", (one,))
    row = await ward.becomes("healthy")
    await ward.screen.until(lambda: (row := ward.screen.row("web")) and row.probe_due and row.probe_due > one.end)
    await ward.client.do("stop", "web", {"t": 5})
    with pytest.raises(Conflict, match="cannot probe web: it is not running but exited"):
        await ward.client.probe("web")


async def test_the_next_engine_goes_on(ward: Ward) -> None:
    await run(ward.client, "web", probed("cat /ok; sleep 0.3"))
    await ward.becomes("healthy")
    (await ward.file("/ok")).write_text("still there")
    for _ in range(2):
        before = (await ward.health()).log[-1]
        await ward.engine.kill9()  # with a probe inside, more often than not
        await ward.engine.start()
        async with ward.engine.client() as client, watching(client) as screen:
            after = Ward(ward.engine, client, screen)
            await after.probes_since(before.end, 2)
            health = await after.health()
            assert (health.status, health.log[-1].exit_code, health.log[-1].output) == ("healthy", 0, "still there")
