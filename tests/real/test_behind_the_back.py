"""What somebody does to the kernel without asking the engine: it is seen, said, and survived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.model.container import Container
from engine.model.errors import NotFound
from engine.model.status import Status
from tests.conftest import SpawnEngine
from tests.engines import EngineProcess
from tests.real.watching import Screen, run, sh, until, watching

SOON = 2.0
"""Seconds until the screen tells of a thing that is gone: the kernel is looked at once a second."""
FREEZER = 0.6
"""Seconds until it tells of a freezer on cgroup v1, which is looked at four times a second."""


class Scene:
    """A running container, somebody who watches, and root's shell."""

    def __init__(self, engine: EngineProcess, client: Client, screen: Screen, c: Container) -> None:
        self.engine, self.client, self.screen, self.c = engine, client, screen, c
        assert c.layers and c.endpoints
        self.merged = f"{engine.root}/overlay2/{c.layers.mount_id}/merged"
        self.netns = f"{engine.run}/netns/{c.sandbox}"
        self.veth = c.endpoints[0].veth
        self.table = f"longshore-{engine.bridge}"

    def freezer(self, *above: str) -> Path:
        """The freezer's file; `..`: of the cgroup above."""
        return Path("/sys/fs/cgroup/freezer", self.engine.cgroup_parent.strip("/"), self.c.id, *above, "freezer.state")

    async def evidence(self) -> dict[str, str | None]:
        """What the kernel shows of each step, by the step's name."""
        return {step.name: step.now for step in (await self.client.steps("web")).steps}

    async def goes_away(self) -> None:
        """Stop and remove, as if nothing had happened."""
        await self.client.do("stop", "web", {"t": 5})
        assert (await self.client.inspect("web")).status is Status.EXITED
        await self.client.do("remove", "web")
        with pytest.raises(NotFound):
            await self.client.inspect("web")


@pytest.fixture
async def scene(spawn_engine: SpawnEngine) -> AsyncIterator[Scene]:
    engine = await spawn_engine()
    async with engine.client() as client, watching(client) as screen:
        await run(client, "web")
        await screen.until(lambda: screen.freezer("web") == "thawed" and screen.bridge.nat)
        yield Scene(engine, client, screen, await client.inspect("web"))


GONE = {
    "union mount": ("umount", "--lazy", "{merged}"),
    "veth": ("ip", "link", "delete", "{veth}"),
    "network namespace": ("sh", "-c", "umount {netns} && rm {netns}"),
}
STEPS = {
    "union mount": "Mount the layers as one file system",
    "veth": "Plug the container into the bridge",
    "network namespace": "Make a network namespace",
}


@pytest.mark.parametrize("thing", GONE)
async def test_a_thing_of_the_container_is_gone(scene: Scene, thing: str) -> None:
    row = scene.screen.row("web")
    assert row and row.missing == () and (await scene.evidence())[STEPS[thing]]
    await sh(*(word.format_map(vars(scene)) for word in GONE[thing]))
    named = scene.veth if thing == "veth" else thing
    await scene.screen.until(lambda: (row := scene.screen.row("web")) and named in row.missing, SOON)
    assert (await scene.evidence())[STEPS[thing]] is None
    await scene.goes_away()


async def test_the_firewall_table_is_gone(scene: Scene) -> None:
    await sh("nft", "delete", "table", "inet", scene.table)
    await scene.screen.until(lambda: not scene.screen.bridge.nat, SOON)
    assert scene.screen.bridge.up
    await scene.client.do("stop", "web", {"t": 5})
    await scene.client.do("start", "web")
    await scene.screen.until(lambda: scene.screen.bridge.nat, SOON)
    assert "firewall rules" in scene.engine.said()
    await scene.goes_away()


async def test_the_bridge_is_gone(scene: Scene) -> None:
    await sh("ip", "link", "delete", scene.engine.bridge)
    await scene.screen.until(lambda: not scene.screen.bridge.up, SOON)
    await scene.screen.until(lambda: (row := scene.screen.row("web")) and scene.veth in row.missing, SOON)
    assert (await scene.evidence())[STEPS["veth"]] is None
    await run(scene.client, "next")
    await scene.screen.until(lambda: scene.screen.bridge.up, SOON)
    assert f"bridge {scene.engine.bridge} was gone and is made again" in scene.engine.said()
    gateway = scene.engine.subnet.replace(".0/24", ".1")
    pid = (await scene.client.inspect("next")).state.pid
    await sh("nsenter", "--net", "--target", str(pid), "busybox", "ping", "-c", "1", "-W", "5", gateway)
    # And the one that lost its cable gets a new one with its next start.
    await scene.client.do("stop", "web", {"t": 5})
    await scene.client.do("start", "web")
    await scene.screen.until(lambda: (row := scene.screen.row("web")) and row.status is Status.RUNNING and not row.missing)
    assert Path("/sys/class/net", scene.engine.bridge, "brif", scene.veth).exists()
    await scene.goes_away()


