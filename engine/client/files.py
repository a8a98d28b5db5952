"""Layers and files: the stack of a container or an image, and what lies in it."""

from __future__ import annotations

from engine.client.connection import Connection
from engine.model.tree import Change, Comparison, Content, Listing, Stack


class Files(Connection):
    async def stack(self, target: str) -> Stack:
        return await self._get("/longshore/tree/stack", Stack, target=target)

    async def listing(self, target: str, path: str = "/") -> Listing:
        return await self._get("/longshore/tree/listing", Listing, target=target, path=path)

    async def content(self, target: str, path: str) -> Content:
        return await self._get("/longshore/tree/content", Content, target=target, path=path)

    async def changes(self, target: str) -> tuple[Change, ...]:
        return await self._get("/longshore/tree/changes", tuple[Change, ...], target=target)

    async def compare(self, first: str, second: str) -> Comparison:
        return await self._get("/longshore/tree/compare", Comparison, first=first, second=second)
