"""Real containers on a root directory with a static busybox: no image, no overlay, no network."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.host import Facts, Pipes
from engine.host.cgroups import KernelCgroups
from engine.host.containerd.tasks import ContainerdTasks

CGROUPS = Path("/sys/fs/cgroup")
V2 = (CGROUPS / "cgroup.controllers").exists()
FILE, FROZEN, THAWED = ("cgroup.freeze", "1", "0") if V2 else ("freezer.state", "FROZEN", "THAWED")


def process(*args: str) -> dict[str, Any]:
    """An OCI process: root, without a capability."""
    return {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}


class Streams:
    """The FIFOs of one process, at a client's end."""

    def __init__(self, directory: Path, *, stdin: bool = False, terminal: bool = False) -> None:
        directory.mkdir()
        outputs = ("stdout",) if terminal else ("stdout", "stderr")
        names = (*(("stdin",) if stdin else ()), *outputs)
        for name in names:
            os.mkfifo(directory / name)
        self.pipes = Pipes(**{name: str(directory / name) for name in names}, terminal=terminal)
        self._outputs = [os.open(directory / name, os.O_RDONLY | os.O_NONBLOCK) for name in outputs]
        self.stdin = os.open(directory / "stdin", os.O_RDWR | os.O_NONBLOCK) if stdin else -1
        self.directory = directory

    def said(self) -> list[bytes]:
        """What waits in each output, at most a pipe full."""
        return [_read(fd) for fd in self._outputs]

    async def hear(self) -> bytes:
        """The next piece of the first output."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._outputs[0], heard.set)
        await heard.wait()
        loop.remove_reader(self._outputs[0])
        return _read(self._outputs[0])

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
        self.stdin = -1

    def close(self) -> None:
        self.close_stdin()
        for fd in self._outputs:
            os.close(fd)
        shutil.rmtree(self.directory)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


class Kit:
    """Containers of one test."""

    def __init__(self, address: str, facts: Facts, rootfs: Path) -> None:
        self.address = address
        self.facts = facts
        self.rootfs = rootfs
        self.ids: list[str] = []
        read = KernelCgroups(facts).freezer
        self.tasks = ContainerdTasks(address, facts, freezer=read, freeze=self.freeze, thaw=self.thaw)

    def spec(self, id: str, *args: str, terminal: bool = False, memory: int = 0) -> dict[str, Any]:
        return {
            "ociVersion": "1.0.2",
            "process": process(*args) | {"terminal": terminal},
            "root": {"path": str(self.rootfs)},
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
            ],
            "linux": {
                "cgroupsPath": f"{self.facts.cgroup_parent}/{id}",
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
                **({"resources": {"memory": {"limit": memory, "swap": memory}}} if memory else {}),
            },
        }

    async def register(self, *args: str, terminal: bool = False, memory: int = 0) -> str:
        id = uuid.uuid4().hex * 2
        self.ids.append(id)
        await self.tasks.register(id, self.spec(id, *args, terminal=terminal, memory=memory))
        return id

    async def run(self, *args: str, pipes: Pipes | None = None) -> str:
        """A container with a started process; its id."""
        id = await self.register(*args, terminal=bool(pipes and pipes.terminal))
        await self.tasks.create(id, pipes or Pipes())
        await self.tasks.start(id)
        return id

    async def sleeper(self) -> str:
        """A container whose process stays."""
        return await self.run("busybox", "sleep", "1000")

    async def pid(self, id: str) -> int:
        task = await self.tasks.look(id)
        assert task
        return task.pid

    async def status(self, id: str) -> str:
        task = await self.tasks.look(id)
        return task.status if task else "none"

    def children(self, id: str) -> list[int]:
        """The container's processes, its init left out."""
        return [int(pid) for pid in self.freezer(id).with_name("cgroup.procs").read_text().split()][1:]

    def freezer(self, id: str) -> Path:
        return (CGROUPS if V2 else CGROUPS / "freezer") / self.facts.cgroup_parent.strip("/") / id / FILE

    async def freeze(self, id: str) -> None:
        self.freezer(id).write_text(FROZEN)

    async def thaw(self, id: str) -> None:
        with suppress(FileNotFoundError):
            self.freezer(id).write_text(THAWED)

    def frozen(self, id: str) -> bool:
        return self.freezer(id).read_text().strip() == FROZEN

    async def clean(self) -> None:
        for id in self.ids:
            await self.tasks.unregister(id)


def shim_of(pid: int) -> int:
    """The parent of a container's init."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def remove_cgroups(parent: str) -> None:
    """Remove an empty cgroup parent from every hierarchy."""
    for hierarchy in (CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())):
        path = hierarchy / parent.strip("/")
        if path.exists():
            os.rmdir(path)
