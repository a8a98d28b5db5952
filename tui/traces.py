"""The traces of one container in the kernel and on disk, looked up without asking the engine."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

Traces = dict[str, list[str]]
"""What was found, by kind."""

CONTENTS = frozenset({"diff", "merged", "work", "rootfs"})
"""Directories that hold a container's files, not files about a container."""


def traces(needles: Collection[str], veth: str, roots: Collection[str]) -> Traces:
    """Everything that bears one of the `needles` (ids), and the cable `veth`. `roots`: directories to search. Blocks."""
    return {
        "processes": list(_processes(needles)),
        "mounts": [path for path, line in _mounts() if _bears(line, needles)],
        "links": [name for name in os.listdir("/sys/class/net") if name == veth],
        "cgroups": list(_cgroups(needles)),
        "directories and files": [path for root in roots for path in _below(root, needles)],
    }


def exec_root(needles: Collection[str]) -> str | None:
    """The directory above `netns/`, where the container's network namespace is kept by a bind mount."""
    return next((str(Path(path).parents[1]) for path, line in _mounts() if " - nsfs " in line and _bears(path, needles)), None)


def freezer(pid: int) -> tuple[str, str] | None:
    """The file in which the kernel tells whether a process's cgroup is frozen, and what it says. None without one.

    v1: `freezer.state` (cgroup-v1/freezer-subsystem.rst); v2: the line `frozen` of `cgroup.events` (cgroup-v2.rst).
    """
    try:
        paths = {name: path for _, name, path in (line.split(":", 2) for line in _read(f"/proc/{pid}/cgroup").splitlines())}
    except FileNotFoundError:
        return None
    for mount, options in _cgroup_mounts():
        if "freezer" in options and "freezer" in paths:
            file = f"{mount}{paths['freezer']}/freezer.state"
            return file, _read(file).strip()
    for mount, options in _cgroup_mounts():
        if "cgroup2" in options and "" in paths:
            file = f"{mount}{paths['']}/cgroup.events"
            return file, "FROZEN" if "frozen 1" in _read(file).splitlines() else "THAWED"
    return None


def _bears(text: str, needles: Collection[str]) -> bool:
    return any(needle in text for needle in needles)


def _read(path: str) -> str:
    return Path(path).read_text(errors="replace")


def _processes(needles: Collection[str]) -> Iterator[str]:
    """Those that name it on the command line (the shim), and those inside its cgroups. Zombies are dead."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        with suppress(FileNotFoundError, ProcessLookupError):
            command = _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
            zombie = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] in "ZX"
            if not zombie and (_bears(command, needles) or _bears(_read(f"/proc/{pid}/cgroup"), needles)):
                yield f"{pid} {command}"


def _mounts() -> Iterator[tuple[str, str]]:
    """Mount point and whole line of every mount (proc_pid_mountinfo(5)); octal escapes as in the file."""
    for line in _read("/proc/self/mountinfo").splitlines():
        yield line.split()[4], line


def _cgroup_mounts() -> Iterator[tuple[str, set[str]]]:
    """Every cgroup mount, with its type and its super options: `{"cgroup", "rw", "freezer"}`."""
    for path, line in _mounts():
        kind, _, options = line.partition(" - ")[2].split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            yield path, {kind, *options.split(",")}


def _cgroups(needles: Collection[str]) -> Iterator[str]:
    for mount, _ in _cgroup_mounts():
        for directory, below, _ in os.walk(mount):
            yield from (os.path.join(directory, name) for name in below if _bears(name, needles))
            below[:] = [name for name in below if not _bears(name, needles)]


def _below(root: str, needles: Collection[str]) -> Iterator[str]:
    """Names that bear it, and links that point to such a name. Not searched: what is inside one that was found."""
    for directory, below, files in os.walk(root):
        for name in (*below, *files):
            path = os.path.join(directory, name)
            if _bears(name, needles) or (os.path.islink(path) and _bears(os.readlink(path), needles)):
                yield path
        below[:] = [name for name in below if name not in CONTENTS and not _bears(name, needles)]
