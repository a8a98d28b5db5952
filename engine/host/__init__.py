"""The only place that touches the outside. One Protocol per port; `real.py` and `simulated.py` build them all.

Every port speaks the same three words about a thing it keeps, named from the container's id:

    make it    idempotent: making what is there is fine
    drop it    idempotent: dropping what is not there is fine
    look       what the kernel shows of it now, in one or more lines for a person, or None when it is not there

Errors are `EngineError`s (`HostFailed`, `CannotRun`, `Unavailable`, `NotFound`), translated inside the port. Nothing here is
cancelled half way: a syscall in a thread cannot be.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from engine.host.distribution import Registry
from engine.host.network import Answer, Firewall, Links, Names, Netns, Ports, Reach
from engine.host.storage import Choose, Forgotten, Images, Progress, Rootfs
from engine.host.things import (
    CgroupStats,
    Exit,
    Facts,
    Freeze,
    LogQuery,
    Output,
    Pipes,
    Sighting,
    Task,
    Traffic,
    User,
)
from engine.model.container import Container
from engine.model.interface import LogLine, Top
from engine.model.tree import Change, Content, Difference, Listing


class Records(Protocol):
    """The data root's records. `kind` is `containers` or `network`."""

    async def save(self, kind: str, id: str, data: bytes, *, sync: bool = False) -> None:
        """Write one record: temporary file, fdatasync, rename; `sync`: the directory too. Raises when it did not last."""

    async def load(self, kind: str) -> dict[str, bytes]:
        """Every record, after sweeping what a crash left half made or half removed."""

    async def forget(self, kind: str, id: str) -> None:
        """Remove the record and its directory: renamed `<id>-removing`, synced, then unlinked."""


class Files(Protocol):
    """A container's own directory, `containers/<id>/`."""

    async def make(self, id: str, hostconfig: bytes) -> None:
        """`checkpoints/` and the readers' copy `hostconfig.json`."""

    async def drop(self, id: str) -> None: ...

    async def look(self, id: str) -> str | None: ...

    async def make_network(self, c: Container) -> None:
        """`hostname`, `hosts` and `resolv.conf`, edited in place: they may be bind-mounted already.

        A `resolv.conf` that is no longer what was written is left as it is, until `drop_network`.
        """

    async def drop_network(self, id: str) -> None: ...

    async def look_network(self, id: str) -> str | None: ...


class Channel(Protocol):
    """One client at a process's standard streams.

    A client that is slow makes the process wait once a megabyte waits for it; nothing is lost, and memory does not grow.
    """

    def read(self) -> AsyncGenerator[tuple[str, bytes], None]:
        """Pieces of `stdout` and `stderr` as they come; ends when the process's output has ended."""

    async def write(self, data: bytes) -> None:
        """To the process's standard input; waits until the pipe takes it. Dropped where there is no standard input."""

    async def close(self) -> None:
        """Let go. The process goes on."""


class ExecStreams(Channel, Protocol):
    """The streams of one exec. They belong to it alone, and nobody keeps what it says."""

    pipes: Pipes

    async def close_stdin(self) -> None:
        """Close our end of its standard input. The shim holds one too: `Tasks.close_stdin` must follow."""

    async def finish(self) -> None:
        """The process has ended and is reaped: what is still in the pipes is read, `read` ends, the FIFOs are removed."""


