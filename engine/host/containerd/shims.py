"""What a container may have although containerd tells of no task: a shim, and a container that runc knows.

A shim is started by a helper, which makes the socket it listens on, named by its container, and hands it over. When the
engine, or containerd, dies at the wrong moment of a task's creation, the helper goes on alone, and seconds later on a busy
machine there is a shim that nobody has a use for. containerd may have thrown the bundle away while the shim still waits for
a reader of its log in there; or it has found the shim, and has no task for it. It stays for ever, and the next creation of
the task finds its socket, takes it for the shim, and hangs.

When a shim is killed, containerd forgets the task at once and then has it cleaned up, by a program that looks like a shim:
the container's processes still live for a moment, or for good where containerd is killed too. runc's own state tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.host import Task
from engine.host.containerd.process import command
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

    `runc_root`: where runc keeps its state, with a directory for each namespace. `tasks` and `look` tell what containerd
    sees, `thaw` writes the freezer's file.
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        runc_root: str,
        tasks: Callable[[], Awaitable[list[Task]]],
        look: Callable[[str], Awaitable[Task | None]],
        thaw: Callable[[str], Awaitable[None]],
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._runc_root = Path(runc_root, namespace)
        state = Path(address).parent / "state"  # a containerd of ours; others keep it beside the socket
        self._bundles = (state if state.is_dir() else state.parent) / "io.containerd.runtime.v2.task" / namespace
        self._tasks = tasks
        self._look = look
        self._thaw = thaw

    async def clear(self, id: str) -> None:
        """End what the id has beside a task: its shim, and all that runs in the container. With a task: nothing."""
        socket, state = socket_of(self._address, self._namespace, id), self._runc_root / id
        if not await short(lambda: socket.exists() or state.exists()) or await self._look(id):
            return
        await self._thaw(id)  # on cgroup v1 only what runs can die
        await end_all(self._address, lambda shim: self._ours(shim) and shim.option("-id") == id)
        await short(socket.unlink, missing_ok=True)
        if await short(state.exists):
            await delete(self._runc_root, id)

    def spoil(self, id: str, refusal: str) -> bool:
        """Was a creation refused because of an earlier one's bundle: still there, or just now cleared away under this one?"""
        starting = "failed to start shim" in refusal or str(self._bundles / id) in refusal
        return "file exists" in refusal or (starting and "no such file or directory" in refusal)

    async def clear_bundle(self, id: str) -> None:
        """Remove the bundle that containerd has given up on: without the file `runtime` its own cleaning fails, for good."""
        await short(_remove_bundle, self._bundles / id)

    async def end_useless(self) -> None:
        """End every shim without a task. Only while no task is being created."""
        await self._end_without_task(self._ours)

    async def sweep(self) -> None:
        """End every shim whose bundle is gone, now and when containerd has had the time to clear what was cut off."""
        for seconds in (0.0, _CUT_OFF_SECONDS):
            await asyncio.sleep(seconds)
            with suppress(EngineError):  # containerd went away: this begins anew when it is back
                await self._end_without_task(lambda shim: self._ours(shim) and shim.stranded())
                await self._clear_old_bundles()

    async def _end_without_task(self, which: Callable[[Shim], bool]) -> None:
        if shims := [shim for shim in await short(_all, self._address) if which(shim) and not shim.cleans]:
            known = {task.id for task in await self._tasks()}
            for shim in shims:
                if shim.option("-id") not in known:
                    await short(shim.end)

    async def _clear_old_bundles(self) -> None:
        if old := await short(_older, self._bundles, _CUT_OFF_SECONDS):
            known = {task.id for task in await self._tasks()}
            shims = {shim.option("-id") for shim in await short(_all, self._address)}
            for bundle in old:
                if bundle.name not in known | shims:
                    await short(_remove_bundle, bundle)

    def _ours(self, shim: Shim) -> bool:
        return shim.option("-namespace") == self._namespace


def socket_of(address: str, namespace: str, id: str) -> Path:
    """Where the shim of a container listens (containerd, runtime/v2/shim, SocketAddress)."""
    return SHIM_SOCKETS / hashlib.sha256(os.path.join(address, namespace, id).encode()).hexdigest()


async def delete(runc_root: Path, id: str) -> None:
    """End what runs in a container, and have runc forget it. Raises `HostFailed`, `Unavailable`."""
    await tell("runc", "--root", str(runc_root), "delete", "--force", id)


async def end_all(address: str, which: Callable[[Shim], bool] = lambda shim: True) -> None:
    """End shims of this containerd, and wait until they are gone, and what it has begun to clean up after them.

    Looks again until there is none: what was seen may have started another one meanwhile.
    """
    clock = asyncio.get_running_loop().time
    give_up = clock() + _CLEANERS_SECONDS
    while shims := [shim for shim in await short(_all, address) if which(shim)]:
        late = clock() > give_up
        for shim in shims:
            if late or not shim.cleans:
                await short(shim.end)
        if late:
            return
        await asyncio.sleep(_AGAIN_SECONDS)


def _older(bundles: Path, seconds: float) -> list[Path]:
    """Bundles that were begun so long ago."""
    found = []
    for bundle in bundles.iterdir() if bundles.is_dir() else ():
        with suppress(FileNotFoundError):
            if time.time() - bundle.stat().st_ctime > seconds:
                found.append(bundle)
    return found


def _remove_bundle(bundle: Path) -> None:
    with suppress(OSError):  # `work` names the directory that lasts
        shutil.rmtree(os.readlink(bundle / "work"), ignore_errors=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(bundle)


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
