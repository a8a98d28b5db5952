"""Shims without a task: what a creation that was cut off, or a killed shim, leaves behind.

Every shim listens on a socket named by its container. When the engine dies at the wrong moment of a task's creation,
containerd throws the bundle away while the new shim still waits for a reader of its log in there. It waits for ever, and
the next creation of the task finds its socket, takes it for the shim, and hangs.
"""

from __future__ import annotations

import hashlib
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.host.containerd.process import command, listener

SHIM_SOCKETS: Final = Path("/run/containerd/s")
"""Where every shim of this machine listens, whichever containerd started it (containerd, runtime/v2/shim)."""


def socket_of(address: str, namespace: str, id: str) -> Path:
    """Where the shim of a container listens (containerd, runtime/v2/shim, SocketAddress)."""
    return SHIM_SOCKETS / hashlib.sha256(os.path.join(address, namespace, id).encode()).hexdigest()


def clear(path: Path, id: str) -> None:
    """End the shim that listens there, if one does, and remove its socket. Only for an id that has no task."""
    with suppress(FileNotFoundError, ConnectionRefusedError):  # a socket that nobody listens on any more
        pid = listener(str(path))
        if pid and id in command(pid):
            _end(pid)
    path.unlink(missing_ok=True)


def end_stranded(address: str) -> None:
    """End this containerd's shims whose bundle, their working directory, is gone. Their sockets may be gone too."""
    for pid in _all(address):
        with suppress(FileNotFoundError, ProcessLookupError):
            if os.readlink(f"/proc/{pid}/cwd").endswith(" (deleted)"):  # proc(5)
                _end(pid)


def end_all(address: str) -> None:
    """End every shim of this containerd. Only where neither it nor any of their processes is left: nobody needs them."""
    for pid in _all(address):
        _end(pid)


def has_process(bundle: Path) -> bool:
    """Does the init of this bundle's task live? A number that somebody else has by now counts as living."""
    try:
        pid = int((bundle / "init.pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return False
    return state not in ("Z", "X")


def _all(address: str) -> list[int]:
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [pid for pid in found if _is_shim(pid, address)]


def _is_shim(pid: int, address: str) -> bool:
    argv = command(pid)
    return "containerd-shim" in argv[0] and address in argv if argv else False


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
