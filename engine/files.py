"""The files of containers and images: what they stand on, what is in it, what has changed. Nothing is mounted for it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from itertools import zip_longest

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.core import Engine
from engine.model.container import Container, Layers
from engine.model.errors import Conflict, NotFound
from engine.model.image import Image
from engine.model.tree import Change, Comparison, Content, Layer, Listing, Stack


class Files:
    """Implements `TreeInterface` on an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.host = engine, engine.host

    async def stack(self, target: str) -> Stack:
        found = await self._find(target)
        stack = await self._image_stack(found) if isinstance(found, Image) else await self._container_stack(found)
        wasted = await self.host.trees.waste(tuple(layer.id for layer in stack.layers))
        layers = tuple(replace(layer, wasted=waste) for layer, waste in zip(stack.layers, wasted, strict=True))
        return replace(stack, layers=layers)

    async def listing(self, target: str, path: str = "/") -> Listing:
        return await self.host.trees.listing(await self._ids(target), path)

    async def content(self, target: str, path: str) -> Content:
        return await self.host.trees.content(await self._ids(target), path)

    async def changes(self, target: str) -> tuple[Change, ...]:
        return await self.host.trees.changes(await self._ids(target))

    async def compare(self, first: str, second: str) -> Comparison:
        differences, more = await self.host.trees.compare(await self._ids(first), await self._ids(second))
        return Comparison(first=first, second=second, differences=differences, more=more)

    async def _find(self, target: str) -> Container | Image:
        try:
            return self.engine.resolve(target)
        except NotFound as error:
            try:
                return await self.host.images.find(target)
            except NotFound:
                raise NotFound(
                    f"there is no container and no image {target}", "docker ps -a and docker images list them"
                ) from error

    async def _ids(self, target: str) -> tuple[str, ...]:
        """The directories that a container or an image stands on, top first."""
        found = await self._find(target)
        if isinstance(found, Image):
            return tuple(layer.cache_id for layer in reversed(found.layers))
        layers = _layers(found)
        return layers.mount_id, layers.init_id, *layers.lower

    async def _image_stack(self, image: Image) -> Stack:
        return Stack(name=next(iter(image.tags), image.id), layers=await self._of_image(image), image=image.id)

    async def _container_stack(self, c: Container) -> Stack:
        layers, image = _layers(c), await self._image(c)
        below = {layer.id: layer for layer in await self._of_image(image)} if image else {}
        size, _ = await self.host.rootfs.sizes(layers.mount_id)
        shown = await self.host.rootfs.look_mount(layers.mount_id)
        return Stack(
            name=c.name,
            layers=(
                Layer(kind="rw", id=layers.mount_id, created=c.created, size=size),
                Layer(kind="init", id=layers.init_id, created=c.created),
                *(below.get(id) or Layer(kind="ro", id=id) for id in layers.lower),
            ),
            mount=tuple(shown.splitlines()) if shown else (),
            image=image.id if image else "",
        )

    async def _of_image(self, image: Image) -> tuple[Layer, ...]:
        """Its layers, top first."""
        ages = _ages(await self.host.images.config(image.id))
        layers = [
            Layer(kind="ro", id=layer.cache_id, diff_id=layer.diff_id, made_by=layer.created_by, size=layer.size, created=age)
            for layer, age in zip_longest(image.layers, ages[: len(image.layers)])
        ]
        return tuple(reversed(layers))

    async def _image(self, c: Container) -> Image | None:
        try:
            return await self.host.images.find(c.image) if c.image else None
        except NotFound:  # removed by force; its layers stay with the container
            return None


def _layers(c: Container) -> Layers:
    if c.layers is None:
        raise Conflict(f"cannot look at the files of {c.name}: it has no layers", "it is being made; ask again")
    return c.layers


def _ages(config: bytes) -> list[datetime | None]:
    """When each layer was made, bottom first, as far as the image's history tells."""
    try:
        history = msgspec.json.decode(config, type=_Config).history or ()
    except msgspec.MsgspecError:
        return []
    return [_moment(entry.created) for entry in history if not entry.empty_layer]


def _moment(text: str | None) -> datetime | None:
    with suppress(msgspec.ValidationError):
        found = msgspec.convert(text, datetime)
        return found if found.tzinfo else None
    return None


class _Entry(Struct):
    created: str | None = None
    empty_layer: bool = False


class _Config(Struct):
    history: tuple[_Entry, ...] | None = None
