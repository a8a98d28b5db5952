"""The image store in memory: what images, names and layers there are. A layer is the bytes it came as."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from engine.host import Choose, Progress
from engine.host.imageconfig import image_of
from engine.host.saving import Saved, save
from engine.host.simulated_world import Port
from engine.model.errors import Invalid, NotFound
from engine.model.image import Image, ImageLayer, chain_ids
from engine.spec import references


class SimulatedImages(Port):
    async def load_all(self) -> list[Image]:
        return list(self.world.images.values())

    async def find(self, reference: str) -> Image:
        return references.find(reference, self.world.images)

    async def load(self, archive: AsyncIterator[bytes], progress: Progress | None = None) -> AsyncIterator[str]:
        async for _ in archive:
            pass
        yield "Loaded image: busybox:latest"

    async def make_busybox(self) -> Image:
        return await self.find("busybox")

    async def tag(self, id: str, reference: str) -> None:
        self._image(id)
        self._name(id, references.parse(reference).familiar)

    async def forget(self, choose: Choose) -> tuple[str, ...]:
        chosen = choose(self.world.images)
        for name in chosen.names:
            self._name("", name)
        for id in chosen.images:
            del self.world.images[id], self.world.image_configs[id]
        await asyncio.sleep(0)  # a real store writes meanwhile
        return self._free()

    async def config(self, id: str) -> bytes:
        self._image(id)
        return self.world.image_configs[id]

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        self.world.image_keepers += 1
        try:
            yield
        finally:
            self.world.image_keepers -= 1
            self._free()

    async def has_layer(self, chain_id: str) -> bool:
        return chain_id in self.world.image_layers

    async def add_layer(
        self, parent: str, diff_id: str, chunks: AsyncIterator[bytes], report: Callable[[int], None] | None = None
    ) -> ImageLayer:
        data = b"".join([chunk async for chunk in chunks])
        if parent and parent not in self.world.image_layers:
            raise NotFound(f"cannot add a layer: there is no layer {parent}")
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if diff_id and digest != diff_id:
            raise Invalid(f"cannot add the layer {diff_id}: its content is {digest}")
        chain_id = chain_ids((parent, digest))[-1] if parent else digest
        layer = ImageLayer(diff_id=digest, chain_id=chain_id, cache_id=chain_id.removeprefix("sha256:"), size=len(data))
        self.world.image_layers[chain_id] = (layer, data)
        if report:
            report(len(data))
        return layer

    async def add_image(
        self, config: bytes, tags: Iterable[str] = (), digests: Iterable[str] = (), parent: str = "", *, named: bool = False
    ) -> Image:
        id = "sha256:" + hashlib.sha256(config).hexdigest()
        names = [references.parse(name).familiar for name in (*tags, *digests)]
        self.world.images[id] = replace(image_of(id, config, self._layer, parent), tagged=datetime.now(UTC) if named else None)
        self.world.image_configs[id] = config
        for name in names:
            self._name(id, name)
        return self.world.images[id]

    async def layer_tar(self, chain_id: str) -> AsyncGenerator[bytes, None]:
        self._layer(chain_id)
        yield self.world.image_layers[chain_id][1]

    async def save(self, images: Iterable[tuple[Image, tuple[str, ...]]]) -> AsyncGenerator[bytes, None]:
        saved = [Saved(image, self.world.image_configs[image.id], tags) for image, tags in images]
        for piece in save(saved, self._content):
            yield piece

    async def diff_tar(self, mount_id: str) -> AsyncGenerator[bytes, None]:
        if mount_id not in self.world.layers:
            raise NotFound(f"there is no layer {mount_id}")
        yield bytes(1024)

    def _image(self, id: str) -> Image:
        if id not in self.world.images:
            raise NotFound(f"No such image: {id}")
        return self.world.images[id]

    def _layer(self, chain_id: str) -> ImageLayer:
        if chain_id not in self.world.image_layers:
            raise NotFound(f"there is no layer {chain_id}")
        return self.world.image_layers[chain_id][0]

    def _content(self, layer: ImageLayer) -> tuple[int, list[bytes]]:
        data = self.world.image_layers[layer.chain_id][1]
        return len(data), [data]

    def _name(self, id: str, name: str) -> None:
        """The name goes from whoever has it to the image; to none, when `id` is empty."""
        for each, image in self.world.images.items():
            own = {*image.tags, *image.digests} - {name} | ({name} if each == id else set())
            names = sorted(own, key=references.in_full)
            tags, digests = (tuple(n for n in names if ("@" in n) is digest) for digest in (False, True))
            self.world.images[each] = replace(image, tags=tags, digests=digests)

    def _free(self) -> tuple[str, ...]:
        if self.world.image_keepers:
            return ()
        used = {layer.chain_id for image in self.world.images.values() for layer in image.layers}
        under = {cache_id for lower in self.world.lowers.values() for cache_id in lower}
        freed = tuple(
            id for id, (layer, _) in self.world.image_layers.items() if id not in used and layer.cache_id not in under
        )
        for chain_id in freed:
            del self.world.image_layers[chain_id]
        return freed
