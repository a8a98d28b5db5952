"""A whole life on cgroup v2: in a mount namespace of its own, where cgroup2 lies on /sys/fs/cgroup as on today's servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.model.errors import NotFound
from engine.model.status import Status
from tests.engines import EngineProcess
from tests.real.watching import run, until, watching

FREEZER = 0.25
"""Seconds until the screen tells of a freezer: the kernel itself says that it changed."""

WITH_CGROUP2 = 'umount --recursive /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'


@pytest.fixture
async def engine(place_engine: Callable[[], EngineProcess]) -> AsyncIterator[EngineProcess]:
    place = place_engine()
    place.program = ("unshare", "--mount", "sh", "-c", WITH_CGROUP2, "sh", *place.program)
    await place.start()
    yield place


class Cgroup:
    """A container's cgroup as the engine's mount namespace shows it (cgroup-v2.rst)."""

    def __init__(self, engine: EngineProcess, id: str) -> None:
        self.parent = Path(f"/proc/{engine.pid}/root/sys/fs/cgroup{engine.cgroup_parent}")
        self.path = self.parent / id

    def events(self) -> dict[str, str]:
        return dict(line.split() for line in (self.path / "cgroup.events").read_text().splitlines())

    def asked(self) -> str:
        return (self.path / "cgroup.freeze").read_text().strip()

    def freeze(self, word: str) -> None:
        (self.path / "cgroup.freeze").write_text(word)

    def processes(self) -> list[int]:
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]


async def test_a_whole_life(engine: EngineProcess) -> None:
    async with engine.client() as client, watching(client) as screen:
        assert screen.world.engine.cgroup == "v2"
        made = await client.do("create", "", {"name": "web", "body": {"Image": "busybox", "Cmd": ["sleep", "1000"]}})
        cgroup = Cgroup(engine, made.id)
        assert not cgroup.path.exists()
        await client.do("start", "web")
        c = await client.inspect("web")
        assert cgroup.processes() == [c.state.pid]
        assert cgroup.events() == {"populated": "1", "frozen": "0"}
        await screen.until(lambda: screen.freezer("web") == "thawed")

        await client.do("pause", "web")
        assert (cgroup.asked(), cgroup.events()["frozen"]) == ("1", "1")
        assert (await client.inspect("web")).status is Status.PAUSED
        await screen.until(lambda: screen.freezer("web") == "FROZEN")
        (step,) = (await client.steps("web")).steps
        assert step.now == f"/sys/fs/cgroup{engine.cgroup_parent}/{made.id}/cgroup.events: FROZEN"
        await client.do("unpause", "web")
        assert (cgroup.asked(), cgroup.events()["frozen"]) == ("0", "0")
        await screen.until(lambda: screen.freezer("web") == "thawed")

        await screen.until(lambda: screen.world.samples.get(made.id))
        await client.do("stop", "web", {"t": 0})
        assert not cgroup.path.exists()
        assert (await client.inspect("web")).state.exit_code == 137
        await client.do("start", "web")
        await client.do("pause", "web")
        await client.do("kill", "web")
        assert not cgroup.path.exists()
        await client.do("remove", "web")
        with pytest.raises(NotFound):
            await client.inspect("web")


async def test_freezer_from_outside(engine: EngineProcess) -> None:
    async with engine.client() as client, watching(client) as screen:
        cgroup = Cgroup(engine, await run(client, "web"))
        await screen.until(lambda: screen.freezer("web") == "thawed")
        took = []
        for _ in range(30):  # as fast as the screen follows: none may be missed
            cgroup.freeze("1")
            took.append(await screen.until(lambda: screen.freezer("web") == "FROZEN from outside"))
            cgroup.freeze("0")
            took.append(await screen.until(lambda: screen.freezer("web") == "thawed"))
        await client.do("pause", "web")
        await screen.until(lambda: screen.freezer("web") == "FROZEN")
        cgroup.freeze("0")
        took.append(await screen.until(lambda: screen.freezer("web") == "thawed from outside"))
        assert sorted(took)[len(took) // 2] < FREEZER, took
        await client.do("unpause", "web")
        await screen.until(lambda: screen.freezer("web") == "thawed")

        (cgroup.parent / "cgroup.freeze").write_text("1")
        await screen.until(lambda: screen.freezer("web") == "FROZEN parent frozen")
        (cgroup.parent / "cgroup.freeze").write_text("0")
        await screen.until(lambda: screen.freezer("web") == "thawed")

        cgroup.freeze("1")
        await client.do("stop", "web", {"t": 1})
        c = await client.inspect("web")
        assert (c.status, cgroup.path.exists()) == (Status.EXITED, False)


async def test_shutdown_takes_everything(engine: EngineProcess) -> None:
    async with engine.client() as client:
        running, paused = [Cgroup(engine, await run(client, name)) for name in ("running", "paused")]
        await client.do("pause", "paused")
        assert running.processes() and paused.processes()
        beside = Path("/sys/fs/cgroup/unified" + engine.cgroup_parent)
        assert beside.is_dir()
        await client.shutdown(containers=True)
        await until(lambda: not engine.alive)
        assert not beside.exists()
    engine.process = None
    assert not engine.left(), engine.said()
