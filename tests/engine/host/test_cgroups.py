"""Cgroups of both versions on the real kernel: v1 as mounted, v2 on the host's cgroup2 mount."""

import asyncio
import os
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.host import Facts, Freeze
from engine.host.cgroups import ROOT, KernelCgroups, hierarchies
from engine.host.facts import cgroup2_mount
from engine.model.errors import HostFailed

THAWED = Freeze(kernel="thawed", self_frozen=False, parent_frozen=False)


async def until(so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await so():
            await asyncio.sleep(0.005)


class Box:
    """A parent cgroup of our own with one container's cgroup in it, made as runc would, and processes inside."""

    def __init__(self, version: int) -> None:
        self.id = uuid.uuid4().hex
        self.parent = f"longshore-test-{uuid.uuid4().hex[:8]}"
        root = cgroup2_mount() if version == 2 else ROOT
        facts = Facts(cgroup_version=version, cgroup_parent=f"/{self.parent}", memory=1 << 34)
        self.cgroups = KernelCgroups(facts, root)
        self.tops = [root] if version == 2 else [f"{root}/{name}" for name in ("freezer", "memory", "cpuacct", "unified")]
        self.switch = "cgroup.freeze" if version == 2 else "freezer.state"
        self.words = ("0", "1") if version == 2 else ("THAWED", "FROZEN")
        self.inside: list[Process] = []

    def directories(self) -> list[Path]:
        return [Path(top, self.parent, self.id) for top in self.tops if os.path.isdir(top)]

    def make(self) -> None:
        for directory in self.directories():
            directory.mkdir(parents=True)

    def parents(self) -> list[str]:
        return [top for top in self.tops if os.path.isdir(os.path.join(top, self.parent))]

    def gone(self) -> bool:
        return not any(directory.exists() for directory in self.directories())

    async def run(self, *command: str) -> Process:
        process = await asyncio.create_subprocess_exec(*command)
        self.inside.append(process)
        for directory in self.directories():
            (directory / "cgroup.procs").write_text(str(process.pid))
        return process

    def switch_by_hand(self, frozen: bool, *, parent: bool = False) -> None:
        directory = self.directories()[0]
        (directory.parent if parent else directory).joinpath(self.switch).write_text(self.words[frozen])

    async def until(self, wanted: Freeze) -> None:
        async def so() -> bool:
            return await self.cgroups.freezer(self.id) == wanted

        await until(so)


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Box]:
    box = Box(request.param)
    try:
        yield box
    finally:
        if not box.gone():
            box.switch_by_hand(False, parent=True)
            box.switch_by_hand(False)
        for process in box.inside:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await box.cgroups.drop(box.id)
        await box.cgroups.drop_parent()
        assert not box.parents()


async def test_nothing_is_there_without_a_cgroup(box: Box) -> None:
    assert await box.cgroups.freezer(box.id) is None
    assert await box.cgroups.usages((box.id,)) == {}
    assert not await box.cgroups.populated(box.id)
    await box.cgroups.thaw(box.id)
    await box.cgroups.drop(box.id)
    with pytest.raises(HostFailed, match="cannot freeze"):
        await box.cgroups.freeze(box.id)


async def test_freeze_and_thaw_and_again(box: Box) -> None:
    box.make()
    await box.run("sleep", "60")
    assert await box.cgroups.freezer(box.id) == THAWED
    for _ in range(2):
        await box.cgroups.freeze(box.id)
        assert await box.cgroups.freezer(box.id) == Freeze(kernel="frozen", self_frozen=True, parent_frozen=False)
    for _ in range(2):
        await box.cgroups.thaw(box.id)
        await box.until(THAWED)


async def test_a_frozen_process_makes_no_progress(box: Box) -> None:
    box.make()
    process = await box.run("sh", "-c", "while :; do :; done")
    await box.cgroups.freeze(box.id)
    assert processor_ticks(process.pid) == processor_ticks(process.pid)
    await box.cgroups.thaw(box.id)
    stood = processor_ticks(process.pid)

    async def moves() -> bool:
        return processor_ticks(process.pid) > stood

    await until(moves)


async def test_a_parent_frozen_by_hand_is_told_apart(box: Box) -> None:
    box.make()
    await box.run("sleep", "60")
    box.switch_by_hand(True, parent=True)
    await box.until(Freeze(kernel="frozen", self_frozen=False, parent_frozen=True))
    box.switch_by_hand(True)
    await box.until(Freeze(kernel="frozen", self_frozen=True, parent_frozen=True))
    box.switch_by_hand(False, parent=True)
    await box.until(Freeze(kernel="frozen", self_frozen=True, parent_frozen=False))


