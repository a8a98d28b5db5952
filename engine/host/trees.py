"""The port `Trees`: the files in the layers of this disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from engine.host import Facts, tree, treediff
from engine.host.layers import LayerStore
from engine.host.mergedtar import merged_tar
from engine.host.threads import long
from engine.host.tools import doing
from engine.host.unpack import streamed
from engine.model.tree import Change, Content, Difference, Listing


class DiskTrees:
    def __init__(self, facts: Facts) -> None:
        self._store = LayerStore(facts.root)

    async def listing(self, layers: tuple[str, ...], path: str) -> Listing:
        with doing(f"list {path} in the layers"):
            return await long(tree.listing, self._paths(layers), path)

    async def content(self, layers: tuple[str, ...], path: str) -> Content:
        with doing(f"read {path} in the layers"):
            return await long(tree.content, self._paths(layers), path)

    async def changes(self, layers: tuple[str, ...]) -> tuple[Change, ...]:
        with doing(f"look for changes in the layer {layers[0][:12]}"):
            return await long(treediff.changes, self._paths(layers))

    async def waste(self, layers: tuple[str, ...]) -> tuple[int, ...]:
        with doing("look for what layers hide"):
            return await long(treediff.waste, self._paths(layers))

    async def compare(self, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[tuple[Difference, ...], bool]:
        with doing("compare the layers"):
            return await long(treediff.compare, self._paths(first), self._paths(second))

    async def tar(self, layers: tuple[str, ...]) -> AsyncGenerator[bytes, None]:
        with doing(f"pack what is seen of the layer {layers[0][:12]}"):
            async with aclosing(streamed(merged_tar(self._paths(layers)))) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _paths(self, layers: tuple[str, ...]) -> list[str]:
        return [self._store.diff(layer) for layer in layers]
