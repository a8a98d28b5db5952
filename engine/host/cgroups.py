"""The kernel's cgroup files of a container (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst).

runc makes a container's cgroups; this reads them, freezes and thaws them by file, and removes what is left. In v1 mode a
container has one directory in every hierarchy, also in a bare cgroup2 at `unified`; in v2 it has one.

What is read every second stays open, five files a container at most: a third of what opening them each time costs.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from asyncinotify import Inotify, Mask, Watch

from engine.host import CgroupStats, Facts, Freeze, Sighting
from engine.host.cgroup_files import (
    GONE,
    ROOT,
    Kept,
    directory_of,
    hierarchies,
    number,
    optional,
    pairs,
    read,
    slice_directory,
    write,
)
from engine.host.cgroup_stats import stats_v1, stats_v2
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.errors import HostFailed

POLL = 0.25
"""Seconds between two looks at v1 freezers while somebody watches: a parent's freeze wakes no inotify."""

POLL_V2 = 1.0
"""The same for v2, whose kernel tells of every freeze that comes about, but of none that does not."""

TRIES = 1000
"""How often v1 is told to freeze before it counts as stuck, as runc does: a group whose processes fork stays FREEZING."""

FREEZE_TIMEOUT = 10.0
"""Seconds v2 may take to freeze, as in runc."""

PAUSE = 0.01
"""Seconds between two looks while something is expected to happen at once (runc's own interval)."""

EMPTY_TIMEOUT = 2.0
"""Seconds a cgroup may take to lose its last, dying process."""

THAWED = Freeze(kernel="thawed", self_frozen=False, parent_frozen=False)

CACHE_V1, CACHE_V2 = (re.compile(rb"^%s (\d+)" % name, re.MULTILINE) for name in (b"total_inactive_file", b"inactive_file"))
"""In `memory.stat`: page cache that can be had back at once."""

LIMITS_V1 = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"),
    "cpu": ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"),
    "cpuset": ("cpuset.cpus", "cpuset.mems"),
    "pids": ("pids.max",),
}
LIMITS_V2 = {
    "": ("memory.max", "memory.swap.max", "memory.low", "cpu.weight", "cpu.max", "cpuset.cpus", "cpuset.mems", "pids.max"),
}
"""The files of each hierarchy that say what a container may use."""


