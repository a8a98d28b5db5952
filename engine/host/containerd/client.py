"""The channel to containerd: its options, a deadline and the namespace on every call, and gRPC's errors as ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, TypeVar

import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty

from engine.host.containerd.proto.containers_pb2_grpc import ContainersStub
from engine.host.containerd.proto.events_pb2 import Envelope, SubscribeRequest
from engine.host.containerd.proto.events_pb2_grpc import EventsStub
from engine.host.containerd.proto.health_pb2 import HealthCheckRequest, HealthCheckResponse
from engine.host.containerd.proto.health_pb2_grpc import HealthStub
from engine.host.containerd.proto.tasks_pb2_grpc import TasksStub
from engine.host.containerd.proto.version_pb2_grpc import VersionStub
from engine.model.errors import CannotRun, Conflict, EngineError, HostFailed, NotFound, Unavailable

CALL_SECONDS: Final = 10.0
"""Deadline of a plain call. Calls wait for the channel, so a restart of containerd is ridden through."""
WORK_SECONDS: Final = 60.0
"""Deadline of a call in which runc does its work."""

_MESSAGE_BYTES: Final = 16 << 20  # containerd's own limit, both ways
_OPTIONS: Final = (
    # With gRPC's defaults a restarted containerd is seen after 2.2 s, with these after 0.4 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    # Go servers refuse the percent-encoded path of the socket as an authority.
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
)

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Client:
    """One channel to containerd, in one of its namespaces. Needs a running event loop."""

    def __init__(self, address: str, namespace: str) -> None:
        self.address = address
        self.namespace = namespace
        self._metadata = (("containerd-namespace", namespace),)
        self._channel = grpc.aio.insecure_channel(f"unix://{address}", options=_OPTIONS)
        self.containers = ContainersStub(self._channel)
        self.tasks = TasksStub(self._channel)
        self._events = EventsStub(self._channel)
        self._health = HealthStub(self._channel)
        self._version = VersionStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def call(
        self,
        doing: str,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        *,
        seconds: float | None = CALL_SECONDS,
    ) -> Reply:
        """Call, in at most `seconds`; None waits for ever. Raises what `translate` makes of a refusal to do `doing`."""
        try:
            return await method(request, timeout=seconds, metadata=self._metadata, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise translate(error.code(), error.details() or "", doing) from error

    async def ready(self, seconds: float | None = None) -> None:
        """Wait until containerd answers that it serves. Raises `Unavailable` after `seconds`."""
        doing = f"reach containerd at {self.address}"
        reply = await self.call(doing, self._health.Check, HealthCheckRequest(), seconds=seconds)
        if reply.status != HealthCheckResponse.SERVING:
            raise Unavailable(f"cannot {doing}: it says it is not serving", "look at its log")

    async def version(self) -> str:
        return (await self.call("ask containerd for its version", self._version.Version, Empty())).version

    async def subscribe(self, *topics: str) -> AsyncIterator[Envelope]:
        """Events of this namespace, from now until the connection breaks (`Unavailable`)."""
        request = SubscribeRequest(filters=[f'namespace=="{self.namespace}",topic=="{topic}"' for topic in topics])
        with suppress(grpc.aio.AioRpcError):
            async for envelope in self._events.Subscribe(request, metadata=self._metadata, wait_for_ready=True):
                yield envelope
        raise Unavailable(f"containerd at {self.address} went away; containers run on, changes wait until it is back")


def any_of(type_url: str, value: bytes) -> Any:
    """containerd's type names have no `type.googleapis.com/` before them; some are JSON inside."""
    return Any(type_url=type_url, value=value)


def translate(code: grpc.StatusCode, details: str, doing: str) -> EngineError:
    """gRPC's error as ours. What comes from the runtime has the code UNKNOWN and a text."""
    message = f"cannot {doing}: {details or code.name}"
    match code:
        case grpc.StatusCode.NOT_FOUND if "no such file or directory" not in details:  # a file of a bundle is none of ours
            return NotFound(message)
        case grpc.StatusCode.ALREADY_EXISTS:
            return Conflict(message)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return Unavailable(f"cannot {doing}: containerd is away", "try again in a moment")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unavailable(f"cannot {doing}: containerd has not answered in time", "look at its log and the machine's load")
    return HostFailed(message)


_EXIT_CODES: Final = (
    ("permission denied", 126, ""),
    ("is a directory", 126, ": permission denied"),
    ("not a directory", 127, ": a directory cannot be mounted onto a file, nor a file onto a directory"),
    ("executable file not found", 127, ""),
    ("no such file or directory", 127, ""),
    ("system cannot find the file specified", 127, ""),
    ("failed to run runc create/exec call", 127, ""),
)
"""Docker's: the first text found decides the exit code, and what is added for the reader."""


def cannot_run(error: HostFailed) -> CannotRun:
    """What the runtime said about a command it could not run, with the exit code `docker run` reports for it."""
    text = error.message
    for part, exit_code, note in _EXIT_CODES:
        if part in text.lower():
            return CannotRun(text + note, exit_code)
    return CannotRun(text, 128)
