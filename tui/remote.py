"""What the dashboard asks of an engine: its interface, and the streams that only its socket carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

from engine.model.events import Message
from engine.model.interface import EngineInterface
from engine.model.reach import WhyInterface
from engine.model.registry import Credentials
from engine.model.tree import TreeInterface
from engine.model.wiring import WireInterface
from engine.stream import Stream


class Remote(EngineInterface, TreeInterface, WireInterface, WhyInterface, Protocol):
    """`engine.client.Client`, or a double of it."""

    def events(self, **query: str) -> AsyncIterator[Message]:
        """`GET /events`; `query`: since, until, filters, as in the Docker API."""

    async def network_json(self, name: str) -> dict[str, Any]:
        """`GET /networks/x`."""

    async def networks_prune(self, **query: str) -> list[str]:
        """Remove the networks nobody is on; their names. `query`: filters, as in the Docker API."""

    async def attach(self, target: str, *, stdin: bool = False) -> Stream:
        """Join a container's own streams."""

    async def resize(self, target: str, width: int, height: int) -> None:
        """Set the columns and rows of a container's terminal."""

    async def exec_create(self, target: str, settings: dict[str, Any]) -> str:
        """Prepare one more process in a running container; its id. `settings`: the body of `POST /containers/x/exec`."""

    async def exec_start(self, exec_id: str, *, tty: bool = False, size: tuple[int, int] | None = None) -> Stream | None:
        """Start it; its streams. `size`: columns and rows of its terminal."""

    async def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        """`GET /exec/x/json`: `Running`, `ExitCode`, `Pid` and what it was created with."""

    async def exec_resize(self, exec_id: str, width: int, height: int) -> None:
        """Set the columns and rows of an exec's terminal."""

    def pull(self, reference: str, *, credentials: Credentials | None = None) -> AsyncIterator[dict[str, Any]]:
        """Fetch an image; objects of Docker's progress stream. `credentials`: who asks the registry."""

    def push(self, reference: str, *, credentials: Credentials | None = None) -> AsyncIterator[dict[str, Any]]:
        """Bring an image to a registry; as `pull`."""

    def image_load(self, archive: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        """Bring in an archive of images; what the engine says of it is in `stream`."""

    def image_save(self, names: Iterable[str]) -> AsyncIterator[bytes]:
        """Images as one archive, in pieces."""

    async def image_json(self, name: str) -> dict[str, Any]:
        """`GET /images/x/json`."""

    async def image_tag(self, name: str, reference: str) -> None:
        """One more name for an image."""

    async def image_remove(self, name: str, *, force: bool = False) -> list[dict[str, Any]]:
        """What was done, in order, each `{"Untagged": name}` or `{"Deleted": id}`. Raises `Conflict`."""

    async def image_history(self, name: str) -> list[dict[str, Any]]:
        """`GET /images/x/history`: every instruction, newest first."""

    async def images_prune(self, **filters: list[str]) -> dict[str, Any]:
        """`POST /images/prune`; `filters`: dangling."""
