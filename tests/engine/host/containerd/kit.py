"""Real containers on a root directory with a static busybox: no image, no overlay, no network."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from engine.host import Facts
from engine.host.cgroups import KernelCgroups
from engine.host.containerd.tasks import ContainerdTasks

CGROUPS = Path("/sys/fs/cgroup")
V2 = (CGROUPS / "cgroup.controllers").exists()
FILE, FROZEN, THAWED = ("cgroup.freeze", "1", "0") if V2 else ("freezer.state", "FROZEN", "THAWED")


def process(*args: str) -> dict[str, Any]:
    """An OCI process: root, without a capability."""
    return {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}


class Kit:
    """Containers of one test."""

    def __init__(self, address: str, facts: Facts, rootfs: Path) -> None:
        self.address = address
        self.facts = facts
        self.rootfs = rootfs
        self.ids: list[str] = []
        read = KernelCgroups(facts).freezer
        self.tasks = ContainerdTasks(address, facts, freezer=read, freeze=self.freeze, thaw=self.thaw)

    def spec(self, id: str, *args: str) -> dict[str, Any]:
        return {
            "ociVersion": "1.0.2",
            "process": process(*args),
            "root": {"path": str(self.rootfs)},
            "hostname": "box",
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "cgroupsPath": f"{self.facts.cgroup_parent}/{id}",
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
            },
        }

    async def register(self, *args: str) -> str:
        id = uuid.uuid4().hex * 2
        self.ids.append(id)
        await self.tasks.register(id, self.spec(id, *args))
        return id

    async def run(self, *args: str) -> str:
        """A container with a started process; its id."""
        id = await self.register(*args)
        await self.tasks.create(id, "", "")
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

    def freezer(self, id: str) -> Path:
        return (CGROUPS if V2 else CGROUPS / "freezer") / self.facts.cgroup_parent.strip("/") / id / FILE

    async def freeze(self, id: str) -> None:
        self.freezer(id).write_text(FROZEN)

    async def thaw(self, id: str) -> None:
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
