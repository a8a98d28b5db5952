"""The port `Trees` in memory: nobody writes files in the simulated world, so every layer is empty."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from engine.host.simulated_world import Port
from engine.model.errors import NotFound
from engine.model.tree import Change, Content, Difference, Listing


class SimulatedTrees(Port):
    async def listing(self, layers: tuple[str, ...], path: str) -> Listing:
        if path.strip("/"):
            raise NotFound(f"there is no {path}")
        return Listing(path="/", layers=tuple(range(len(layers))), entries=())

    async def content(self, layers: tuple[str, ...], path: str) -> Content:
        raise NotFound(f"there is no {path}")

    async def changes(self, layers: tuple[str, ...]) -> tuple[Change, ...]:
        return ()

    async def waste(self, layers: tuple[str, ...]) -> tuple[int, ...]:
        return (0,) * len(layers)

    async def compare(self, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[tuple[Difference, ...], bool]:
        return (), False

    async def tar(self, layers: tuple[str, ...]) -> AsyncGenerator[bytes, None]:
        yield bytes(1024)