async def test_changes_are_told_ours_a_strangers_and_the_parents(box: Box) -> None:
    box.make()
    await box.run("sleep", "60")
    box.cgroups.watch(box.id)
    box.cgroups.watch("never made")
    changes = aiter(box.cgroups.changes())

    async def following(wanted: Freeze) -> None:
        async with asyncio.timeout(5):
            while await box.cgroups.freezer(box.id) != wanted:
                assert await anext(changes) == box.id

    assert await anext(changes) == box.id  # its first state
    await box.cgroups.freeze(box.id)
    await anext(changes)
    box.switch_by_hand(False)
    await following(THAWED)
    box.switch_by_hand(True, parent=True)
    await following(Freeze(kernel="frozen", self_frozen=False, parent_frozen=True))
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_container_is_watched_from_the_moment_it_is_asked_for_and_no_longer(box: Box) -> None:
    changes = aiter(box.cgroups.changes())
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    box.make()
    box.cgroups.watch(box.id)
    assert await asyncio.wait_for(waiting, 5) == box.id
    box.cgroups.unwatch(box.id)
    box.cgroups.unwatch(box.id)
    box.switch_by_hand(True)
    waiting = asyncio.ensure_future(anext(changes))
    done, _ = await asyncio.wait((waiting,), timeout=0.3)
    assert not done
    waiting.cancel()


async def test_populated_until_the_last_process_ends(box: Box) -> None:
    box.make()
    assert not await box.cgroups.populated(box.id)
    process = await box.run("sleep", "60")
    assert await box.cgroups.populated(box.id)
    process.kill()
    await process.wait()

    async def empty() -> bool:
        return not await box.cgroups.populated(box.id)

    await until(empty)


async def test_drop_waits_for_dying_processes_and_takes_nested_cgroups_too(box: Box) -> None:
    box.make()
    process = await box.run("sleep", "60")
    (box.directories()[0] / "nested" / "deeper").mkdir(parents=True)
    dropping = asyncio.ensure_future(box.cgroups.drop(box.id))
    process.kill()
    await process.wait()
    await dropping
    assert box.gone()


async def test_what_does_not_leave_is_named(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.host.cgroups.EMPTY_TIMEOUT", 0.05)
    box.make()
    process = await box.run("sleep", "60")
    with pytest.raises(HostFailed, match=rf"processes {process.pid} do not leave"):
        await box.cgroups.drop(box.id)


async def test_drop_parent_leaves_a_parent_that_others_use(box: Box) -> None:
    box.make()
    await box.cgroups.drop_parent()
    assert not box.gone()


async def test_usage_counts_processor_time_and_memory(box: Box) -> None:
    box.make()
    await box.run("sh", "-c", "while :; do :; done")

    async def counted() -> bool:
        return (await box.cgroups.usages((box.id,)))[box.id][0] > 0

    await until(counted)
    usages = await box.cgroups.usages((box.id, "never made"))
    assert usages.keys() == {box.id}
    cpu, memory, limit = usages[box.id]
    assert cpu < 60 * 10**9
    assert memory < limit == 1 << 34  # no limit: the host's memory


async def test_a_memory_limit_is_told() -> None:
    box = Box(1)
    box.make()
    try:
        (Path(ROOT) / "memory" / box.parent / box.id / "memory.limit_in_bytes").write_text(str(1 << 24))
        assert (await box.cgroups.usages((box.id,)))[box.id][2] == 1 << 24
    finally:
        await box.cgroups.drop(box.id)
        await box.cgroups.drop_parent()


def test_paths_follow_the_driver() -> None:
    v1 = KernelCgroups(Facts(cgroup_version=1, cgroup_parent="/longshore"))
    assert v1.path("abc") == "/sys/fs/cgroup/freezer/longshore/abc/freezer.state"
    v2 = KernelCgroups(Facts(cgroup_version=2, cgroup_parent="/longshore"))
    assert v2.path("abc") == "/sys/fs/cgroup/longshore/abc/cgroup.events"
    systemd = KernelCgroups(Facts(cgroup_version=2, cgroup_parent="user-ours.slice", systemd_cgroup=True))
    assert systemd.path("abc") == "/sys/fs/cgroup/user.slice/user-ours.slice/longshore-abc.scope/cgroup.events"


def test_controllers_mounted_together_are_found_apart(tmp_path: Path) -> None:
    for name in ("cpu,cpuacct", "freezer"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    together = str(tmp_path / "cpu,cpuacct")
    assert hierarchies(str(tmp_path)) == {"cpu": together, "cpuacct": together, "freezer": str(tmp_path / "freezer")}


def processor_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
