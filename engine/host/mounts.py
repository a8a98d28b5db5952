"""The kernel's mount table (proc_pid_mountinfo(5)), read again only when the kernel says it has changed."""

from __future__ import annotations

import os
import re
import select
import threading

from msgspec import Struct


class Mount(Struct, frozen=True):
    fstype: str
    options: str
    """The file system's own options, as the kernel shows them."""


class MountTable:
    """What is mounted below one directory. Safe to use from many threads.

    poll(2) on the open table answers POLLERR once for every change, ours or a stranger's: so the copy is never stale.
    """

    def __init__(self, below: str) -> None:
        self._below = below + "/"
        self._lock = threading.Lock()
        self._mounts: dict[str, Mount] = {}
        self._file = open("/proc/self/mountinfo", "rb", buffering=0)  # noqa: SIM115 - kept open: it is what is polled
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLPRI)
        self._read()

    def get(self, path: str) -> Mount | None:
        """The top-most mount on `path`."""
        with self._lock:
            if self._poll.poll(0):
                self._read()
            return self._mounts.get(path)

    def paths(self, fstype: str) -> list[str]:
        """Where something of this file system type lies on top, relative to the directory."""
        with self._lock:
            if self._poll.poll(0):
                self._read()
            return [path[len(self._below) :] for path, mount in self._mounts.items() if mount.fstype == fstype]

    def _read(self) -> None:
        self._file.seek(0)
        lines = map(os.fsdecode, self._file.read().splitlines())
        self._mounts = dict(parsed for line in lines if (parsed := _parse(line))[0].startswith(self._below))


def _parse(line: str) -> tuple[str, Mount]:
    """`36 35 98:0 /root /point rw,noatime master:1 - overlay source options`"""
    fixed, _, last = line.partition(" - ")
    fstype, _source, options = last.split(" ", 2)
    return _unescape(fixed.split(" ")[4]), Mount(fstype, _unescape(options))


def _unescape(text: str) -> str:
    """Space, tab, newline and backslash are shown as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
