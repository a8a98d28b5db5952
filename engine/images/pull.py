"""Pull: an image from a registry into the store. Layers come three at a time and are unpacked in order.

Nothing half made is left: layers are kept by the store only once an image holds them, blobs wait for the next try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Final
from weakref import WeakValueDictionary

from engine.host import Host
from engine.host.distribution import Credentials, Manifest, OtherPlatform, Platform, Repository
from engine.host.imageconfig import ImageConfig, decode_config
from engine.images.progress import Line, Meter, Shared, Tell, first_error, short
from engine.model.errors import EngineError, Forbidden, Invalid, NotFound, Unauthorized
from engine.model.image import Image, chain_ids
from engine.spec.references import Reference

AT_ONCE: Final = 3
"""Layers fetched at the same time, of all pulls together (dockerd's `max-concurrent-downloads`)."""
MAX_LAYERS: Final = 125

Told = Callable[[Image, Reference], Awaitable[None]]
"""Called when an image has come, whoever still waits for it."""


class Pulls:
    """All pulls of one engine. Two of the same image share the work."""

    def __init__(self, host: Host, told: Told) -> None:
        self._host, self._told = host, told
        self._shared: Shared[Image] = Shared()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._chains: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def pull(self, reference: Reference, platform: Platform, credentials: Credentials | None, tell: Tell) -> Image:
        """One image, by tag or digest. Raises `NotFound`, `Unauthorized`, `Unavailable`, `Invalid`, `HostFailed`."""
        key = (reference.familiar, platform, credentials)

        async def work(tell: Tell) -> Image:
            repository = self._host.registry.repository(reference, credentials)
            with refused("pull", reference):
                return await _Pull(self, self._host, repository, reference, platform, tell).run()

        return await self._shared.join(key, work, tell)

    async def pull_all(self, reference: Reference, platform: Platform, credentials: Credentials | None, tell: Tell) -> None:
        """Every tag of a repository."""
        with refused("pull", reference):
            tags = await self._host.registry.repository(reference, credentials).tags()
        if not tags:
            raise NotFound(f"there is no tag in {reference.name}")
        for tag in sorted(tags):
            await self.pull(Reference(domain=reference.domain, path=reference.path, tag=tag), platform, credentials, tell)

    async def came(self, image: Image, reference: Reference) -> None:
        await self._told(image, reference)

    def slots(self) -> asyncio.Semaphore:
        return self._slots

    def chain(self, chain_id: str) -> asyncio.Lock:
        """Held while a layer is unpacked: another pull that wants it too finds it there."""
        return self._chains.setdefault(chain_id, asyncio.Lock())


class _Pull:
    """One pull on its way."""

    def __init__(
        self, pulls: Pulls, host: Host, repository: Repository, reference: Reference, platform: Platform, tell: Tell
    ) -> None:
        self._pulls, self._host, self._repository = pulls, host, repository
        self._reference, self._platform, self._tell = reference, platform, tell

    async def run(self) -> Image:
        reference, images = self._reference, self._host.images
        manifest = await self._repository.manifest(reference.digest or reference.tag, self._platform)
        async with images.keeping():
            before = await self._existing(manifest.config.digest)
            data = await images.config(before.id) if before else await self._repository.config(manifest.config)
            config = decode_config(data)
            _check(config, manifest)
            self._say(f"Pulling from {reference.path}", reference.digest or reference.tag)
            self._warn(config)
            if before is None:
                await self._layers(manifest, config.diff_ids)
            tags = () if reference.digest else (reference.familiar,)
            image = await images.add_image(data, tags, (f"{reference.name}@{manifest.digest}",))
        self._say(f"Digest: {manifest.digest}")
        is_new = before is None or reference.familiar not in (*before.tags, *before.digests)
        self._say(f"Status: {'Downloaded newer image' if is_new else 'Image is up to date'} for {reference.familiar}")
        await self._pulls.came(image, reference)
        return image

    def _say(self, status: str, id: str = "") -> None:
        self._tell(Line(status=status, id=id))

    async def _existing(self, id: str) -> Image | None:
        try:
            return await self._host.images.find(id)
        except NotFound:
            return None

    def _warn(self, config: ImageConfig) -> None:
        if config.architecture and config.architecture != self._platform.architecture:
            actual = Platform(config.os, config.architecture, config.variant)
            self._say(f"WARNING: {self._reference.familiar} is an image for {actual}, not for {self._platform}")

    async def _layers(self, manifest: Manifest, diff_ids: tuple[str, ...]) -> None:
        """Fetch all layers that are missing, and unpack them from the bottom up."""
        chain = chain_ids(diff_ids)
        there = 0
        while there < len(chain) and await self._host.images.has_layer(chain[there]):
            there += 1
        for number, layer in enumerate(manifest.layers):
            self._say("Already exists" if number < there else "Pulling fs layer", short(layer.digest))
        unpacked = [asyncio.Event() for _ in chain]
        for event in unpacked[:there]:
            event.set()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(there, len(chain)):
                    group.create_task(self._layer(manifest, diff_ids, chain, unpacked, number))
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    async def _layer(
        self, manifest: Manifest, diff_ids: tuple[str, ...], chain: tuple[str, ...], unpacked: list[asyncio.Event], number: int
    ) -> None:
        blob, images = manifest.layers[number], self._host.images
        name = short(blob.digest)
        async with AsyncExitStack() as held:
            if self._pulls.slots().locked():
                self._say("Waiting", name)
            async with self._pulls.slots():
                meter = Meter(self._tell, "Downloading", name, blob.size)
                part = await held.enter_async_context(self._repository.blob(blob, meter))
            self._say("Verifying Checksum", name)
            self._say("Download complete", name)
            if number:
                await unpacked[number - 1].wait()
            async with self._pulls.chain(chain[number]):
                if not await images.has_layer(chain[number]):
                    meter = Meter(self._tell, "Extracting", name, blob.size)
                    await images.add_layer(chain[number - 1] if number else "", diff_ids[number], part.read(), meter)
            part.spend()
        unpacked[number].set()
        self._say("Pull complete", name)
        await self._host.registry.learn(diff_ids[number], blob.digest, self._reference)


def _check(config: ImageConfig, manifest: Manifest) -> None:
    if config.os and config.os != "linux":
        raise Invalid(f'image operating system "{config.os}" cannot be used on this platform')
    if len(config.diff_ids) != len(manifest.layers):
        raise Invalid(f"its config lists {len(config.diff_ids)} layers, its manifest {len(manifest.layers)}")
    if len(config.diff_ids) > MAX_LAYERS:
        raise Invalid(f"max depth exceeded: it has more than {MAX_LAYERS} layers")


@contextmanager
def refused(what: str, reference: Reference) -> Iterator[None]:
    """Say what was wanted of the registry beside its own words, as Docker says it."""
    try:
        yield
    except OtherPlatform:
        raise
    except NotFound as error:
        raise NotFound(f"manifest for {reference.familiar} not found: {error.message}", error.hint) from error
    except Unauthorized as error:
        raise Unauthorized(_denied(what, reference, error), error.hint) from error
    except Forbidden as error:
        raise NotFound(_denied(what, reference, error), error.hint) from error
    except Invalid as error:
        raise Invalid(f"cannot {what} {reference.familiar}: {error.message}", error.hint) from error


def _denied(what: str, reference: Reference, error: EngineError) -> str:
    told = f"{what} access denied for {reference.name}, repository does not exist or may require 'docker login': "
    return told + error.message
