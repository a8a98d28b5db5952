"""The host's ports in memory: a test double for the exhaustive crash matrix.

It keeps the same promises as the real ports and passes the same contract test. Nothing a user runs falls back to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.host import Exit, Facts, Freeze, Host, Task, User
from engine.host.simulated_world import BUSYBOX, SimulatedTask, SimulatedWorld
from engine.model.container import Container, Endpoint
from engine.model.errors import CannotRun, HostFailed, NotFound
from engine.model.image import Image
from engine.model.interface import LogLine
from engine.model.network import Network


@dataclass
class _Port:
    world: SimulatedWorld


class SimulatedRecords(_Port):
    async def save(self, kind: str, id: str, data: bytes, *, sync: bool = False) -> None:
        self.world.records[kind, id] = data

    async def load(self, kind: str) -> dict[str, bytes]:
        return {id: data for (k, id), data in self.world.records.items() if k == kind}

    async def forget(self, kind: str, id: str) -> None:
        self.world.records.pop((kind, id), None)
        self.world.files.discard(id)
        self.world.network_files.discard(id)


class SimulatedFiles(_Port):
    async def make(self, id: str, hostconfig: bytes) -> None:
        self.world.files.add(id)

    async def drop(self, id: str) -> None:
        self.world.files.discard(id)

    async def look(self, id: str) -> str | None:
        return "hostconfig.json" if id in self.world.files else None

    async def make_network(self, c: Container) -> None:
        self.world.network_files.add(c.id)

    async def drop_network(self, id: str) -> None:
        self.world.network_files.discard(id)

    async def look_network(self, id: str) -> str | None:
        return "hosts" if id in self.world.network_files else None


class SimulatedRootfs(_Port):
    async def make_init(self, init_id: str, lower: tuple[str, ...]) -> None:
        self.world.layers.add(init_id)

    async def make_writable(self, mount_id: str, init_id: str, lower: tuple[str, ...], chain_id: str, id: str) -> None:
        if init_id not in self.world.layers:
            raise HostFailed(f"cannot make a layer on {init_id}: there is none")
        self.world.layers.add(mount_id)

    async def drop_layer(self, layer: str, id: str = "") -> None:
        if layer in self.world.mounts:
            raise HostFailed(f"cannot remove layer {layer}: it is mounted")
        self.world.layers.discard(layer)

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


class SimulatedImages(_Port):
    async def load_all(self) -> list[Image]:
        return [BUSYBOX]

    async def find(self, reference: str) -> Image:
        if reference in (*BUSYBOX.tags, "busybox", BUSYBOX.id):
            return BUSYBOX
        raise NotFound(f"No such image: {reference}")

    async def load(self, archive: AsyncIterator[bytes]) -> AsyncIterator[str]:
        async for _ in archive:
            pass
        yield "Loaded image: busybox:latest"

    async def make_busybox(self) -> Image:
        return BUSYBOX


class SimulatedNetns(_Port):
    async def make(self, name: str) -> None:
        self.world.netns.add(name)

    async def drop(self, name: str) -> None:
        # A namespace that goes takes the cable's end with it, and so the cable.
        self.world.netns.discard(name)
        self.world.addresses.pop(name, None)

    async def look(self, name: str) -> str | None:
        return "net:[4026531840]" if name in self.world.netns else None

    def path(self, name: str) -> str:
        return f"/simulated/netns/{name}"


class SimulatedLinks(_Port):
    async def make_bridge(self, network: Network) -> None:
        self.world.bridges.add(network.bridge)

    async def drop_bridge(self, network: Network) -> None:
        self.world.bridges.discard(network.bridge)

    async def look_bridge(self, bridge: str) -> str | None:
        return "up" if bridge in self.world.bridges else None

    async def choose_subnet(self, pools: tuple[tuple[str, int], ...], taken: tuple[str, ...]) -> str:
        return "10.84.0.0/16"

    async def plug(self, endpoint: Endpoint, netns: str, owner: str) -> None:
        if netns not in self.world.netns or endpoint.bridge not in self.world.bridges:
            raise HostFailed(f"cannot plug {endpoint.veth}: namespace or bridge is away")
        if self.world.plugs.get(endpoint.veth, owner) != owner:
            raise HostFailed(f"cannot plug {endpoint.veth}: the name is taken by a stranger")
        self.world.plugs[endpoint.veth] = owner

    async def unplug(self, endpoint: Endpoint, owner: str) -> None:
        self.world.plugs.pop(endpoint.veth, None)

    async def look_plug(self, endpoint: Endpoint, owner: str) -> str | None:
        return f"port of {endpoint.bridge}" if self.world.plugs.get(endpoint.veth) == owner else None

    async def address(self, endpoint: Endpoint, netns: str) -> None:
        if endpoint.veth not in self.world.plugs:
            raise HostFailed("cannot give an address: no such interface")
        if endpoint.address in [a for n, a in self.world.addresses.items() if n != netns]:
            raise HostFailed(f"{endpoint.address} is given twice")
        self.world.addresses[netns] = endpoint.address

    async def unaddress(self, endpoint: Endpoint, netns: str) -> None:
        self.world.addresses.pop(netns, None)

    async def look_address(self, endpoint: Endpoint, netns: str) -> str | None:
        return self.world.addresses.get(netns)

    async def counters(self) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(self.world.plugs, (0, 0))

    async def refresh(self) -> None:
        return


class SimulatedFirewall(_Port):
    async def make(self, network: Network) -> None:
        self.world.tables.add(network.bridge)

    async def drop(self, network: Network) -> None:
        self.world.tables.discard(network.bridge)

    async def look(self, network: Network) -> str | None:
        return "masquerade" if network.bridge in self.world.tables else None

    async def refresh(self) -> None:
        return


class SimulatedStdio(_Port):
    async def make(self, id: str, log_path: str) -> None:
        self.world.pipes.add(id)

    async def drop(self, id: str, log_path: str) -> None:
        self.world.pipes.discard(id)

    async def look(self, id: str) -> str | None:
        return "stdout stderr" if id in self.world.pipes else None

    def paths(self, id: str) -> tuple[str, str]:
        return f"/simulated/{id}/stdout", f"/simulated/{id}/stderr"

    def log_path(self, id: str) -> str:
        return f"/simulated/{id}-json.log"

    async def read(self, id: str, *, follow: bool, tail: int | None) -> AsyncIterator[LogLine]:
        yield LogLine(stream="stdout", time=self.world.time, log=b"hello\n")

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        return  # memory has room for every line


class SimulatedTasks:
    """Processes that run until they are signalled. `world.stubborn` ones die only of SIGKILL."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self._exit_callbacks: list[Callable[[str, Exit], None]] = []

    async def register(self, id: str, spec: dict[str, Any]) -> None:
        self.world.specs[id] = spec

    async def unregister(self, id: str) -> None:
        self.world.specs.pop(id, None)

    async def look_registered(self, id: str) -> str | None:
        return "spec" if id in self.world.specs else None

    async def create(self, id: str, stdout: str, stderr: str) -> int:
        if id not in self.world.specs or id not in self.world.pipes:
            raise HostFailed(f"cannot create the task of {id}: no spec or no pipes")
        if self.world.specs[id]["process"]["args"][0] == "missing":
            raise CannotRun('exec: "missing": executable file not found in $PATH', 127)
        if id not in self.world.tasks:
            self.world.pids += 1
            self.world.tasks[id] = SimulatedTask(self.world.pids)
        return self.world.tasks[id].pid

    async def delete(self, id: str) -> None:
        if id in self.world.tasks:
            self._end(id, 137)
            del self.world.tasks[id]

    async def start(self, id: str) -> None:
        task = self._task(id)
        if task.status == "created":
            task.status = "running"

    async def look(self, id: str) -> Task | None:
        task = self.world.tasks.get(id)
        status = "paused" if task and task.frozen and task.status == "running" else task.status if task else ""
        return Task(id=id, pid=task.pid, status=status, exit=task.exit) if task else None

    async def all(self) -> list[Task]:
        return [task for id in list(self.world.tasks) if (task := await self.look(id))]

    async def kill(self, id: str, signal: int) -> None:
        task = self._task(id)
        if task.status == "stopped":
            raise NotFound(f"cannot signal {id}: the process has ended")
        if task.frozen and signal != 9:
            task.pending = signal
        elif signal == 9 or (signal == 15 and id not in self.world.stubborn):
            self._end(id, 128 + signal)

    async def wait(self, id: str) -> Exit:
        task = self._task(id)
        await task.ended.wait()
        assert task.exit
        return task.exit

    async def pause(self, id: str) -> None:
        self._task(id).frozen = True

    async def resume(self, id: str) -> None:
        task = self.world.tasks.get(id)
        if task is None or task.status == "stopped":
            return
        task.frozen, pending, task.pending = False, task.pending, 0
        if pending:
            await self.kill(id, pending)

    async def probe(self, id: str, exec_id: str, process: dict[str, Any], timeout: float, limit: int) -> tuple[int, bytes]:
        return 0, b"ok\n"

    async def forget_exec(self, id: str, exec_id: str) -> None:
        return

    def on_exit(self, callback: Callable[[str, Exit], None]) -> None:
        self._exit_callbacks.append(callback)

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        return

    async def adopt(self, id: str) -> None:
        task = self._task(id)
        if task.exit:
            for callback in self._exit_callbacks:
                callback(id, task.exit)

    def end(self, id: str, status: int = 0) -> None:
        """The process ends by itself."""
        self._end(id, status)

    def _end(self, id: str, status: int) -> None:
        task = self._task(id)
        if task.status != "stopped":
            started = task.status == "running"
            task.status, task.frozen = "stopped", False
            task.exit = Exit(pid=task.pid, status=status, at=self.world.time)
            task.ended.set()
            for callback in self._exit_callbacks if started else ():
                callback(id, task.exit)

    def _task(self, id: str) -> SimulatedTask:
        if id not in self.world.tasks:
            raise NotFound(f"there is no task {id}")
        return self.world.tasks[id]


class SimulatedCgroups(_Port):
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

    async def usages(self, ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        return {id: (0, 0, 0) for id in ids if id in self.world.tasks}

    def watch(self, id: str) -> None:
        return

    def unwatch(self, id: str) -> None:
        return

    async def changes(self) -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield ""

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
        images=SimulatedImages(world),
        netns=SimulatedNetns(world),
        links=SimulatedLinks(world),
        firewall=SimulatedFirewall(world),
        stdio=SimulatedStdio(world),
        tasks=SimulatedTasks(world),
        cgroups=SimulatedCgroups(world),
        clock=SimulatedClock(world),
    )
