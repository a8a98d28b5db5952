"""The image store: what is there, and taking in `docker save` archives."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import IO, Final

from msgspec.structs import replace

from engine.host import Choose, Facts, Progress, busybox, tarsplit
from engine.host.archive import Archive, Packed, Region
from engine.host.difftar import diff_tar
from engine.host.disk import make_directories
from engine.host.distribution import Platform
from engine.host.imageconfig import decode_config
from engine.host.imagedb import ImageDB
from engine.host.inflate import Inflater
from engine.host.saving import Saved, save
from engine.host.threads import long
from engine.host.tools import doing
from engine.host.unpack import CHUNK, Unpacked, in_thread, no_room, room, streamed, to_the_end, together, unpack
from engine.model.errors import EngineError, Invalid, NotFound
from engine.model.image import Image, ImageLayer, chain_ids
from engine.spec import references

AT_ONCE: Final = 3
"""Layers of an image that are unpacked at the same time."""
MAX_LAYERS: Final = 125
"""Docker's bound on the layers of an image."""


class ImageStore:
    """The port `Images`. Memory holds what the files hold; changes go to the files first, one at a time."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._db = ImageDB(facts.root)
        self._scratch = os.path.join(facts.root, "tmp")
        self._lock = asyncio.Lock()
        self._images: dict[str, Image] | None = None
        self._tags: dict[str, str] = {}
        self._keepers = 0
        self.unreadable: dict[str, str] = {}
        """Images left out at the start, by id, each with the reason. Nothing of them is touched."""

    async def load_all(self) -> list[Image]:
        return list((await self._ready()).values())

    async def find(self, reference: str) -> Image:
        return references.find(reference, await self._ready())

    async def load(self, archive: AsyncIterator[bytes], progress: Progress | None = None) -> AsyncIterator[str]:
        await self._ready()
        with doing("load the archive"):
            await long(make_directories, self._scratch, 0o700)
            # A file without a name: a crash leaves nothing of it. To close it frees gigabytes, and takes its time.
            file: IO[bytes] = await long(tempfile.TemporaryFile, dir=self._scratch)
            try:
                await _spool(archive, file, self._scratch)
                opened = await long(Archive, file, Platform("linux", self._facts.architecture))
                for packed in await long(opened.images):
                    for line in await self._take_in(opened, file.fileno(), packed, progress):
                        yield line
            finally:
                await to_the_end(long(file.close))

    async def make_busybox(self) -> Image:
        await self._ready()
        if busybox.TAG not in self._tags:
            archive = await busybox.archive(self._facts.architecture)
            async for _ in self.load(_once(archive)):
                pass
        return await self.find(busybox.TAG)

    async def tag(self, id: str, reference: str) -> None:
        name = _as_tag(reference)
        async with self._lock:
            self._image(id)
            with doing(f"name the image {name}"):
                await to_the_end(self._tag(id, name))

    async def forget(self, choose: Choose) -> tuple[str, ...]:
        images = await self._ready()
        async with self._lock:
            chosen = choose(images)
            if not any(chosen):
                return ()
            going = {id: images.pop(id) for id in chosen.images}
            with doing("remove the image"):
                return await to_the_end(self._forget(chosen.names, going))

    async def config(self, id: str) -> bytes:
        await self._ready()
        self._image(id)
        with doing(f"read the config of {id}"):
            return await long(self._db.read_config, id)

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        await self._ready()
        async with self._lock:  # no sweep is under way
            self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1
            async with self._lock:
                with doing("free unused layers"):
                    await to_the_end(self._free())

    async def has_layer(self, chain_id: str) -> bool:
        await self._ready()
        with doing(f"look for the layer {chain_id}"):
            return await long(self._db.cache_id, chain_id) is not None

    async def add_layer(
        self, parent: str, diff_id: str, chunks: AsyncIterator[bytes], report: Callable[[int], None] | None = None
    ) -> ImageLayer:
        await self._ready()
        what = f"the layer {diff_id}" if diff_id else "the layer"
        with self._busy(), doing(f"add {what}"):
            below = (await long(self._db.read_layer, parent)).cache_id if parent else ""
            cache_id = await to_the_end(long(self._db.begin_layer, below))
            try:
                done = await self._unpack(cache_id, diff_id, chunks, report, what)
                return await to_the_end(long(self._db.commit_layer, cache_id, done.digest, done.size, parent))
            finally:
                await to_the_end(long(self._db.drop_pending, cache_id))  # nothing is pending once it is committed

    async def add_image(
        self, config: bytes, tags: Iterable[str] = (), digests: Iterable[str] = (), parent: str = "", *, named: bool = False
    ) -> Image:
        await self._ready()
        known = [_as_tag(name) for name in (*tags, *digests)]
        decoded = decode_config(config)
        if len(decoded.diff_ids) > MAX_LAYERS:
            raise Invalid(f"cannot add the image: max depth exceeded, it has more than {MAX_LAYERS} layers")
        async with self._lock:
            with doing("add the image"):
                return await to_the_end(self._add(config, known, parent, named))

    async def layer_tar(self, chain_id: str) -> AsyncGenerator[bytes, None]:
        with doing(f"give back the layer {chain_id}"):
            layer = await long(self._db.read_layer, chain_id)
            async with aclosing(streamed(self._content(layer))) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def save(self, images: Iterable[tuple[Image, tuple[str, ...]]]) -> AsyncGenerator[bytes, None]:
        async with self.keeping():
            saved = [Saved(image, await self.config(image.id), tags) for image, tags in images]
            with doing("save the images"):
                async with aclosing(streamed(save(saved, self._sized))) as chunks:
                    async for chunk in chunks:
                        yield chunk

    async def diff_tar(self, mount_id: str) -> AsyncGenerator[bytes, None]:
        diff = os.path.join(self._db.layers.directory(mount_id), "diff")
        if not await long(os.path.isdir, diff):
            raise NotFound(f"there is no layer {mount_id}")
        with doing(f"pack the layer {mount_id[:12]}"):
            async with aclosing(streamed(diff_tar(diff))) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _content(self, layer: ImageLayer) -> Iterator[bytes]:
        return tarsplit.tar(self._db.split_of(layer.chain_id), self._db.layers.diff(layer.cache_id), layer.diff_id)

    def _sized(self, layer: ImageLayer) -> tuple[int, Iterator[bytes]]:
        return tarsplit.tar_size(self._db.split_of(layer.chain_id), layer.diff_id), self._content(layer)

    async def _add(self, config: bytes, known: list[str], parent: str, named: bool) -> Image:
        images = self._images
        assert images is not None, "the store is open"
        for chain_id in chain_ids(decode_config(config).diff_ids):
            await long(self._db.read_layer, chain_id)  # before the config is there that stands on it
        id = await long(self._db.write_image, config, parent)
        if named:
            await long(self._db.write_tagged, id)
        await self._read_again(id)
        await self._name(dict.fromkeys(known, id))
        return images[id]

    async def _tag(self, id: str, name: str) -> None:
        await self._name({name: id})
        if "@" not in name:  # a digest comes with a pull or a push, it is not given
            await long(self._db.write_tagged, id)
            await self._read_again(id)

    async def _forget(self, names: Collection[str], going: dict[str, Image]) -> tuple[str, ...]:
        """In the opposite order: names, configs, layers. What could not be forgotten is there still."""
        try:
            await self._name({name: "" for name, id in self._tags.items() if name in names or id in going})
            for id in tuple(going):
                await long(self._db.forget_image, id)
                del going[id]
        finally:
            assert self._images is not None, "the store is open"
            self._images |= {id: self._with_names(image) for id, image in going.items()}
        return await self._free()

    async def _read_again(self, id: str) -> None:
        assert self._images is not None, "the store is open"
        self._images[id] = self._with_names(await long(self._db.read_image, id))

    def _image(self, id: str) -> Image:
        if self._images is None or id not in self._images:
            raise NotFound(f"No such image: {id}")
        return self._images[id]

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Something is pending: a sweep would take it away."""
        self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1

    async def _ready(self) -> dict[str, Image]:
        """The images, read at the first call, which also sweeps what a crash left."""
        if self._images is None:
            async with self._lock:
                if self._images is None:
                    with doing("read the image store"):
                        self._images = await long(self._read)
        return self._images

    def _read(self) -> dict[str, Image]:
        self._db.prepare()
        self._tags = self._db.read_tags()
        images = {}
        for id in self._db.image_ids():
            try:
                images[id] = self._with_names(self._db.read_image(id))
            except (EngineError, ValueError) as error:
                self.unreadable[id] = str(error)
        if not self.unreadable:  # or the layers of what cannot be read would go
            self._db.sweep(list(images.values()))
        return images

    def _with_names(self, image: Image) -> Image:
        own = sorted((name for name, id in self._tags.items() if id == image.id), key=references.in_full)
        digests = tuple(name for name in own if "@" in name)
        return replace(image, tags=tuple(name for name in own if "@" not in name), digests=digests)

    async def _take_in(self, archive: Archive, fd: int, packed: Packed, progress: Progress | None) -> list[str]:
        """Commit one image of an archive; the lines that say so. A failure leaves nothing of it."""
        config = decode_config(packed.config)
        tags = [_as_tag(tag) for tag in packed.tags]
        if config.os not in ("", "linux"):
            raise Invalid(f'cannot load the image: image operating system "{config.os}" cannot be used on this platform')
        if len(config.diff_ids) != len(packed.layers):
            raise Invalid(
                f"cannot load the image: its config lists {len(config.diff_ids)} layers, the archive {len(packed.layers)}"
            )
        if len(packed.layers) > MAX_LAYERS:
            raise Invalid(f"cannot load the image: max depth exceeded, it has more than {MAX_LAYERS} layers")
        async with self.keeping():
            chain = chain_ids(config.diff_ids)
            there = 0
            while there < len(chain) and await self.has_layer(chain[there]):
                there += 1
            missing = list(zip(packed.layers, config.diff_ids, strict=True))[there:]
            await self._add_layers(archive, fd, chain[there - 1] if there else "", missing, progress)
            image = await self.add_image(packed.config, tags)
        return [f"Loaded image: {tag}" for tag in tags] or [f"Loaded image ID: {image.id}"]

    async def _add_layers(
        self, archive: Archive, fd: int, parent: str, missing: list[tuple[str, str]], progress: Progress | None
    ) -> None:
        """Unpack layers of an archive, some at a time, and commit them from below. `missing`: name and DiffID of each."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def take(name: str, diff_id: str, cache_id: str) -> None:
            async with gate:
                region = await long(archive.layer, name)
                report = partial(_report, progress, diff_id, region.size) if progress else None
                sizes[cache_id] = (await self._unpack(cache_id, diff_id, _read(fd, region), report, f"the layer {name}")).size

        begun: list[str] = []
        sizes: dict[str, int] = {}
        try:
            below = (await long(self._db.read_layer, parent)).cache_id if parent else ""
            for _ in missing:
                begun.append(await to_the_end(long(self._db.begin_layer, begun[-1] if begun else below)))
            await _all([take(*each, cache_id) for each, cache_id in zip(missing, begun, strict=True)])
            for (_, diff_id), cache_id in zip(missing, begun, strict=True):
                layer = await to_the_end(long(self._db.commit_layer, cache_id, diff_id, sizes[cache_id], parent))
                parent = layer.chain_id
        finally:
            for cache_id in begun:
                await to_the_end(long(self._db.drop_pending, cache_id))  # nothing is pending once it is committed

    async def _unpack(
        self, cache_id: str, diff_id: str, chunks: AsyncIterator[bytes], report: Callable[[int], None] | None, what: str
    ) -> Unpacked:
        """Unpack a pending layer."""
        with doing(f"unpack {what}"):
            done = await unpack(chunks, self._db.layers.diff(cache_id), self._db.split_file(cache_id), what, report)
        if diff_id and done.digest != diff_id:
            raise Invalid(f"cannot load {what}: its content is {done.digest}, the image's config says {diff_id}")
        return done

    async def _name(self, names: dict[str, str]) -> None:
        """Give names to images, and take those away that are given to none. Under the lock."""
        known = {name: id for name, id in (self._tags | names).items() if id}
        await long(self._db.write_tags, known)
        self._tags = known
        images = self._images or {}
        for id, image in images.items():
            images[id] = self._with_names(image)

    async def _free(self) -> tuple[str, ...]:
        """Free what nobody uses, unless somebody is adding layers, or an image cannot be read. Under the lock."""
        if self._keepers or self.unreadable:
            return ()
        return await long(self._db.sweep, list((self._images or {}).values()))


def _report(progress: Progress, id: str, total: int, current: int) -> None:
    progress(id, current, total)


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Wait for all; the first that fails ends the others, and is what is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(fd: int, region: Region) -> AsyncIterator[bytes]:
    offset, end = region.offset, region.offset + region.size
    while offset < end and (chunk := await to_the_end(in_thread(os.pread, fd, min(CHUNK, end - offset), offset))):
        yield chunk
        offset += len(chunk)


async def _spool(archive: AsyncIterator[bytes], file: IO[bytes], directory: str) -> None:
    """Write the archive down, inflated: its table of contents may come last."""
    inflater = Inflater("the archive")
    free = await long(room, directory)

    def write(pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if file.tell() + len(piece) > free:
                raise no_room("the archive", file.tell() + len(piece), free)
            file.write(piece)

    async for chunk in together(archive):
        await to_the_end(in_thread(write, inflater.feed(chunk)))
    await to_the_end(in_thread(write, inflater.finish()))
    file.seek(0)


def _as_tag(text: str) -> str:
    reference = references.parse(text)
    if reference.name == "sha256":
        raise Invalid(f"cannot load the image: the name {text!r} would look like a digest")
    return reference.familiar


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
