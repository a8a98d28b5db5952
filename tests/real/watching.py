"""What somebody at a dashboard sees: the world, folded from the frames of a real engine's socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from engine.client import Client
from engine.model.errors import Unavailable
from engine.model.frames import Changed, fold
from engine.model.world import ContainerRow, NetworkRow, World

PATIENCE = 30.0
"""Seconds for what has to come about, on a slow and busy machine."""

POLITE = {"Image": "busybox", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]}
"""Ends by SIGTERM: process 1 of a container hears only what it has asked for."""


class Screen:
    def __init__(self) -> None:
        self.world = World()
        self.freezers: list[str] = []
        """Every word that stood in a freezer's column."""
        self._moved = asyncio.Event()

    def row(self, name: str) -> ContainerRow | None:
        return next((row for row in self.world.containers.values() if row.name == name), None)

    def freezer(self, name: str) -> str:
        """The freezer's column: empty where there is none."""
        row = self.row(name)
        return row.freezer.word if row and row.freezer else ""

    @property
    def bridge(self) -> NetworkRow:
        return self.world.networks.get("bridge", NetworkRow(id="", name="bridge"))

    async def until(self, true: Callable[[], Any], seconds: float = PATIENCE) -> float:
        """Wait until it is so on screen; how long that took. Fails with what is seen instead."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise AssertionError(f"not seen within {seconds:g} s; on screen is {self.world}") from None
        return time.monotonic() - began

    async def follow(self, client: Client) -> None:
        async for frame in client.watch():
            self.world = fold(self.world, frame)
            if isinstance(frame, Changed) and frame.row.freezer:
                self.freezers.append(frame.row.freezer.word)
            self._moved.set()


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Screen]:
    screen = Screen()
    following = asyncio.create_task(screen.follow(client))
    try:
        await screen.until(lambda: screen.world.engine.version)
        yield screen
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError, Unavailable):  # the engine may have been killed meanwhile
            await following


async def run(client: Client, name: str, body: dict[str, Any] = POLITE) -> str:
    """Create and start; the id."""
    made = await client.do("create", "", {"name": name, "body": body})
    await client.do("start", name)
    return made.id


async def until(true: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait for what tells of itself by no event."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def sh(*command: str) -> None:
    """What root does at a shell; it must succeed."""
    child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await child.communicate()
    assert child.returncode == 0, (command, said)
