"""The kernel's cgroup files of a container (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst).

runc makes a container's cgroups; this reads them, freezes and thaws them by file, and removes what is left. In v1 mode a
container has one directory in every hierarchy, also in a bare cgroup2 at `unified`; in v2 it has one.

A read is 10 us. Files are opened for each: descriptors kept for 300 containers would save 3 ms a second and cost 1,500 of them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from asyncinotify import Inotify, Mask, Watch

from engine.host import Facts, Freeze
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.errors import HostFailed

ROOT = "/sys/fs/cgroup"

POLL = 0.25
"""Seconds between two looks at v1 freezers while somebody watches: a parent's freeze wakes no inotify."""

TRIES = 1000
"""How often v1 is told to freeze before it counts as stuck, as runc does: a group whose processes fork stays FREEZING."""

FREEZE_TIMEOUT = 10.0
"""Seconds v2 may take to freeze, as in runc."""

PAUSE = 0.01
"""Seconds between two looks while something is expected to happen at once (runc's own interval)."""

EMPTY_TIMEOUT = 2.0
"""Seconds a cgroup may take to lose its last, dying process."""

UNLIMITED = 1 << 62
"""Above this, v1's memory limit means none (it writes the largest page-aligned number)."""


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
        self._parent = _slice(facts.cgroup_parent) if facts.systemd_cgroup else facts.cgroup_parent.strip("/")
        self._scope = "longshore-{}.scope" if facts.systemd_cgroup else "{}"
        self._memory = facts.memory
        self._root = root
        self._hierarchies = {"": root} if self._unified else hierarchies(root)
        self._watched: dict[str, Freeze | None] = {}
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
                    lines.append(f"{name}: {_read(self._dir(controller, id), name)}")
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
            await short(_write, self._switch(id), "0" if self._unified else "THAWED")

    def _switch(self, id: str) -> str:
        return os.path.join(self._dir("freezer", id), "cgroup.freeze" if self._unified else "freezer.state")

    def _freezer(self, id: str) -> Freeze | None:
        where = self._dir("freezer", id)
        try:
            return self._freezer_v2(where) if self._unified else _freezer_v1(where)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):  # ENODEV: removed between open and read
                return None
            raise

    def _freezer_v2(self, where: str) -> Freeze:
        self_frozen = _read(where, "cgroup.freeze") == "1"
        parent_frozen = any(_is_frozen(parent) for parent in self._ancestors(where))
        frozen = _pairs(_read(where, "cgroup.events")).get("frozen") == 1
        kernel = "frozen" if frozen else "freezing" if self_frozen or parent_frozen else "thawed"
        return Freeze(kernel=kernel, self_frozen=self_frozen, parent_frozen=parent_frozen)

    async def _freeze_v2(self, id: str) -> bool:
        await short(_write, self._switch(id), "1")
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
                return _pairs(_read(where, "cgroup.events")).get("populated") == 1
            except OSError:
                return False
        return any(_processes(directory) for directory, _, _ in os.walk(where))

    # Figures

    async def usages(self, ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        """CPU nanoseconds, memory bytes without reclaimable file cache (as `docker stats` shows it), memory limit in bytes.

        Zero for what no controller counts; the host's memory where there is no limit. A container without a cgroup is left out.
        """
        return await short(lambda: {id: found for id in ids if (found := self._usage(id))})

    def _usage(self, id: str) -> tuple[int, int, int] | None:
        if not os.path.isdir(self._dir("freezer", id)):
            return None
        if self._unified:
            where = self._dir("", id)
            cpu = _pairs(_optional(where, "cpu.stat")).get("usage_usec", 0) * 1000
            used, limit = _number(_optional(where, "memory.current")), _number(_optional(where, "memory.max"))
            cache = _pairs(_optional(where, "memory.stat")).get("inactive_file", 0) if used else 0
        else:
            where = self._dir("memory", id)
            cpu = _number(_optional(self._dir("cpuacct", id), "cpuacct.usage"))
            used, limit = _number(_optional(where, "memory.usage_in_bytes")), _number(_optional(where, "memory.limit_in_bytes"))
            cache = _pairs(_optional(where, "memory.stat")).get("total_inactive_file", 0) if used else 0
        return cpu, max(used - cache, 0), limit if 0 < limit < UNLIMITED else self._memory

    # Watching

    def watch(self, id: str) -> None:
        """Report this container's freezer in `changes`. Call it when its cgroup is there; watching what is not is fine."""
        self._watched.setdefault(id, None)
        for watcher in self._watchers:
            watcher.add(id, self.path(id))

    def unwatch(self, id: str) -> None:
        self._watched.pop(id, None)
        for watcher in self._watchers:
            watcher.remove(id)

    async def changes(self) -> AsyncIterator[str]:
        """Ids of watched containers whose freezer changed, from outside or by us; at first each that has one.

        v2: the kernel says so (and merges flips within 10 ms: read the freezer, do not count). v1: looked at every 250 ms and
        at every write to the file, as long as somebody iterates.
        """
        watcher = _Watcher()
        self._watchers.add(watcher)
        seen: dict[str, Freeze | None] = {}
        try:
            for id in self._watched:
                watcher.add(id, self.path(id))
            while True:
                now = await short(lambda: {id: self._freezer(id) for id in tuple(self._watched)})
                for id in [id for id, freeze in now.items() if freeze and freeze != seen.get(id)]:
                    yield id
                seen = now
                await watcher.wait(None if self._unified else POLL)
        finally:
            self._watchers.discard(watcher)
            watcher.close()

    # Where things lie

    def _dir(self, hierarchy: str, id: str) -> str:
        top = self._root if self._unified else self._hierarchies.get(hierarchy, os.path.join(self._root, hierarchy))
        return os.path.join(top, self._parent, self._scope.format(id))

    def _ancestors(self, where: str) -> Iterable[str]:
        while (where := os.path.dirname(where)) != self._root and len(where) > len(self._root):
            yield where


class _Watcher:
    """Wakes when one of some files was written or changed by the kernel: inotify(7)."""

    def __init__(self) -> None:
        self._inotify = Inotify(sync_timeout=0)  # its NONBLOCK flag does not reach the kernel (4.4.4)
        self._watches: dict[str, Watch] = {}
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._inotify.fd, self._woken.set)

    def add(self, id: str, path: str) -> None:
        self.remove(id)  # the cgroup may be a new one of the same name
        with suppress(FileNotFoundError):
            self._watches[id] = self._inotify.add_watch(path, Mask.MODIFY)
        self._woken.set()

    def remove(self, id: str) -> None:
        if watch := self._watches.pop(id, None):
            with suppress(OSError):  # the kernel dropped it with the cgroup
                self._inotify.rm_watch(watch)

    async def wait(self, seconds: float | None) -> None:
        """Until something happened, or so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()
        while self._inotify.sync_get():
            pass

    def close(self) -> None:
        self._loop.remove_reader(self._inotify.fd)
        self._inotify.close()


def hierarchies(root: str = ROOT) -> dict[str, str]:
    """Controller and directory of each v1 hierarchy; `cpu,cpuacct` are two in one, `unified` is a bare cgroup2 beside them."""
    with os.scandir(root) as entries:
        directories = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return {name: path for path in directories for name in os.path.basename(path).split(",")}


def _slice(name: str) -> str:
    """Directory of a systemd slice: `a-b.slice` lies in `a.slice` (systemd.slice(5))."""
    parts = name.removesuffix(".slice").strip("-").split("-")
    return "/".join("-".join(parts[: n + 1]) + ".slice" for n in range(len(parts)) if parts[0])


def _freezer_v1(where: str) -> Freeze:
    return Freeze(
        kernel=_read(where, "freezer.state").lower(),
        self_frozen=_read(where, "freezer.self_freezing") == "1",
        parent_frozen=_read(where, "freezer.parent_freezing") == "1",
    )


def _freeze_v1(switch: str) -> bool:
    """Ask again and again, as runc does: now and then thawed for a moment, so that a fork in flight can end."""
    for attempt in range(TRIES):
        if attempt % 50 == 49:
            _write(switch, "THAWED")
            time.sleep(PAUSE)
        _write(switch, "FROZEN")
        if attempt % 25 == 24:
            time.sleep(0.00001)
        if _read(switch) == "FROZEN":
            return True
    return False


def _is_frozen(where: str) -> bool:
    return _optional(where, "cgroup.freeze") == "1"


def _processes(where: str) -> list[str]:
    return _optional(where, "cgroup.procs").split()


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


def _read(*path: str) -> str:
    with open(os.path.join(*path)) as file:
        return file.read().strip()


def _optional(*path: str) -> str:
    """A file's text; empty where the controller or the whole cgroup is absent."""
    try:
        return _read(*path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return ""
        raise


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _pairs(text: str) -> dict[str, int]:
    """A flat keyed file: one `name number` a line."""
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}


def _number(text: str) -> int:
    """A number; 0 for `max` and for a file that is not there."""
    return int(text) if text.isdigit() else 0
