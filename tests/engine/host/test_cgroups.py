"""Cgroups of both versions on the real kernel: v1 as mounted, v2 on the host's cgroup2 mount."""

import asyncio
import os
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.host import Facts, Freeze
from engine.host.cgroup_files import ROOT, directory_of, hierarchies, slice_directory
from engine.host.cgroups import KernelCgroups
from engine.host.facts import cgroup2_mount
from engine.model.errors import HostFailed
from engine.spec.oci import cgroups_path
from tests.engine.spec.made import container

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

    async def told(wanted: Freeze) -> None:
        async with asyncio.timeout(5):
            while await anext(changes) != {box.id: wanted}:
                pass

    await told(THAWED)
    await box.cgroups.freeze(box.id)
    await told(Freeze(kernel="frozen", self_frozen=True, parent_frozen=False))
    box.switch_by_hand(False)
    await told(THAWED)
    box.switch_by_hand(True, parent=True)
    await told(Freeze(kernel="frozen", self_frozen=False, parent_frozen=True))
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_container_is_watched_from_the_moment_it_is_asked_for_and_no_longer(box: Box) -> None:
    changes = aiter(box.cgroups.changes())
    assert await anext(changes) == {}
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    box.make()
    box.cgroups.watch(box.id)
    assert await asyncio.wait_for(waiting, 5) == {box.id: THAWED}
    box.cgroups.unwatch(box.id)
    box.cgroups.unwatch(box.id)
    box.switch_by_hand(True)
    assert await asyncio.wait_for(anext(changes), 5) == {}
    await changes.aclose()  # type: ignore[attr-defined]


async def test_what_was_read_before_a_container_was_watched_anew_is_not_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a freezer read before a pause came to its end would look like somebody else's thaw after it."""
    box.make()
    read, look = [0], box.cgroups._freezer

    def meanwhile(id: str) -> Freeze | None:
        read[0] += 1
        found = look(id)
        if read[0] == 1:
            loop.call_soon_threadsafe(box.cgroups.watch, id)
        return found

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(box.cgroups, "_freezer", meanwhile)
    box.cgroups.watch(box.id)
    changes = aiter(box.cgroups.changes())
    assert await anext(changes) == {}
    assert await asyncio.wait_for(anext(changes), 5) == {box.id: THAWED}
    await changes.aclose()  # type: ignore[attr-defined]


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


@pytest.mark.parametrize(
    ("path", "directory"),
    [
        ("/longshore/abc", "longshore/abc"),
        ("/abc", "abc"),
        ("longshore.slice:longshore:abc", "longshore.slice/longshore-abc.scope"),
        ("a-b-c.slice:longshore:abc", "a.slice/a-b.slice/a-b-c.slice/longshore-abc.scope"),
        (":longshore:abc", "system.slice/longshore-abc.scope"),
        ("-.slice:longshore:abc", "longshore-abc.scope"),
        ("user.slice:ignored:user-own.slice", "user.slice/user-own.slice"),
    ],
)
def test_where_a_cgroups_path_lies(path: str, directory: str) -> None:
    assert directory_of(path) == directory


def test_the_slices_directory_is_the_parent_of_the_scopes() -> None:
    for slice in ("longshore.slice", "a-b-c.slice", "-.slice"):
        assert os.path.dirname(directory_of(f"{slice}:longshore:abc")) == slice_directory(slice)


@pytest.mark.parametrize("facts", [Facts(), Facts(cgroup_parent="a-b.slice", systemd_cgroup=True)], ids=["path", "systemd"])
def test_the_port_looks_where_the_specification_says(facts: Facts) -> None:
    c = container()
    path = f"/sys/fs/cgroup/freezer/{directory_of(cgroups_path(c, facts))}/freezer.state"
    assert KernelCgroups(facts).path(c.id) == path


async def test_a_new_cgroup_of_the_old_name_is_read_anew(box: Box) -> None:
    for _ in range(2):
        box.make()
        process = await box.run("sh", "-c", "while :; do :; done")
        await until(lambda: moved(box))
        box.switch_by_hand(True)
        await box.until(Freeze(kernel="frozen", self_frozen=True, parent_frozen=False))
        box.switch_by_hand(False)
        process.kill()
        await process.wait()
        await box.cgroups.drop(box.id)
        assert await box.cgroups.freezer(box.id) is None
        assert await box.cgroups.usages((box.id,)) == {}


async def moved(box: Box) -> bool:
    return (await box.cgroups.usages((box.id,)))[box.id][0] > 0


async def test_files_stay_open_only_while_the_container_is_watched(box: Box) -> None:
    box.make()
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        await box.cgroups.usages((box.id,))
        await box.cgroups.freezer(box.id)
        assert len(before) < len(os.listdir("/proc/self/fd")) <= len(before) + 5
    box.cgroups.unwatch(box.id)
    assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_sightings_name_the_containers_that_have_a_cgroup(box: Box) -> None:
    assert await box.cgroups.sightings() == set()
    box.make()
    assert await box.cgroups.sightings() == {("cgroup", box.id)}


async def test_stats_agree_with_the_kernels_files(box: Box) -> None:
    assert await box.cgroups.stats(box.id) is None
    box.make()
    await box.run("sh", "-c", "while :; do :; done")
    await until(lambda: moved(box))
    stats = await box.cgroups.stats(box.id)
    assert stats and 0 < stats.cpu < 60 * 10**9 and stats.cpu_user + stats.cpu_kernel < 60 * 10**9
    later = await box.cgroups.stats(box.id)
    assert later and stats.cpus == os.cpu_count() and 0 < stats.host_cpu <= later.host_cpu
    if box.words == ("THAWED", "FROZEN"):
        assert sum(stats.per_cpu) > 0 and len(stats.per_cpu) >= stats.cpus
        assert stats.memory_limit == 1 << 34 and stats.memory_max >= stats.memory
        assert stats.memory_stat.keys() >= {"total_inactive_file", "pgfault", "hierarchical_memory_limit"}


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
