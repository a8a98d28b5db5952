"""The record of one container: everything the engine knows, in one immutable value.

On disk it is Docker's `config.v2.json`; what Docker has no key for is under `Longshore` (see `to_disk`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.model.errors import EngineError, HostFailed
from engine.model.network import Attachment, Binding, Endpoint, Published
from engine.model.run import Record, Way
from engine.model.settings import Config, HostConfig
from engine.model.status import Status

NEVER = datetime.min.replace(tzinfo=UTC)
"""Docker's zero time, `0001-01-01T00:00:00Z`."""

OWN_KEY = "Longshore"


class Probe(Struct, frozen=True, kw_only=True, rename="pascal"):
    """One health probe's result. Exit code -1: it could not run or ran too long."""

    start: datetime
    end: datetime
    exit_code: int
    output: str = ""


class Health(Struct, frozen=True, kw_only=True, rename="pascal"):
    status: str = "starting"
    """`starting`, `healthy` or `unhealthy`."""
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()
    """The last five, oldest first."""


class State(Struct, frozen=True, kw_only=True, rename="pascal"):
    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = field(default=False, name="OOMKilled")
    started_at: datetime = NEVER
    finished_at: datetime = NEVER
    health: Health | None = None


class Layers(Struct, frozen=True, kw_only=True):
    """The directories of `overlay2/` that make the container's file system."""

    mount_id: str
    """The writable layer."""
    init_id: str
    """The init layer below it."""
    lower: tuple[str, ...] = ()
    """Cache ids of the image's layers, top-most first."""
    chain_id: str = ""
    """Chain id of the image's top layer, `sha256:...`; empty without an image."""


class Container(Record, frozen=True, kw_only=True, rename="pascal"):
    created: datetime
    path: str
    args: tuple[str, ...]
    config: Config
    image: str = ""
    """The image's id, `sha256:...`."""
    state: State = State()
    restart_count: int = 0
    has_been_started_before: bool = False
    has_been_manually_stopped: bool = False
    # From here on: kept under `Longshore`.
    host_config: HostConfig = HostConfig()
    layers: Layers | None = None
    networks: dict[str, Attachment] = field(default_factory=dict)
    """What was asked of each network, by the network's name or id as it was given."""
    endpoints: tuple[Endpoint, ...] = ()
    """Its cables, as start decided on them; none in modes `none`, `host` and `container:`, and while stopped."""
    bindings: tuple[Binding, ...] = ()
    """The ports to publish, as start decided on them."""
    ports: tuple[Published, ...] = ()
    """What of the host is its own while it runs."""
    signalled: tuple[int, ...] = ()
    """Signals sent since the last start."""
    backoff: float = 0.0
    """Seconds that the last restart by its policy waited; 0: none since somebody started it, or since it ran steadily."""
    restart_at: datetime | None = None
    """While restarting: when the back-off is over."""
    warnings: tuple[str, ...] = ()
    """What create, or the last update, dropped from the settings, and why."""

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def sandbox(self) -> str:
        """Name of the network namespace's file below `netns/`; of another's, in mode `container:`."""
        shared = self.host_config.network_mode.partition("container:")[2]
        return (shared or self.id)[:12]

    def endpoint(self, key: str) -> Endpoint:
        """One of its endpoints, by `Endpoint.key`."""
        for endpoint in self.endpoints:
            if endpoint.key == key:
                return endpoint
        raise HostFailed(f"{self.name} has no endpoint in network {key}")

    @property
    def plugged(self) -> tuple[Endpoint, ...]:
        """The endpoints whose cable is plugged in."""
        return tuple(e for e in self.endpoints if f"PlugVeth/{e.key}" in self.held)

    @property
    def status(self) -> Status:
        """Dead while its last operation could go neither forward nor back; else what the last step left."""
        return Status.DEAD if self.run and self.run.way is Way.BROKEN else self.state.status


OWN = (
    "HostConfig",
    "Layers",
    "Networks",
    "Endpoints",
    "Bindings",
    "Ports",
    "Held",
    "Run",
    "Signalled",
    "Backoff",
    "RestartAt",
    "Warnings",
)


def to_disk(c: Container) -> bytes:
    """The record as `config.v2.json`: Docker's keys, and ours under one key of our own."""
    record: dict[str, Any] = msgspec.to_builtins(c, builtin_types=(datetime,))
    own = {key: record.pop(key) for key in OWN}
    record["Name"] = "/" + c.name
    record["Driver"] = "overlay2"
    record["OS"] = "linux"
    record["State"] |= c.status.flags()
    record[OWN_KEY] = own
    return msgspec.json.format(msgspec.json.encode(record), indent=1)


def from_disk(data: bytes) -> Container:
    """Read a record back. Errors: `EngineError` when the file is not one of ours."""
    try:
        record = msgspec.json.decode(data)
        record |= record.pop(OWN_KEY)
        record["Name"] = record["Name"].removeprefix("/")
        return msgspec.convert(record, Container)
    except (msgspec.MsgspecError, KeyError, AttributeError, TypeError) as error:
        raise EngineError(f"cannot read the container's record: {error}") from error


NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
"""A container's name, without the slash (Docker's rule: at least two characters)."""