async def test_what_was_asked_for_never_looks_like_somebody_elses_doing(scene: Scene) -> None:
    for _ in range(5):
        await scene.client.do("pause", "web")
        await scene.screen.until(lambda: scene.screen.freezer("web") == "FROZEN")
        await scene.client.do("unpause", "web")
        await scene.screen.until(lambda: scene.screen.freezer("web") == "thawed")
    await scene.client.do("pause", "web")
    await scene.goes_away()
    assert set(scene.screen.freezers) <= {"thawed", "freezing", "FROZEN"}


async def test_frozen_and_thawed_from_outside(scene: Scene) -> None:
    state, screen, client = scene.freezer(), scene.screen, scene.client
    took = []
    for _ in range(3):
        state.write_text("FROZEN")
        took.append(await screen.until(lambda: screen.freezer("web") == "FROZEN from outside"))
        state.write_text("THAWED")
        took.append(await screen.until(lambda: screen.freezer("web") == "thawed"))
    await client.do("pause", "web")
    await screen.until(lambda: screen.freezer("web") == "FROZEN")
    state.write_text("THAWED")
    took.append(await screen.until(lambda: screen.freezer("web") == "thawed from outside"))
    assert sorted(took)[len(took) // 2] < FREEZER, took
    await client.do("unpause", "web")
    await screen.until(lambda: screen.freezer("web") == "thawed")
    # What was frozen from outside can be asked for as well, and is thawed by us then.
    state.write_text("FROZEN")
    await screen.until(lambda: screen.freezer("web") == "FROZEN from outside")
    await client.do("pause", "web")
    await screen.until(lambda: screen.freezer("web") == "FROZEN")
    await client.do("unpause", "web")
    assert state.read_text().strip() == "THAWED"
    await scene.goes_away()


@pytest.mark.parametrize(("verb", "params"), [("stop", {"t": 1}), ("kill", {}), ("remove", {"force": True})])
async def test_what_is_frozen_from_outside_can_be_ended(scene: Scene, verb: str, params: dict[str, Any]) -> None:
    scene.freezer().write_text("FROZEN")
    await scene.screen.until(lambda: scene.screen.freezer("web") == "FROZEN from outside")
    await scene.client.do(verb, "web", params)
    if verb != "remove":
        assert (await scene.client.inspect("web")).status is Status.EXITED
        await scene.client.do("remove", "web")
    assert not scene.freezer().exists()


STUCK = {
    "Image": "busybox",
    "Cmd": ["awk", 'BEGIN { s = "x"; while (length(s) < 100000000) s = s s; while (1) system("sleep 1000") }'],
    "HostConfig": {"Memory": 16 << 20, "MemorySwap": 16 << 20, "OomKillDisable": True},
}
"""Wants more memory than it may have, and sleeps in the kernel until it gets it: where no freezer reaches it."""


async def test_a_freeze_that_does_not_come_about_is_told_with_the_time_since_when(scene: Scene) -> None:
    id = await run(scene.client, "stuck", STUCK)
    freezer, memory = scene.freezer("..", id), Path("/sys/fs/cgroup/memory", scene.engine.cgroup_parent.strip("/"), id)
    await until(lambda: "under_oom 1" in (memory / "memory.oom_control").read_text())
    before = datetime.now(UTC)
    freezer.write_text("FROZEN")
    await scene.screen.until(lambda: scene.screen.freezer("stuck") == "freezing")
    row = scene.screen.row("stuck")
    assert row and row.freezer and row.freezer.since and before <= row.freezer.since <= datetime.now(UTC)
    (memory / "memory.memsw.limit_in_bytes").write_text("-1")
    (memory / "memory.limit_in_bytes").write_text("-1")
    await scene.screen.until(lambda: scene.screen.freezer("stuck") == "FROZEN from outside")
    row = scene.screen.row("stuck")
    assert row and row.freezer and row.freezer.since is None
    await scene.client.do("remove", "stuck", {"force": True})
    await scene.goes_away()


async def test_the_cgroup_above_is_frozen(scene: Scene) -> None:
    above = scene.freezer("..")
    above.write_text("FROZEN")
    try:
        await scene.screen.until(lambda: scene.screen.freezer("web") == "FROZEN parent frozen")
    finally:
        above.write_text("THAWED")
    await scene.screen.until(lambda: scene.screen.freezer("web") == "thawed")
    await scene.goes_away()
