"""The world as a screen needs it: small rows, folded from frames, never fetched piece by piece."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from engine.model.status import Status


class Freezer(Struct, frozen=True, kw_only=True):
    """What the kernel says of a container's cgroup freezer."""

    kernel: str
    """`thawed`, `freezing` or `frozen`."""
    asked: bool
    """What was asked of us."""
    self_frozen: bool = False
    parent_frozen: bool = False
    ms: float = 0.0
    """How long our last freeze or thaw took."""
    since: datetime | None = None
    """While freezing: since when. What is traced, or waits for a disk, may never be frozen."""

    @property
    def word(self) -> str:
        """The one word for the column, and who did it where it was not us."""
        if self.kernel == "frozen":
            if self.parent_frozen and not self.self_frozen:
                return "FROZEN parent frozen"
            return "FROZEN" if self.asked else "FROZEN from outside"
        if self.kernel == "thawed" and self.asked:
            return "thawed from outside"
        return self.kernel


class WireRow(Struct, frozen=True, kw_only=True):
    """One cable of a container, as a pane draws it."""

    network: str
    veth: str
    interface: str
    address: str
    """With its prefix length."""
    address6: str = ""


class JoinRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network that a container is on without a cable: it is plugged in when the container starts."""

    network: str
    """Its name or id, as it was asked for."""
    address: str = ""
    """The one it asked for; empty: any."""
    address6: str = ""


class ContainerRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container on one line, commonly under a kilobyte: what may be long is cut (`inspect` has it whole)."""

    id: str
    name: str
    image: str
    image_id: str
    command: str
    status: Status
    created: datetime
    exit_code: int = 0
    pid: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    health: str = ""
    """Empty: no health check."""
    streak: int = 0
    probes: str = ""
    """The last probes, oldest first: `.` passed, `x` failed."""
    probe_due: datetime | None = None
    """When the next probe begins; None while none is due."""
    policy: str = ""
    """The restart policy, as `on-failure:3`; empty: none."""
    restarts: int = 0
    """How often the policy has started it again since somebody last did."""
    restart_at: datetime | None = None
    """While restarting: when the back-off is over."""
    oom: bool = False
    """The kernel killed a process of it for want of memory since its last start."""
    manual: bool = False
    """Somebody signalled or stopped it since its last start."""
    terminal: bool = False
    stdin: bool = False
    freezer: Freezer | None = None
    """None while there is no cgroup."""
    mount_id: str = ""
    init_id: str = ""
    network: str = ""
    """The network of its mode."""
    address: str = ""
    veth: str = ""
    interface: str = ""
    wires: tuple[WireRow, ...] = ()
    """Every cable that is plugged in, the ones above are of the first."""
    joins: tuple[JoinRow, ...] = ()
    """The networks that it is on without a cable."""
    ports: tuple[str, ...] = ()
    """What is published, as `0.0.0.0:8080->80/tcp`."""
    held: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """What should be in the kernel and is not, deleted behind the engine's back: `union mount`, a veth, `address 10.1.2.3`."""
    verb: str = ""
    """The operation on its way, or empty."""
    step: str = ""
    at: int = 0
    of: int = 0
    lesson: bool = False

    @property
    def mounted(self) -> bool:
        return "MountLayers" in self.held


class LayerRow(Struct, frozen=True, kw_only=True):
    id: str
    size: int
    made_by: str


class ImageRow(Struct, frozen=True, kw_only=True):
    id: str
    tags: tuple[str, ...]
    size: int
    created: datetime | None
    layers: tuple[LayerRow, ...] = ()
    """Bottom first."""
    digests: tuple[str, ...] = ()
    """Familiar names with the digest that a registry knows it by."""
    parent: str = ""
    """Id of the image that it was committed from, or empty."""


class NetworkRow(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    bridge: str = ""
    subnet: str = ""
    gateway: str = ""
    up: bool = False
    """Does the kernel have the bridge?"""
    nat: bool = False
    """Does the kernel have its rules?"""
    driver: str = "bridge"
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    icc: bool = True
    """May its containers talk to each other?"""
    mtu: int = 1500
    verb: str = ""
    """The operation on its way, or empty."""
    lesson: bool = False


class EngineRow(Struct, frozen=True, kw_only=True):
    version: str = ""
    containerd: str = ""
    cgroup: str = ""
    """`v1` or `v2`."""
    cpus: int = 0
    memory: int = 0
    """Bytes of the host."""
    trouble: str = ""
    """A sentence when a part of the host is away (containerd), else empty."""


class Sample(Struct, frozen=True, kw_only=True):
    """Live figures of one container: what changes without a record changing."""

    id: str
    cpu: float = 0.0
    """Per cent of one core since the last sample."""
    memory: int = 0
    memory_limit: int = 0
    rx: float = 0.0
    """Bytes per second into the container."""
    tx: float = 0.0
    wires: dict[str, tuple[float, float]] = {}
    """The same for each cable, by `WireRow.veth`; empty where one carries it all."""
    rw_size: int | None = None
    """Bytes in the writable layer."""
    changes: int | None = None
    """Files in the writable layer."""


class HostSample(Struct, frozen=True, kw_only=True):
    cpu: float = 0.0
    """Per cent of the whole host."""
    memory_used: int = 0


class World(Struct, frozen=True, kw_only=True):
    containers: dict[str, ContainerRow] = {}
    images: dict[str, ImageRow] = {}
    networks: dict[str, NetworkRow] = {}
    engine: EngineRow = EngineRow()
    samples: dict[str, Sample] = {}
    host: HostSample = HostSample()

    def with_container(self, row: ContainerRow) -> World:
        return replace(self, containers=self.containers | {row.id: row})

    def without_container(self, id: str) -> World:
        return replace(
            self,
            containers={k: v for k, v in self.containers.items() if k != id},
            samples={k: v for k, v in self.samples.items() if k != id},
        )
