"""The FIFOs that a process's streams are to go through: there, before the shim is sent to open them."""

from __future__ import annotations

import os
import stat

from engine.host import Pipes
from engine.host.threads import short
from engine.model.errors import HostFailed


async def check(pipes: Pipes, doing: str) -> None:
    """Raises `HostFailed` when one is missing. The shim finds that out only after runc has made the process."""
    for path in filter(None, (pipes.stdin, pipes.stdout, pipes.stderr)):
        if not await short(_is_fifo, path):
            raise HostFailed(f"cannot {doing}: the pipe for its {os.path.basename(path)} is gone ({path})", "start it again")


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
