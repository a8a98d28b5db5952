"""The programs beside the engine, as processes: found by their socket, and waited for."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


def helpers(path: Path) -> list[int]:
    """Pids of the living helpers that were started for this socket."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            command = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        if entry.isdecimal() and os.fsencode(path) in command:  # a zombie has no command line
            found.append(int(entry))
    return found


async def ended(pid: int) -> None:
    """Wait for the end of a process that need not be a child."""
    pidfd = os.pidfd_open(pid)
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
