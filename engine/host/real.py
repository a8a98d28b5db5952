"""The real host: every port on this machine's kernel, and the private containerd below them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from engine.host import Facts, Host
from engine.host.cgroups import KernelCgroups
from engine.host.containerd.daemon import Daemon, vet
from engine.host.containerd.tasks import ContainerdTasks
from engine.host.facts import read_facts
from engine.host.files import DiskFiles
from engine.host.firewall import NftFirewall
from engine.host.images import ImageStore
from engine.host.links import KernelLinks
from engine.host.names import NameServers
from engine.host.netns import KernelNetns
from engine.host.overlay import OverlayRootfs
from engine.host.ports import HostPorts
from engine.host.preflight import preflight
from engine.host.ps import HostProcesses
from engine.host.reach import KernelReach
from engine.host.records import DiskRecords
from engine.host.registry import Places, Registries
from engine.host.stdio import KernelStdio
from engine.host.syscalls import MNT_DETACH, umount2
from engine.host.threads import long
from engine.host.tools import doing
from engine.host.trees import DiskTrees
from engine.model.errors import Conflict, HostFailed

NOWHERE = Places()
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RealHost:
    """This machine, held for one engine: its two directories locked, containerd reached, all ports open."""

    def __init__(self, given: Facts, containerd: str = "", places: Places = NOWHERE) -> None:
        """`given`: the engine's own paths and names. `containerd`: socket of one that runs already; else our own.
        `places`: what the configuration says of registries."""
        self.given, self.address, self.places = given, containerd, places
        self.daemon: Daemon | None = None
        self._locks: list[int] = []

    async def hold(self) -> None:
        """Make sure that this host can do it, and take the two directories. Raises what it lacks, with the remedy."""
        for lack in await preflight(own_containerd=not self.address):
            raise lack
        for directory in (self.given.root, self.given.exec_root):
            self._lock(directory)
        with doing(f"use {self.given.exec_root}"):
            await long(_trust_only_this_boot, self.given.exec_root)

    async def open(self) -> Host:
        """Reach containerd, our own or another's, and open the ports. `hold` comes before."""
        facts = await read_facts(self.given)
        cgroups = KernelCgroups(facts)
        self.tasks = ContainerdTasks(
            await self._containerd(facts), facts, freezer=cgroups.freezer, freeze=cgroups.freeze, thaw=cgroups.thaw
        )
        await self.tasks.connect()
        if self.daemon:
            self.daemon.on_trouble(self.tasks.report)
        facts = replace(facts, containerd_version=await self.tasks.version())
        self.stdio = KernelStdio(facts.root, facts.exec_root)
        self.ports, self.names = HostPorts(facts.exec_root), NameServers(facts.exec_root)
        self.registries = Registries(facts.root, self.places)
        firewall = NftFirewall(facts.bridge)
        return Host(
            facts=facts,
            records=DiskRecords(facts),
            files=DiskFiles(facts),
            rootfs=OverlayRootfs(facts),
            trees=DiskTrees(facts),
            images=ImageStore(facts),
            registry=self.registries,
            netns=KernelNetns(facts.exec_root),
            links=KernelLinks(facts.exec_root),
            firewall=firewall,
            ports=self.ports,
            names=self.names,
            reach=KernelReach(firewall.table),
            stdio=self.stdio,
            tasks=self.tasks,
            processes=HostProcesses(),
            cgroups=cgroups,
            clock=WallClock(),
        )

    async def _containerd(self, facts: Facts) -> str:
        """Address of the containerd to use: the one that was given, or our own, started or found again."""
        if self.address:
            return await vet(self.address)
        self.daemon = Daemon(facts)
        await self.daemon.start()
        return self.daemon.address

    async def close(self, *, all: bool = False) -> None:
        """Let go; containers and containerd run on. `all`: no container is left, so containerd and the keeper end too."""
        if hasattr(self, "stdio"):
            await self.stdio.close()
        if hasattr(self, "ports"):
            await self.ports.close()
            self.names.leave()
        if hasattr(self, "registries"):
            await self.registries.close()
        if hasattr(self, "tasks"):
            await self.tasks.close()
        if self.daemon:
            await (self.daemon.stop() if all else self.daemon.release())
        for lock in self._locks:
            os.close(lock)

    def _lock(self, directory: str) -> None:
        """One engine for each directory. The kernel lets go of the lock with the process, however it ends."""
        path = Path(directory, "engine.lock")
        try:
            path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostFailed(
                f"cannot use {directory}: {error.strerror}", "give another one, or make it writable", error.errno or 0
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Conflict(
                f"cannot use {directory}: another engine is running on it", "stop that one, or give other roots"
            ) from None
        self._locks.append(fd)


def _trust_only_this_boot(exec_root: str) -> None:
    """Empty the exec root after a reboot: what it names (namespaces, processes, sockets) ended with the last boot."""
    boot = Path(BOOT_ID).read_text()
    mark = Path(exec_root, "boot-id")
    with suppress(FileNotFoundError):
        if mark.read_text() == boot:
            return
        for entry in Path(exec_root, "netns").glob("*"):
            with suppress(OSError):
                umount2(str(entry), MNT_DETACH)
        for entry in Path(exec_root).iterdir():
            if entry.name != "engine.lock":
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    mark.write_text(boot)
