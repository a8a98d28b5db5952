"""Where a container's cgroup files lie, and reading them: once in a while, or again and again."""

from __future__ import annotations

import errno
import os

ROOT = "/sys/fs/cgroup"

LONGEST = 1 << 14
"""Bytes of a file that is kept open: `memory.stat`, the longest, has two thousand."""

GONE = (errno.ENOENT, errno.ENODEV)
"""ENODEV: the cgroup was removed while its file was open."""


class Kept:
    """A file that is read again and again: opened once, made anew by the kernel for each read from its start.

    Any thread may read, also two at once: a descriptor is closed when the last of them has let go of it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: _Open | None = None

    def read(self) -> bytes:
        """Raises `FileNotFoundError` when there is no such file, or no longer."""
        if file := self._open:
            try:
                return os.pread(file.fd, LONGEST, 0)
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
        self._open = file = _Open(self._path)  # for the first time, or of a new cgroup with the old one's name
        return os.pread(file.fd, LONGEST, 0)


class _Open:
    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def hierarchies(root: str = ROOT) -> dict[str, str]:
    """Controller and directory of each v1 hierarchy; `cpu,cpuacct` are two in one, `unified` is a bare cgroup2 beside them."""
    with os.scandir(root) as entries:
        directories = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return {name: path for path in directories for name in os.path.basename(path).split(",")}


def directory_of(cgroups_path: str) -> str:
    """Where the `cgroupsPath` of a runtime specification lies, below the root of every hierarchy.

    A path is a path. systemd's `slice:prefix:name` is the unit `prefix-name.scope` in the slice, as runc names it.
    """
    if cgroups_path.count(":") != 2:
        return cgroups_path.strip("/")
    slice, prefix, name = cgroups_path.split(":")
    unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope"
    return os.path.join(slice_directory(slice or "system.slice"), unit)


def slice_directory(slice: str) -> str:
    """Directory of a systemd slice: `a-b.slice` lies in `a.slice`, and `-.slice` is the root (systemd.slice(5))."""
    parts = slice.removesuffix(".slice").strip("-").split("-")
    return "/".join("-".join(parts[: n + 1]) + ".slice" for n in range(len(parts)) if parts[0])


def read(*path: str) -> str:
    with open(os.path.join(*path), "rb", buffering=0) as file:  # a buffer and a decoder would double the time
        return file.read().decode().strip()


def optional(*path: str) -> str:
    """A file's text; empty where the controller or the whole cgroup is absent."""
    try:
        return read(*path)
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def pairs(text: str) -> dict[str, int]:
    """A flat keyed file: one `name number` a line."""
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}


def number(text: str) -> int:
    """A number; 0 for `max` and for a file that is not there."""
    return int(text) if text.isdigit() else 0
