"""Our own containerd: started as a child in a session of its own, found again, supervised, and stopped.

It outlives the engine, so a later engine has to know it again: by its pid and the time it started, both in the pidfile,
and by its command line. A second containerd on the same root would hang without a word on the lock of the first one's
database, so we look at that lock before we start one.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final

from engine.host import Facts, within
from engine.host.containerd.client import Client
from engine.host.containerd.process import Process, command, listener, shares_mounts, started
from engine.host.containerd.shims import SHIM_SOCKETS, delete, end_all, has_process
from engine.host.containerd.tasks import NAMESPACE
from engine.host.threads import long, short
from engine.host.tools import SEARCH_PATH, doing, find, not_installed
from engine.model.errors import Conflict, EngineError, Invalid, Unavailable

_PROGRAMS: Final = ("containerd", "containerd-shim-runc-v2", "runc")
_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_BACKOFF_SECONDS: Final = (0.0, 0.1, 0.5, 2.0, 10.0)
"""Before each try to start it again; the last one repeats."""
_SOCKET_PATH_BYTES: Final = 107  # unix(7): sun_path holds 108 with the final NUL
_SOCKETS: Final = ("containerd.sock", "containerd.sock.ttrpc")

_CONFIG: Final = """\
# Written by Longshore at every start of its private containerd.
version = 2
root = "{root}"
state = "{state}"
required_plugins = [{required}]
disabled_plugins = [{disabled}]

[grpc]
  address = "{address}"