class Stdio(Protocol):
    """Standard streams: FIFOs, the copier to the log, the keeper that holds the FIFOs for us, and who is attached."""

    async def make(self, id: str, output: Output) -> None:
        """FIFOs made, kept and being copied to the log. After a restart: taken up where the last engine stopped."""

    async def drain(self, id: str) -> None:
        """The process has ended: wait until all that it said is copied, and its shim holds nothing any more."""

    async def drop(self, id: str) -> None:
        """Copy what is left, end every channel, then close and remove the FIFOs."""

    async def look(self, id: str) -> str | None: ...

    def pipes(self, id: str, output: Output) -> Pipes: ...

    def log_path(self, id: str, driver: str = "json-file") -> str:
        """The log's file; empty where there is none."""

    def read(self, id: str, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        """The log, oldest first, rotated files included; with `follow` until the log is closed by `drop`."""

    def attach(self, id: str) -> Channel:
        """A client at the container's own process. Before `make` it waits for the start: nothing of it is missed."""

    async def close_stdin(self, id: str) -> None:
        """Close our end of the standard input. The shim holds one too: `Tasks.close_stdin` must follow."""

    async def open_exec(self, id: str, exec_id: str, *, stdin: bool, terminal: bool) -> ExecStreams:
        """FIFOs of an exec, made and opened. What a dead engine left is taken up."""

    async def execs(self) -> list[tuple[str, str]]:
        """Container and exec ids whose FIFOs a former engine has left."""

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        """Be told when output cannot be copied or kept (a sentence) and when it can again (empty)."""


class Tasks(Protocol):
    """containerd: containers (spec), tasks (shim and runc), exits."""

    async def register(self, id: str, spec: dict[str, Any]) -> None:
        """Hand the OCI spec to containerd. A leftover of the same id is replaced."""

    async def unregister(self, id: str) -> None: ...

    async def look_registered(self, id: str) -> str | None: ...

    async def create(self, id: str, pipes: Pipes) -> int:
        """Shim, bundle, `runc create`; pid of the init, parked. Raises `CannotRun`."""

    async def delete(self, id: str) -> None:
        """Delete the task, killing it first where it still runs."""

    async def start(self, id: str) -> None:
        """Arm the exit wait, then let the process go. Starting what runs is fine. Raises `CannotRun`."""

    async def look(self, id: str) -> Task | None: ...

    async def all(self) -> list[Task]: ...

    async def kill(self, id: str, signal: int) -> None:
        """Send a signal to the init. Raises `NotFound` when there is no process any more."""

    async def wait(self, id: str) -> Exit:
        """The task's exit, however long it takes. Many may wait; every one gets the same."""

    async def pause(self, id: str) -> None:
        """Freeze. Freezing what is frozen is fine, also when it was frozen from outside."""

    async def resume(self, id: str) -> None:
        """Thaw. Thawing what is not frozen, or has ended, is fine."""

    async def exec(self, id: str, exec_id: str, process: dict[str, Any], pipes: Pipes) -> int:
        """Start one more process inside; its pid. Its exit is waited for from before its start. Raises `CannotRun`."""

    async def wait_exec(self, id: str, exec_id: str) -> int:
        """The exit code of an exec, however long it takes. Raises `NotFound` when there is none, or its container went."""

    async def kill_exec(self, id: str, exec_id: str, signal: int) -> None:
        """Raises `NotFound` when it has ended."""

    async def forget_exec(self, id: str, exec_id: str) -> None:
        """End an exec if it still runs, and reap it. Forgetting what is not there is fine."""

    async def close_stdin(self, id: str, exec_id: str = "") -> None:
        """The shim lets go of the standard input of the init or of an exec: its reader sees the end."""

    async def resize(self, id: str, exec_id: str, width: int, height: int) -> None:
        """Columns and rows of a terminal. `exec_id` empty: the init's. Raises `NotFound`."""

    async def update(self, id: str, resources: dict[str, Any]) -> None:
        """Change the limits of a living task: `linux.resources` of the runtime specification."""

    async def pids(self, id: str) -> list[int]:
        """The host's pids of every process of the task."""

    async def signal(self, id: str, pid: int, signal: int) -> None:
        """Signal one process of the task. Raises `NotFound` when that pid is not, or no longer, one of its."""

    def on_exit(self, callback: Callable[[str, Exit], None]) -> None:
        """Be told of every exit of an armed task."""

    def on_oom(self, callback: Callable[[str], None]) -> None:
        """Be told of containers in which the kernel has killed a process for want of memory."""

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        """Be told when containerd goes away (a sentence) and when it is back (empty)."""

    async def adopt(self, id: str) -> None:
        """Arm the exit wait of a task that a former engine started."""


class Processes(Protocol):
    """The host's process table."""

    async def top(self, arguments: str, pids: Iterable[int]) -> Top:
        """What `ps` with these arguments shows of some processes. Raises `Invalid` for arguments it refuses."""


class Cgroups(Protocol):
    """The kernel's cgroup files of a container."""

    async def freezer(self, id: str) -> Freeze | None: ...

    async def thaw(self, id: str) -> None:
        """Thaw by file: what recovery and a failed freeze need when containerd cannot."""

    async def populated(self, id: str) -> bool: ...

    async def drop(self, id: str) -> None:
        """Remove the container's cgroups, once empty."""

    async def drop_parent(self) -> None:
        """Remove the engine's own cgroup above its containers', once empty."""

    async def limits(self, id: str) -> str | None:
        """The limits the kernel holds it to, a line for each, or None when it has no cgroup."""

    async def usages(self, ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        """Of each that has a cgroup: CPU nanoseconds used so far, memory in bytes, memory limit in bytes."""

    async def stats(self, id: str) -> CgroupStats | None:
        """All that its controllers have counted; None when it has no cgroup."""

    async def sightings(self) -> set[Sighting]:
        """Every container with a cgroup, and so with a task: `("cgroup", id)`."""

    def watch(self, id: str) -> None:
        """From now on `changes` tells of this container's freezer, and of nothing it said before."""

    def unwatch(self, id: str) -> None: ...

    def changes(self) -> AsyncIterator[dict[str, Freeze]]:
        """What the freezers of watched containers say, when one may have changed. v2: as the kernel tells; v1: every 250 ms."""

    def path(self, id: str) -> str:
        """Where a person finds the freezer's file."""


class Trees(Protocol):
    """The files in layers, looked at without a mount. `layers`: their directories in `overlay2/`, top first.

    All raise `HostFailed` for a layer that is not there; of a path `NotFound`, and `Invalid` when it cannot be.
    """

    async def listing(self, layers: tuple[str, ...], path: str) -> Listing:
        """One merged directory, with what it hides."""

    async def content(self, layers: tuple[str, ...], path: str) -> Content:
        """The beginning of a regular file."""

    async def changes(self, layers: tuple[str, ...]) -> tuple[Change, ...]:
        """What the top layer changes of those below, as Docker tells it."""

    async def waste(self, layers: tuple[str, ...]) -> tuple[int, ...]:
        """Bytes of each layer that those above it hide."""

    async def compare(self, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[tuple[Difference, ...], bool]:
        """What two trees have apart, and whether there is more than is told."""

    def tar(self, layers: tuple[str, ...]) -> AsyncGenerator[bytes, None]:
        """All that is seen of them, as one tar: without whiteouts, and without what is mounted into a container."""


class Clock(Protocol):
    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Host:
    """All ports of one host."""

    facts: Facts
    records: Records
    files: Files
    rootfs: Rootfs
    trees: Trees
    images: Images
    registry: Registry
    netns: Netns
    links: Links
    firewall: Firewall
    ports: Ports
    names: Names
    reach: Reach
    stdio: Stdio
    tasks: Tasks
    processes: Processes
    cgroups: Cgroups
    clock: Clock


__all__ = [
    "Answer", "CgroupStats", "Cgroups", "Channel", "Choose", "Clock", "ExecStreams", "Exit", "Facts", "Files", "Firewall",
    "Forgotten", "Freeze", "Host", "Images", "Links", "LogQuery", "Names", "Netns", "Output", "Pipes", "Ports", "Processes",
    "Progress", "Reach", "Records", "Registry", "Rootfs", "Sighting", "Stdio", "Task", "Tasks", "Traffic", "Trees", "User",
    "sighted", "within",
]  # fmt: skip


async def sighted(host: Host) -> set[Sighting]:
    """All that the ports can tell of at once: a few reads, however many containers there are."""
    return set[Sighting]().union(
        await host.rootfs.sightings(),
        await host.netns.sightings(),
        await host.links.sightings(),
        await host.cgroups.sightings(),
    )


async def within(seconds: float, wait: Any) -> bool:
    """Wait at most so long; False when the time ran out. The wait itself is cancelled, never a syscall."""
    try:
        async with asyncio.timeout(seconds):  # `wait_for` of Python 3.11 loses a cancellation that comes with the answer
            await wait
    except TimeoutError:
        return False
    return True
