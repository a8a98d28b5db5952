"""What the simulated host's kernel and disk hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from engine.host import Exit
from engine.host.sight import Listener
from engine.model.image import Image, ImageLayer
from engine.model.network import Published
from engine.model.settings import Config

BUSYBOX = Image(
    id="sha256:" + "b" * 64,
    tags=("busybox:latest",),
    created=datetime(2026, 1, 1, tzinfo=UTC),
    architecture="amd64",
    config=Config(cmd=("sh",), env=("PATH=/bin",)),
    layers=(ImageLayer(diff_id="sha256:" + "d" * 64, chain_id="sha256:" + "d" * 64, cache_id="c" * 64, size=1000),),
)

BUSYBOX_CONFIG = b'{"os": "linux", "rootfs": {"type": "layers", "diff_ids": ["%s"]}}' % BUSYBOX.layers[0].diff_id.encode()


@dataclass
class SimulatedTask:
    pid: int
    status: str = "created"
    frozen: bool = False
    pending: int = 0
    """A signal that waits for the thaw."""
    exit: Exit | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    limits: dict[str, Any] = field(default_factory=dict)


@dataclass
class SimulatedExec:
    """A process that says back what it is told, and ends with its standard input."""

    pid: int
    exit: asyncio.Future[int] = field(default_factory=asyncio.Future)


@dataclass
class SimulatedWorld:
    """What a kernel and a disk would hold. Outlives the engine that is killed on it."""

    records: dict[tuple[str, str], bytes] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)
    lowers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The image's layers that a container's writable layer stands on."""
    mounts: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    network_files: dict[str, str] = field(default_factory=dict)
    netns: set[str] = field(default_factory=set)
    bridges: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    plugs: dict[str, str] = field(default_factory=dict)
    addresses: dict[tuple[str, str], str] = field(default_factory=dict)
    """By namespace and interface."""
    routes: dict[str, str] = field(default_factory=dict)
    ports: dict[str, tuple[Published, ...]] = field(default_factory=dict)
    forwards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    """Namespaces with a name service."""
    listeners: dict[str, tuple[Listener, ...]] = field(default_factory=dict)
    """By namespace; the host's: empty."""
    pipes: set[str] = field(default_factory=set)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, SimulatedTask] = field(default_factory=dict)
    execs: dict[tuple[str, str], SimulatedExec] = field(default_factory=dict)
    channels: dict[str, list[Any]] = field(default_factory=dict)
    """Who is attached, by container."""
    exec_streams: dict[tuple[str, str], Any] = field(default_factory=dict)
    stubborn: set[str] = field(default_factory=set)
    """Ids of containers that ignore every signal but SIGKILL."""
    images: dict[str, Image] = field(default_factory=lambda: {BUSYBOX.id: BUSYBOX})
    image_configs: dict[str, bytes] = field(default_factory=lambda: {BUSYBOX.id: BUSYBOX_CONFIG})
    image_layers: dict[str, tuple[ImageLayer, bytes]] = field(
        default_factory=lambda: {layer.chain_id: (layer, b"") for layer in BUSYBOX.layers}
    )
    image_keepers: int = 0
    pids: int = 100
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def owned(self) -> dict[str, Any]:
        """Everything that belongs to some container: what must be gone when none is left."""
        return {
            "records": {key for key in self.records if key[0] == "containers"},
            "layers": set(self.layers),
            "mounts": set(self.mounts),
            "files": set(self.files),
            "network files": dict(self.network_files),
            "netns": set(self.netns),
            "plugs": dict(self.plugs),
            "addresses": dict(self.addresses),
            "routes": dict(self.routes),
            "ports": dict(self.ports),
            "forwards": dict(self.forwards),
            "names": set(self.names),
            "pipes": set(self.pipes),
            "specs": set(self.specs),
            "execs": set(self.execs),
            "tasks": {id: (t.status, t.frozen) for id, t in self.tasks.items()},
        }


@dataclass
class Port:
    world: SimulatedWorld
