"""Push: an image from the store into a registry, as Docker's manifest version 2, schema 2.

The registry is asked first for what it has. What must be sent is made while it is sent: the layer's tar as it came,
compressed, so its DiffID stays.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, Final

import msgspec

from engine.host import Host
from engine.host.distribution import Credentials, Descriptor, Repository
from engine.host.registry.manifest import DOCKER, DOCKER_CONFIG, DOCKER_LAYER
from engine.host.threads import long
from engine.images.progress import Line, Meter, Tell, first_error, short
from engine.images.pull import Told, refused
from engine.model.errors import NotFound
from engine.model.image import Image, ImageLayer
from engine.spec.references import Reference

AT_ONCE: Final = 3
GZIP: Final = 16 + zlib.MAX_WBITS
"""zlib's word for gzip's format; its header carries no time and no name, so the same layer gives the same bytes."""


class Pushes:
    """All pushes of one engine."""

    def __init__(self, host: Host, told: Told) -> None:
        self._host, self._told = host, told
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def push(self, reference: Reference, credentials: Credentials | None, tell: Tell) -> Image:
        """One tag. Raises `NotFound` when there is no such image here, and what the registry says."""
        try:
            image = await self._host.images.find(reference.familiar)
        except NotFound as error:
            raise NotFound(f"An image does not exist locally with the tag: {reference.name}") from error
        repository = self._host.registry.repository(reference, credentials, push=True)
        with refused("push", reference):
            await repository.has(image.id)  # it answers, and knows us, before anything is told
            tell(Line(status=f"The push refers to repository [{reference.domain}/{reference.path}]"))
            layers = await self._layers(image, repository, reference, tell)
            config = await self._config(image, repository)
            data = manifest(config, layers)
            digest = await repository.put_manifest(reference.tag, data, DOCKER)
        await self._host.images.tag(image.id, f"{reference.name}@{digest}")
        tell(Line(status=f"{reference.tag}: digest: {digest} size: {len(data)}"))
        tell(Line(aux={"Tag": reference.tag, "Digest": digest, "Size": len(data)}))
        await self._told(image, reference)
        return image

    async def push_all(self, reference: Reference, credentials: Credentials | None, tell: Tell) -> list[Image]:
        """Every tag that the store has of a repository."""
        start = f"{reference.name}:"
        tags = [tag for image in await self._host.images.load_all() for tag in image.tags if tag.startswith(start)]
        if not tags:
            raise NotFound(f"An image does not exist locally with the tag: {reference.name}")
        each = [Reference(domain=reference.domain, path=reference.path, tag=tag.removeprefix(start)) for tag in sorted(tags)]
        return [await self.push(one, credentials, tell) for one in each]

    async def _layers(self, image: Image, repository: Repository, reference: Reference, tell: Tell) -> list[Descriptor]:
        for layer in reversed(image.layers):
            tell(Line(status="Preparing", id=short(layer.diff_id)))
        try:
            async with asyncio.TaskGroup() as group:
                work = [group.create_task(self._layer(layer, repository, reference, tell)) for layer in image.layers]
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        return [task.result() for task in work]

    async def _layer(self, layer: ImageLayer, repository: Repository, reference: Reference, tell: Tell) -> Descriptor:
        """The blob of a layer, sent unless the registry has it."""
        name = short(layer.diff_id)
        if self._slots.locked():
            tell(Line(status="Waiting", id=name))
        async with self._slots:
            found, how = await self._there(layer, repository, reference)
            if found is None:
                total = Meter(tell, "Pushing", name, layer.size)
                found, how = await repository.upload(partial(self._packed, layer, total), DOCKER_LAYER), "Pushed"
        tell(Line(status=how, id=name))
        await self._host.registry.learn(layer.diff_id, found.digest, reference)
        return Descriptor(media_type=DOCKER_LAYER, size=found.size, digest=found.digest)

    async def _there(self, layer: ImageLayer, repository: Repository, reference: Reference) -> tuple[Descriptor | None, str]:
        """Does the registry have it, here or in another repository?"""
        for digest, path in await self._host.registry.known(layer.diff_id, reference.domain):
            if found := await repository.has(digest):
                return found, "Layer already exists"
            if path != reference.path and (found := await repository.mount(digest, path)):
                return found, f"Mounted from {path}"
        return None, ""

    async def _packed(self, layer: ImageLayer, report: Meter) -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=GZIP)
        done = 0
        async with aclosing(self._host.images.layer_tar(layer.chain_id)) as chunks:
            async for chunk in chunks:
                done += len(chunk)
                if packed := await long(packer.compress, chunk):
                    yield packed
                report(done)
        yield packer.flush()

    async def _config(self, image: Image, repository: Repository) -> Descriptor:
        data = await self._host.images.config(image.id)
        found = await repository.has(image.id)
        if found is None:
            await repository.upload(partial(_once, data), DOCKER_CONFIG)
        return Descriptor(media_type=DOCKER_CONFIG, size=len(data), digest=image.id)


def manifest(config: Descriptor, layers: list[Descriptor]) -> bytes:
    """Docker's "Image Manifest Version 2, Schema 2"; the same image always gives the same bytes."""
    whole: dict[str, Any] = {"schemaVersion": 2, "mediaType": DOCKER, "config": config, "layers": layers}
    return msgspec.json.encode(whole)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