"""
_REQUIRED: Final = ("grpc.v1.containers", "grpc.v1.events", "grpc.v1.tasks")
"""Without these it would answer that it serves, and refuse every call."""
_DISABLED: Final = (
    "grpc.v1.cri",  # Kubernetes
    "internal.v1.opt",  # makes /opt/containerd
    "internal.v1.restart",  # restarting is the engine's
    "internal.v1.tracing",
    "tracing.processor.v1.otlp",
    "monitor.v1.cgroups",  # metrics of every cgroup; we read the files
    # Layers and images are the engine's. One snapshotter must be there, or the database is not opened: `native` does nothing.
    "differ.v1.walking",
    "grpc.v1.diff",
    "grpc.v1.images",
    "grpc.v1.snapshots",
    "service.v1.diff-service",
    "service.v1.images-service",
    "service.v1.snapshots-service",
    "snapshotter.v1.aufs",
    "snapshotter.v1.btrfs",
    "snapshotter.v1.devmapper",
    "snapshotter.v1.overlayfs",
    "snapshotter.v1.zfs",
)


class Daemon:
    """The private containerd of one data root and exec root."""

    def __init__(self, facts: Facts) -> None:
        self._root = Path(facts.root, "containerd")
        self._run = Path(facts.exec_root, "containerd")
        self._runc_root = Path(facts.exec_root, "runtime-runc")
        self.address = str(self._run / _SOCKETS[0])
        self.log = self._root / "containerd.log"
        """What it says about itself; the log of the run before has `.1` at the end."""
        self._state = self._run / "state"
        self._config = self._run / "containerd.toml"
        self._pidfile = self._run / "containerd.pid"
        self._process: Process | None = None
        self._supervising: asyncio.Task[None] | None = None
        self._troubled: list[Callable[[str], None]] = []

    @property
    def pid(self) -> int:
        """Of the containerd now supervised; 0 when there is none."""
        return self._process.pid if self._process else 0

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        """Be told when it ended by itself or cannot be started again (a sentence), and when it serves again (empty)."""
        self._troubled.append(callback)

    async def start(self) -> None:
        """Find our containerd or start it, wait until it serves, and keep it alive from then on.

        Raises `Unavailable` (a program is not installed, it does not start), `Conflict` (another containerd has this
        root, or ours lives in another mount namespace), `Invalid` (the path of its socket is too long).
        """
        if len(os.fsencode(f"{self.address}.ttrpc")) > _SOCKET_PATH_BYTES:
            raise Invalid(
                f"cannot put containerd's socket at {self.address}: the path is too long", "choose a shorter --exec-root"
            )
        await self._bring_up()
        self._supervising = asyncio.create_task(self._supervise(), name="supervise containerd")

    async def release(self) -> None:
        """Let go of it and leave it running, for the next engine to find."""
        if self._supervising:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
            self._supervising = None
        if self._process:
            self._process.close()
            self._process = None

    async def stop(self) -> None:
        """End it, also when an earlier engine started it. Where no task is left, remove what it leaves outside its root."""
        await self.release()
        if process := await self._hold():
            process.send(SIGTERM)
            if not await within(_STOP_SECONDS, process.ended()):
                process.send(SIGKILL)
                await process.ended()
        if await short(self._sweep_files):
            await end_all(self.address)
            for state in self._runc_root.glob("*/*"):
                await delete(state.parent, state.name)  # of a task whose creation or deletion was cut off
            await long(shutil.rmtree, self._state, ignore_errors=True)
            for directory in (self._runc_root, self._run, SHIM_SOCKETS):
                await short(_remove_empty, directory)
            with suppress(OSError):
                SHIM_SOCKETS.parent.rmdir()

    async def _bring_up(self) -> None:
        """A containerd that serves: the one that runs, or a new one."""
        found = await self._hold()
        process = found or Process(await short(self._launch))
        try:
            await self._ready(process)
            self._process = process
        except EngineError:
            if found is None:
                process.send(SIGKILL)
                await process.ended()
            raise
        finally:
            if self._process is not process:
                process.close()

    async def _hold(self) -> Process | None:
        """Our containerd, where one is running."""
        with doing(f"look whether containerd runs on {self._root}"):
            pid = await short(self._find)
        with suppress(ProcessLookupError):
            return Process(pid) if pid is not None else None
        return None

    def _find(self) -> int | None:
        """Pid of our running containerd. Raises `Conflict` when the one that has our root is not ours to use."""
        pid = self._recorded() or self._lock_holder()
        if pid is None:
            return None
        if str(self._config) not in command(pid):
            raise Conflict(
                f"cannot start containerd on {self._root}: another containerd{f' (pid {pid})' if pid else ''} has it",
                "stop that one, or choose another --data-root",
            )
        if not shares_mounts(pid):
            raise _other_mounts(pid)
        return pid

    def _recorded(self) -> int | None:
        """The pid in the pidfile, where that process is still the same one."""
        with suppress(FileNotFoundError, ValueError):
            pid, ticks = map(int, self._pidfile.read_text().split())
            if started(pid) == ticks and str(self._config) in command(pid):
                return pid
        return None

    def _lock_holder(self) -> int | None:
        """Pid of whoever has the database of our root locked; 0 when the lock does not say."""
        try:
            database = os.open(self._root / "io.containerd.metadata.v1.bolt/meta.db", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(database, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # proc(5), /proc/locks: "1: FLOCK ADVISORY WRITE 7007 fe:00:2148386 0 EOF"
            inode = f":{os.fstat(database).st_ino}"
            locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
            return next((int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5].endswith(inode)), 0)
        finally:
            os.close(database)
        return None

    def _launch(self) -> int:
        """Start it; its pid."""
        for program in _PROGRAMS:
            if find(program) is None:
                raise not_installed(program)
        # A service manager waits for the engine's word, not for containerd's; the shim and runc are found by PATH.
        environment = {**os.environ, "PATH": SEARCH_PATH}
        environment.pop("NOTIFY_SOCKET", None)
        with doing(f"start containerd on {self._root}"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._run.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._config.write_text(
                _CONFIG.format(
                    root=self._root,
                    state=self._state,
                    address=self.address,
                    required=_plugins(_REQUIRED),
                    disabled=_plugins(_DISABLED),
                )
            )
            with suppress(FileNotFoundError):
                self.log.rename(f"{self.log}.1")
            with self.log.open("xb") as log:
                child = subprocess.Popen(
                    [str(find("containerd")), "--config", str(self._config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=environment,
                    start_new_session=True,
                )
            child.returncode = 0  # reaped through its pidfd, or by init after we are gone; Popen must not mind
            self._pidfile.write_text(f"{child.pid} {started(child.pid) or 0}\n")
        return child.pid

    async def _ready(self, process: Process) -> None:
        """Wait until it serves. Raises `Unavailable` when it ends before that, or takes too long."""
        client = Client(self.address, NAMESPACE)
        ready = asyncio.create_task(client.ready(_READY_SECONDS))
        ended = asyncio.create_task(process.ended())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise Unavailable(f"containerd does not start: {await short(self._last_words)}", f"look at {self.log}")
            ready.result()
        finally:
            ready.cancel()
            ended.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)
            await client.close()

    async def _supervise(self) -> None:
        clock = asyncio.get_running_loop().time
        tries = 0
        while True:
            since = clock()
            if self._process:
                await self._process.ended()
                self._process = None
                self._report(f"containerd ended by itself and is being started again: {await short(self._last_words)}")
            tries = 0 if clock() - since > _BACKOFF_SECONDS[-1] else tries + 1
            await asyncio.sleep(_BACKOFF_SECONDS[min(tries, len(_BACKOFF_SECONDS) - 1)])
            try:
                await self._bring_up()
            except EngineError as error:
                self._report(f"containerd cannot be started again: {error}")
            else:
                self._report("")

    def _last_words(self) -> str:
        """The end of its log, for a sentence."""
        with suppress(FileNotFoundError):
            lines = self.log.read_text(errors="replace").splitlines()
            if not lines and shutil.disk_usage(self._root).free == 0:
                return f"the disk of {self._root} is full"
            return lines[-1] if lines else "it said nothing"
        return "it has no log"

    def _report(self, trouble: str) -> None:
        for callback in self._troubled:
            callback(trouble)

    def _sweep_files(self) -> bool:
        """Remove the files of a containerd that has ended. False: tasks run on without it, and keep what is theirs."""
        for path in (self._pidfile, self._config, *(self._run / name for name in _SOCKETS)):
            path.unlink(missing_ok=True)
        return not any(has_process(bundle) for bundle in self._state.glob("io.containerd.runtime.v2.task/*/*"))


async def vet(address: str) -> str:
    """The socket path of somebody else's containerd that we can use.

    Raises `Unavailable` when nobody answers there, `Conflict` when it lives in another mount namespace: it would look for
    our mounts and files in a different tree, and fail with errors that name neither.
    """
    path = address.removeprefix("unix://")
    try:
        pid = await short(listener, path)
    except OSError as error:
        why = error.strerror or error
        raise Unavailable(f"cannot reach containerd at {path}: {why}", "start it, or leave --containerd out") from error
    if pid and not await short(shares_mounts, pid):
        raise _other_mounts(pid)
    return path


def _other_mounts(pid: int) -> Conflict:
    return Conflict(
        f"cannot use containerd (pid {pid}): it lives in another mount namespace and would not see our mounts",
        f"start the engine in its namespace: nsenter --target {pid} --mount",
    )


def _plugins(names: Iterable[str]) -> str:
    return ", ".join(f'"io.containerd.{name}"' for name in names)


def _remove_empty(top: Path) -> None:
    """Remove the empty directories at and below `top`, the innermost first."""
    for directory, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):  # not empty: somebody's
            os.rmdir(directory)
