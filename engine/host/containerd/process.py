"""A process that may not be our child: which one it is, whether it is still that one, and when it ends.

A pid alone says nothing, it is used again; `kill(pid, 0)` says that a zombie is alive. A pid together with the time the
process started (proc(5), `stat`, field 22) names one process of this boot; a pidfd (pidfd_open(2)) holds on to it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path


def started(pid: int) -> int | None:
    """When a living process started, in clock ticks after boot; None when it is dead or a zombie."""
    try:
        # The command in parentheses may itself contain parentheses and spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def command(pid: int) -> list[str]:
    """Its command line, empty when it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape").rstrip("\0").split("\0")
    return []


def shares_mounts(pid: int) -> bool:
    """Is it in our mount namespace? Raises `FileNotFoundError` when it is gone."""
    return os.path.samestat(os.stat(f"/proc/{pid}/ns/mnt"), os.stat("/proc/self/ns/mnt"))


def listener(path: str) -> int:
    """Pid of who listens on a Unix socket (unix(7), SO_PEERCRED); 0 from another pid namespace. Raises `OSError`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


class Process:
    """One process, held by a pidfd. Raises `ProcessLookupError` when there is none of this pid."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self._ended = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._fd, self._end)

    def _end(self) -> None:
        self.close()
        with suppress(ChildProcessError):  # a former engine's child: init reaps it
            os.waitpid(self.pid, os.WNOHANG)
        self._ended.set_result(None)

    async def ended(self) -> None:
        """Wait for its end. Many may wait."""
        await asyncio.shield(self._ended)

    def send(self, number: signal.Signals) -> None:
        if not self._ended.done():
            signal.pidfd_send_signal(self._fd, number)

    def close(self) -> None:
        """Let go of it; it lives on."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
