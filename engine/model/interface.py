"""The engine's interface, the same in process (`core.Engine`) and over the socket (`client.Client`).

One contract test runs on both. Errors are `EngineError`s with the same status and text on both sides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from msgspec import Struct

from engine.model.container import Container, Probe
from engine.model.frames import Frame
from engine.model.image import Image
from engine.model.run import Move, Plan
from engine.model.world import ContainerRow

Params = Mapping[str, Any]
"""A verb's own parameters, by the names of the Docker API:

    create   name, body (the JSON object of `POST /containers/create`)
    stop     signal, t            kill    signal           remove  force, v
    restart  signal, t            rename  name             update  body (the JSON object of `POST /containers/x/update`)
    connect  network, endpoint (Docker's EndpointSettings)  disconnect  network, force
    create_network  body (the JSON object of `POST /networks/create`)   remove_network  (target: the network)
"""

NO_PARAMS: Params = MappingProxyType({})


class LogLine(Struct, frozen=True, kw_only=True):
    stream: str
    """`stdout` or `stderr`."""
    time: datetime
    log: bytes
    """With its newline, unless it is a part of a line longer than 16 KiB."""
    attrs: dict[str, str] = {}
    """What the container's log options keep with every line."""


class Top(Struct, frozen=True, kw_only=True):
    """The processes of a container as `ps` on the host shows them."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


class Done(Struct, frozen=True, kw_only=True):
    id: str
    warnings: tuple[str, ...] = ()


class EngineInterface(Protocol):
    def watch(self) -> AsyncIterator[Frame]:
        """A `Snapshot` first, then every frame. Closing the iterator ends it."""

    async def do(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Done:
        """Run a verb to its end. `target`: a container's name, id or unique prefix; empty for create."""

    async def plan(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        """What would this do? Changes nothing."""

    async def begin(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        """Begin a lesson: the verb stands at the gate before its first step, and the container is locked to others."""

    async def advance(self, target: str, move: Move) -> Plan:
        """Make one move of a lesson and return when it is made (with `RUN`: when the run has ended)."""

    async def steps(self, target: str) -> Plan:
        """The running or the last operation of a container, with what the kernel shows now."""

    async def inspect(self, target: str) -> Container: ...

    async def containers(self) -> list[ContainerRow]: ...

    async def images(self) -> list[Image]: ...

    async def wait(self, target: str, condition: str = "not-running") -> int:
        """Wait for a condition (`not-running`, `next-exit`, `removed`); the exit code."""

    def logs(
        self,
        target: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[LogLine]: ...

    async def top(self, target: str, arguments: str = "-ef") -> Top:
        """The container's processes, as `ps` with these arguments shows them."""

    async def signal(self, target: str, pid: int, signal: str) -> None:
        """Signal one process of a container, by its pid on the host. Raises `NotFound` when it is not one of its."""

    async def probe(self, target: str) -> Probe:
        """Run the health check now. Its result counts like any other. Raises `Conflict` where nothing is looked after."""