class KernelCgroups:
    """The port `Cgroups` on the real kernel. `root` is where cgroups are mounted."""

    def __init__(self, facts: Facts, root: str = ROOT) -> None:
        self._unified = facts.cgroup_version == 2
        self._path = f"{facts.cgroup_parent}:longshore:{{}}" if facts.systemd_cgroup else f"{facts.cgroup_parent}/{{}}"
        self._parent = slice_directory(facts.cgroup_parent) if facts.systemd_cgroup else facts.cgroup_parent.strip("/")
        self._memory = facts.memory
        self._root = root
        self._hierarchies = {"": root} if self._unified else hierarchies(root)
        self._kept: dict[str, dict[str, Kept]] = {}
        self._watched: dict[str, object] = {}
        self._watchers: set[_Watcher] = set()

    def path(self, id: str) -> str:
        """The file a person reads to see the freezer: `freezer.state` or `cgroup.events`."""
        return os.path.join(self._dir("freezer", id), "cgroup.events" if self._unified else "freezer.state")

    async def limits(self, id: str) -> str | None:
        """What the kernel holds it to."""
        return await short(self._limits, id)

    def _limits(self, id: str) -> str | None:
        lines = []
        for controller, files in (LIMITS_V2 if self._unified else LIMITS_V1).items():
            for name in files:
                with suppress(OSError):
                    lines.append(f"{name}: {read(self._dir(controller, id), name)}")
        return "\n".join(lines) or None

    # The freezer

    async def freezer(self, id: str) -> Freeze | None:
        """What the freezer says now; None without a cgroup."""
        with doing(f"read the freezer of {id[:12]}"):
            return await short(self._freezer, id)

    async def freeze(self, id: str) -> None:
        """Freeze by file and wait for it. Thawed again when it does not come about: nothing is left half frozen."""
        with doing(f"freeze {id[:12]}"):
            frozen = await (self._freeze_v2(id) if self._unified else short(_freeze_v1, self._switch(id)))
        if not frozen:
            await self.thaw(id)
            raise HostFailed(f"unable to freeze {id[:12]}", "a process inside may be traced or wait for a disk", errno.EBUSY)

    async def thaw(self, id: str) -> None:
        """Thaw by file. What has no cgroup is thawed."""
        with doing(f"thaw {id[:12]}"), suppress(FileNotFoundError):
            await short(write, self._switch(id), "0" if self._unified else "THAWED")

    def _switch(self, id: str) -> str:
        return os.path.join(self._dir("freezer", id), "cgroup.freeze" if self._unified else "freezer.state")

    def _freezer(self, id: str) -> Freeze | None:
        try:
            return self._freezer_v2(id) if self._unified else self._freezer_v1(id)
        except OSError as error:
            if error.errno not in GONE:
                raise
            self._kept.pop(id, None)
            return None

    def _freezer_v1(self, id: str) -> Freeze:
        state = self._keep(id, "freezer", "freezer.state").read()
        if state.startswith(b"THAWED"):
            return THAWED
        where = self._dir("freezer", id)
        return Freeze(
            kernel=state.strip().lower().decode(),
            self_frozen=read(where, "freezer.self_freezing") == "1",
            parent_frozen=read(where, "freezer.parent_freezing") == "1",
        )

    def _freezer_v2(self, id: str) -> Freeze:
        self_frozen = self._keep(id, "", "cgroup.freeze").read().startswith(b"1")
        parent_frozen = any(optional(parent, "cgroup.freeze") == "1" for parent in self._ancestors(self._dir("", id)))
        frozen = b"frozen 1" in self._keep(id, "", "cgroup.events").read()
        kernel = "frozen" if frozen else "freezing" if self_frozen or parent_frozen else "thawed"
        return Freeze(kernel=kernel, self_frozen=self_frozen, parent_frozen=parent_frozen)

    async def _freeze_v2(self, id: str) -> bool:
        await short(write, self._switch(id), "1")
        until = time.monotonic() + FREEZE_TIMEOUT
        while time.monotonic() < until:
            now = await short(self._freezer, id)
            if now is None or now.kernel == "frozen":
                return now is not None
            await asyncio.sleep(PAUSE)
        return False

    # Processes and directories

    async def populated(self, id: str) -> bool:
        """Is there a process in the cgroup or below it?"""
        with doing(f"read the cgroup of {id[:12]}"):
            return await short(self._populated, id)

    async def drop(self, id: str) -> None:
        """Remove the cgroup from every hierarchy. Raises `HostFailed` when a process does not leave it."""
        self.unwatch(id)
        until = time.monotonic() + EMPTY_TIMEOUT
        with doing(f"remove the cgroup of {id[:12]}"):
            for where in {self._dir(hierarchy, id) for hierarchy in self._hierarchies}:
                while not await short(_remove, where):
                    if time.monotonic() > until:
                        pids = " ".join(await short(_processes, where)) or "of a cgroup below"
                        raise HostFailed(f"cannot remove {where}: processes {pids} do not leave it", "kill them", errno.EBUSY)
                    await asyncio.sleep(PAUSE)

    async def drop_parent(self) -> None:
        """Remove the engine's own parent cgroup, where nothing is in it. What lies above it is not ours."""
        if self._parent:
            for top in set(self._hierarchies.values()):
                await short(_rmdir, os.path.join(top, self._parent))

    def _populated(self, id: str) -> bool:
        where = self._dir("freezer", id)
        if self._unified:
            try:
                return pairs(read(where, "cgroup.events")).get("populated") == 1
            except OSError:
                return False
        return any(_processes(directory) for directory, _, _ in os.walk(where))

    # Figures

    async def usages(self, ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        """CPU nanoseconds, memory bytes without reclaimable file cache (as `docker stats` shows it), memory limit in bytes.

        Zero for what no controller counts; the host's memory where there is no limit. A container without a cgroup is left out.
        """
        return await short(lambda: {id: found for id in ids if (found := self._usage(id))})

    async def stats(self, id: str) -> CgroupStats | None:
        with doing(f"read what {id[:12]} has used"):
            return await short(self._stats, id)

    async def sightings(self) -> set[Sighting]:
        with doing("list the cgroups"):
            return {("cgroup", id) for id in await short(self._ids)}

    def _usage(self, id: str) -> tuple[int, int, int] | None:
        if self._unified:
            cpu = pairs(self._figure(id, "", "cpu.stat").decode()).get("usage_usec", 0) * 1000
            names, cache_pattern = ("", "memory.current", "memory.max", "memory.stat"), CACHE_V2
        else:
            cpu = int(self._figure(id, "cpuacct", "cpuacct.usage") or 0)
            names, cache_pattern = ("memory", "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat"), CACHE_V1
        hierarchy, *files = names
        used, limit, stat = (self._figure(id, hierarchy, name) for name in files)
        if not (cpu or used) and not os.path.isdir(self._dir("freezer", id)):
            self._kept.pop(id, None)
            return None
        cache = int(found[1]) if (found := cache_pattern.search(stat)) else 0
        return cpu, max(int(used or 0) - cache, 0), min(number(limit.decode().strip()) or self._memory, self._memory)

    def _stats(self, id: str) -> CgroupStats | None:
        if not os.path.isdir(self._dir("freezer", id)):
            return None
        if self._unified:
            return stats_v2(self._dir("", id), self._memory)
        return stats_v1(lambda controller: self._dir(controller, id), self._memory)

    def _ids(self) -> list[str]:
        """Containers by their cgroups' names."""
        first, _, last = os.path.basename(self._dir("freezer", "*")).partition("*")
        try:
            with os.scandir(os.path.dirname(self._dir("freezer", "*"))) as entries:
                names = [entry.name for entry in entries if entry.is_dir()]
        except FileNotFoundError:
            return []
        return [name[len(first) : len(name) - len(last)] for name in names if name.startswith(first) and name.endswith(last)]

    def _figure(self, id: str, hierarchy: str, name: str) -> bytes:
        """A file's bytes; none where the controller or the whole cgroup is absent."""
        try:
            return self._keep(id, hierarchy, name).read()
        except OSError as error:
            if error.errno in GONE:
                return b""
            raise

    def _keep(self, id: str, hierarchy: str, name: str) -> Kept:
        """A file of a container that is read again and again, until it is no longer watched."""
        files = self._kept.setdefault(id, {})
        if (kept := files.get(name)) is None:
            kept = files[name] = Kept(os.path.join(self._dir(hierarchy, id), name))
        return kept

    # Watching

    def watch(self, id: str) -> None:
        """Report this container's freezer in `changes`. Call it when its cgroup is there; watching what is not is fine."""
        self._watched[id] = object()  # what is being read just now is from before
        for watcher in self._watchers:
            watcher.add(id, *self._telling(id))

    def unwatch(self, id: str) -> None:
        self._watched.pop(id, None)
        self._kept.pop(id, None)
        for watcher in self._watchers:
            watcher.remove(id)

    async def changes(self) -> AsyncIterator[dict[str, Freeze]]:
        """What the freezers of all watched containers say: now, and whenever one may have changed, from outside or by us.

        v2: the kernel says so (and merges flips within 10 ms); a freeze that is asked for and does not come about is looked
        for once a second. v1: looked at every 250 ms. Both: at every write to the file, and at every `watch`, after which
        nothing older is told.
        """
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            for id in self._watched:
                watcher.add(id, *self._telling(id))
            while True:
                asked = dict(self._watched)
                with doing("read the freezers"):
                    found = await short(lambda asked: {id: self._freezer(id) for id in asked}, asked)
                yield {id: freeze for id, freeze in found.items() if freeze and self._watched.get(id) is asked[id]}
                await watcher.wait(POLL_V2 if self._unified else POLL)
        finally:
            self._watchers.discard(watcher)
            watcher.close()

    def _telling(self, id: str) -> tuple[str, ...]:
        """The files of which inotify tells: what the kernel says, and on v2 what it is asked."""
        return (self.path(id), self._switch(id)) if self._unified else (self.path(id),)

    # Where things lie

    def _dir(self, hierarchy: str, id: str) -> str:
        top = self._root if self._unified else self._hierarchies.get(hierarchy, os.path.join(self._root, hierarchy))
        return os.path.join(top, directory_of(self._path.format(id)))

    def _ancestors(self, where: str) -> Iterable[str]:
        while (where := os.path.dirname(where)) != self._root and len(where) > len(self._root):
            yield where


class _Watcher:
    """Wakes when one of some files was written or changed by the kernel: inotify(7)."""

    def __init__(self) -> None:
        self._inotify = Inotify(sync_timeout=0)  # its NONBLOCK flag does not reach the kernel (4.4.4)
        self._watches: dict[str, list[Watch]] = {}
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._inotify.fd, self._woken.set)

    def add(self, id: str, *paths: str) -> None:
        self.remove(id)  # the cgroup may be a new one of the same name
        with suppress(FileNotFoundError):
            self._watches[id] = [self._inotify.add_watch(path, Mask.MODIFY) for path in paths]
        self._woken.set()

    def remove(self, id: str) -> None:
        for watch in self._watches.pop(id, ()):
            with suppress(OSError):  # the kernel dropped it with the cgroup
                self._inotify.rm_watch(watch)

    async def wait(self, seconds: float) -> None:
        """Until something happened, or so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()
        while self._inotify.sync_get():
            pass

    def close(self) -> None:
        self._loop.remove_reader(self._inotify.fd)
        self._inotify.close()


def _freeze_v1(switch: str) -> bool:
    """Ask again and again, as runc does: now and then thawed for a moment, so that a fork in flight can end."""
    for attempt in range(TRIES):
        if attempt % 50 == 49:
            write(switch, "THAWED")
            time.sleep(PAUSE)
        write(switch, "FROZEN")
        if attempt % 25 == 24:
            time.sleep(0.00001)
        if read(switch) == "FROZEN":
            return True
    return False


def _processes(where: str) -> list[str]:
    return optional(where, "cgroup.procs").split()


def _remove(where: str) -> bool:
    """Remove a cgroup and those a container made below it. False: a process is still in one."""
    try:
        for directory, _, _ in os.walk(where, topdown=False):
            os.rmdir(directory)
    except FileNotFoundError:
        return not os.path.exists(where)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _rmdir(where: str) -> None:
    """Remove a cgroup unless something is in it."""
    try:
        os.rmdir(where)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
            raise
