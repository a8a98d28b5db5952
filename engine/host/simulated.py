"""The host's ports in memory: a test double for the exhaustive crash matrix.

It keeps the same promises as the real ports and passes the same contract test. Nothing a user runs falls back to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta

from engine.host import CgroupStats, Facts, Freeze, Host, Sighting, User
from engine.host.simulated_images import SimulatedImages
from engine.host.simulated_network import SimulatedFirewall, SimulatedLinks, SimulatedNames, SimulatedNetns, SimulatedPorts
from engine.host.simulated_process import SimulatedProcesses, SimulatedStdio, SimulatedTasks
from engine.host.simulated_reach import SimulatedReach
from engine.host.simulated_registry import SimulatedRegistry
from engine.host.simulated_trees import SimulatedTrees
from engine.host.simulated_world import Port as _Port
from engine.host.simulated_world import SimulatedWorld
from engine.model.container import Container
from engine.model.errors import HostFailed


class SimulatedRecords(_Port):
    async def save(self, kind: str, id: str, data: bytes, *, sync: bool = False) -> None:
        self.world.records[kind, id] = data

    async def load(self, kind: str) -> dict[str, bytes]:
        return {id: data for (k, id), data in self.world.records.items() if k == kind}

    async def forget(self, kind: str, id: str) -> None:
        self.world.records.pop((kind, id), None)
        self.world.files.discard(id)
        self.world.network_files.pop(id, None)


class SimulatedFiles(_Port):
    async def make(self, id: str, hostconfig: bytes) -> None:
        self.world.files.add(id)

    async def drop(self, id: str) -> None:
        self.world.files.discard(id)

    async def look(self, id: str) -> str | None:
        return "hostconfig.json" if id in self.world.files else None

    async def make_network(self, c: Container) -> None:
        self.world.network_files[c.id] = " ".join(("hosts", *(e.address for e in c.endpoints)))

    async def drop_network(self, id: str) -> None:
        self.world.network_files.pop(id, None)

    async def look_network(self, id: str) -> str | None:
        return self.world.network_files.get(id)


class SimulatedRootfs(_Port):
    async def make_init(self, init_id: str, lower: tuple[str, ...]) -> None:
        self.world.layers.add(init_id)

    async def make_writable(self, mount_id: str, init_id: str, lower: tuple[str, ...], chain_id: str, id: str) -> None:
        if init_id not in self.world.layers:
            raise HostFailed(f"cannot make a layer on {init_id}: there is none")
        if missing := set(lower) - {layer.cache_id for layer, _ in self.world.image_layers.values()}:
            raise HostFailed(f"cannot make a layer on {missing.pop()}: there is none")
        self.world.layers.add(mount_id)
        self.world.lowers[mount_id] = lower

    async def drop_layer(self, layer: str, id: str = "") -> None:
        if layer in self.world.mounts:
            raise HostFailed(f"cannot remove layer {layer}: it is mounted")
        self.world.layers.discard(layer)
        self.world.lowers.pop(layer, None)

    async def look_layer(self, layer: str) -> str | None:
        return "diff" if layer in self.world.layers else None

    async def mount(self, mount_id: str) -> str:
        if mount_id not in self.world.layers:
            raise HostFailed(f"cannot mount {mount_id}: there is no such layer")
        self.world.mounts.add(mount_id)
        return self.merged(mount_id)

    async def unmount(self, mount_id: str) -> None:
        self.world.mounts.discard(mount_id)

    async def look_mount(self, mount_id: str) -> str | None:
        return "overlay" if mount_id in self.world.mounts else None

    async def make_directory(self, mount_id: str, path: str) -> None:
        if mount_id not in self.world.mounts:
            raise HostFailed(f"cannot make {path}: {mount_id} is not mounted")

    async def user(self, mount_id: str, user: str, groups: tuple[str, ...]) -> User:
        return User()

    def merged(self, mount_id: str) -> str:
        return f"/simulated/overlay2/{mount_id}/merged"

    async def sizes(self, mount_id: str) -> tuple[int, int]:
        return 0, 0

    async def sightings(self) -> set[Sighting]:
        return {("mount", id) for id in self.world.mounts} | {("layer", id) for id in self.world.layers}


class SimulatedCgroups(_Port):
    def __init__(self, world: SimulatedWorld) -> None:
        super().__init__(world)
        self._watched: set[str] = set()
        self._woken = asyncio.Event()

    async def freezer(self, id: str) -> Freeze | None:
        task = self.world.tasks.get(id)
        if task is None or task.status == "stopped":
            return None
        return Freeze(kernel="frozen" if task.frozen else "thawed", self_frozen=task.frozen, parent_frozen=False)

    async def thaw(self, id: str) -> None:
        if id in self.world.tasks:
            self.world.tasks[id].frozen = False

    async def populated(self, id: str) -> bool:
        return id in self.world.tasks and self.world.tasks[id].status != "stopped"

    async def drop(self, id: str) -> None:
        return

    async def drop_parent(self) -> None:
        return

    async def limits(self, id: str) -> str | None:
        task = self.world.tasks.get(id)
        return f"limits {task.limits}" if task else None

    async def usages(self, ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        return {id: (0, 0, 0) for id in ids if id in self.world.tasks}

    async def stats(self, id: str) -> CgroupStats | None:
        return CgroupStats() if id in self.world.tasks else None

    async def sightings(self) -> set[Sighting]:
        return {("cgroup", id) for id in self.world.tasks}

    def watch(self, id: str) -> None:
        self._watched.add(id)
        self._woken.set()

    def unwatch(self, id: str) -> None:
        self._watched.discard(id)

    async def changes(self) -> AsyncIterator[dict[str, Freeze]]:
        while True:
            self._woken.clear()
            yield {id: freeze for id in tuple(self._watched) if (freeze := await self.freezer(id))}
            await self._woken.wait()

    def path(self, id: str) -> str:
        return f"/simulated/freezer/{id}/freezer.state"


class SimulatedClock(_Port):
    """Time that passes only when somebody sleeps."""

    def now(self) -> datetime:
        return self.world.time

    async def sleep(self, seconds: float) -> None:
        self.world.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)


def simulated(world: SimulatedWorld) -> Host:
    """A host on a world. Another one on the same world is the next engine after a crash."""
    return Host(
        facts=Facts(root="/simulated", exec_root="/simulated", capabilities=("CAP_CHOWN", "CAP_KILL")),
        records=SimulatedRecords(world),
        files=SimulatedFiles(world),
        rootfs=SimulatedRootfs(world),
        trees=SimulatedTrees(world),
        images=SimulatedImages(world),
        registry=SimulatedRegistry(),
        netns=SimulatedNetns(world),
        links=SimulatedLinks(world),
        firewall=SimulatedFirewall(world),
        ports=SimulatedPorts(world),
        names=SimulatedNames(world),
        reach=SimulatedReach(world),
        stdio=SimulatedStdio(world),
        tasks=SimulatedTasks(world),
        processes=SimulatedProcesses(world),
        cgroups=SimulatedCgroups(world),
        clock=SimulatedClock(world),
    )
