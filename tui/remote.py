"""What the dashboard asks of an engine: its interface, and the streams that only its socket carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from engine.model.events import Message
from engine.model.interface import EngineInterface
from engine.model.reach import WhyInterface
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
