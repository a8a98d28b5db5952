"""What a container may have although containerd tells of no task: a shim, and a container that runc knows.

Every shim listens on a socket named by its container. When the engine dies at the wrong moment of a task's creation,
containerd throws the bundle away while the new shim still waits for a reader of its log in there. It waits for ever, and
the next creation of the task finds its socket, takes it for the shim, and hangs. It may be seen only seconds after the
engine has died, on a busy machine.

When a shim is killed, containerd forgets the task at once and then has it cleaned up, by a program that looks like a shim:
the container's processes still live for a moment, or for good where containerd is killed too. runc's own state tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.host import Task
from engine.host.containerd.process import command, listener
from engine.host.threads import short
from engine.host.tools import tell
from engine.model.errors import EngineError

SHIM_SOCKETS: Final = Path("/run/containerd/s")
"""Where every shim of this machine listens, whichever containerd started it (containerd, runtime/v2/shim)."""

_CLEANERS_SECONDS: Final = 10.0
"""How long containerd's helpers may take to clean up after a dead shim; runc gives a process so long to die."""
_CUT_OFF_SECONDS: Final = 15.0
"""How long containerd may take to clear a creation that was cut off: up to 9 s, and a shim may be slow to begin."""
_AGAIN_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Shim:
    """A shim as its command line tells: `containerd-shim-runc-v2 -namespace n -id i -address a`, and perhaps a command."""

    pid: int
    argv: tuple[str, ...]

    @property
    def cleans(self) -> bool:
        """Does it clean up after a dead one?"""
        return self.argv[-1] == "delete"

    def option(self, name: str) -> str:
        """Of its command line; empty when it has none of this name."""
        return next((value for word, value in zip(self.argv, self.argv[1:], strict=False) if word == name), "")

    def stranded(self) -> bool:
        """Is its bundle, its working directory, gone?"""
        with suppress(FileNotFoundError, ProcessLookupError):
            return os.readlink(f"/proc/{self.pid}/cwd").endswith(" (deleted)")  # proc(5)
        return False

    def end(self) -> None:
        """SIGKILL; never to another process that has got its number."""
        with suppress(ProcessLookupError):
            process = os.pidfd_open(self.pid)
            try:
                if tuple(command(self.pid)) == self.argv:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


class Remains:
    """Of the tasks in one namespace of one containerd.

    `runc_root`: where runc keeps its state, with a directory for each namespace. `look` tells of a task as containerd sees
    it, `thaw` writes the freezer's file.
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        runc_root: str,
        look: Callable[[str], Awaitable[Task | None]],
        thaw: Callable[[str], Awaitable[None]],
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._runc_root = Path(runc_root, namespace)
        self._look = look
        self._thaw = thaw

    async def clear(self, id: str) -> None:
        """End what the id has beside a task: its shim, and all that runs in the container. With a task: nothing."""
        if not await short(self._exist, id) or await self._look(id):
            return
        await short(self._end_shim, id)
        if await short((self._runc_root / id).exists):
            await self._thaw(id)  # on cgroup v1 only what runs can die
            await delete(self._runc_root, id)

    async def end_stranded(self) -> None:
        """End the shims whose bundle is gone. Their sockets may be gone too."""
        for shim in await short(self._stranded):
            if await self._look(shim.option("-id")) is None:
                await short(shim.end)

    async def sweep(self) -> None:
        """End stranded shims, now and when containerd has had the time to clear what was cut off."""
        for seconds in (0.0, _CUT_OFF_SECONDS):
            await asyncio.sleep(seconds)
            with suppress(EngineError):  # containerd went away: this begins anew when it is back
                await self.end_stranded()

    def _exist(self, id: str) -> bool:
        return socket_of(self._address, self._namespace, id).exists() or (self._runc_root / id).exists()

    def _end_shim(self, id: str) -> None:
        path = socket_of(self._address, self._namespace, id)
        with suppress(FileNotFoundError, ConnectionRefusedError):  # a socket that nobody listens on any more
            pid = listener(str(path))
            argv = command(pid) if pid else []
            if id in argv:
                Shim(pid, tuple(argv)).end()
        path.unlink(missing_ok=True)

    def _stranded(self) -> list[Shim]:
        ours = (shim for shim in _all(self._address) if shim.option("-namespace") == self._namespace)
        return [shim for shim in ours if not shim.cleans and shim.stranded()]


def socket_of(address: str, namespace: str, id: str) -> Path:
    """Where the shim of a container listens (containerd, runtime/v2/shim, SocketAddress)."""
    return SHIM_SOCKETS / hashlib.sha256(os.path.join(address, namespace, id).encode()).hexdigest()


async def delete(runc_root: Path, id: str) -> None:
    """End what runs in a container, and have runc forget it. Raises `HostFailed`, `Unavailable`."""
    await tell("runc", "--root", str(runc_root), "delete", "--force", id)


def end_all(address: str) -> None:
    """End every shim of this containerd. Only where neither it nor any of their processes is left: nobody needs them.

    Looks again until there is none: what was seen may have started another one meanwhile.
    """
    give_up = time.monotonic() + _CLEANERS_SECONDS
    while shims := _all(address):
        late = time.monotonic() > give_up
        for shim in shims:
            if late or not shim.cleans:
                shim.end()
        if late:
            return
        time.sleep(_AGAIN_SECONDS)


def has_process(bundle: Path) -> bool:
    """Does the init of this bundle's task live? Its number may long be another's: the cgroup tells."""
    try:
        pid = int((bundle / "init.pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        cgroups = Path(f"/proc/{pid}/cgroup").read_text()
    except (OSError, ValueError):
        return False
    return state not in ("Z", "X") and bundle.name in cgroups


def _all(address: str) -> list[Shim]:
    """Every shim of this containerd, and what it has started to make or clean up one. Zombies have no command line."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    found = (Shim(pid, tuple(command(pid))) for pid in pids)
    return [shim for shim in found if shim.argv and "containerd-shim" in shim.argv[0] and address in shim.argv]
