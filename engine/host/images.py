"""The image store: what is there, and taking in `docker save` archives."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import IO, Any, Final, TypeVar

from msgspec.structs import replace

from engine.host import Facts, busybox
from engine.host.archive import Archive, Packed, readable
from engine.host.disk import make_directories, write_all
from engine.host.imagedb import ImageDB, decode_config
from engine.host.threads import long
from engine.host.tools import REMEDIES, doing
from engine.host.untar import REFUSED
from engine.model.errors import EngineError, HostFailed, Invalid, NotFound
from engine.model.image import Image, chain_ids
from engine.spec import references

T = TypeVar("T")

UNTAR: Final = os.path.join(os.path.dirname(__file__), "untar.py")
CHUNK: Final = 1 << 20
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
        self.unreadable: dict[str, str] = {}
        """Images left out at the start, by id, each with the reason. Nothing of them is touched."""

    async def load_all(self) -> list[Image]:
        return list((await self._ready()).values())

    async def find(self, reference: str) -> Image:
        images = await self._ready()
        id = references.as_id(reference)
        if id is not None:
            if id in images:
                return images[id]
            raise NotFound(f"No such image: {reference}")
        wanted = references.parse(reference).familiar
        if wanted in self._tags and self._tags[wanted] in images:
            return images[self._tags[wanted]]
        prefix = "sha256:" + reference.removeprefix("sha256:")
        matches = [image for id, image in images.items() if id.startswith(prefix)]
        if len(matches) == 1:
            return matches[0]
        raise NotFound(f"No such image: {wanted}")

    async def load(self, archive: AsyncIterator[bytes]) -> AsyncIterator[str]:
        await self._ready()
        with doing("load the archive"):
            await long(make_directories, self._scratch, 0o700)
            # Files without a name: a crash leaves nothing of them.
            with tempfile.TemporaryFile(dir=self._scratch) as file, tempfile.TemporaryFile(dir=self._scratch) as scratch:
                await _spool(archive, file)
                opened = await long(Archive, file, scratch)
                for packed in await long(opened.images):
                    for line in await _to_the_end(self._take_in(opened, packed)):
                        yield line

    async def make_busybox(self) -> Image:
        await self._ready()
        if busybox.TAG not in self._tags:
            archive = await busybox.archive(self._facts.architecture)
            async for _ in self.load(_once(archive)):
                pass
        return await self.find(busybox.TAG)

    async def _ready(self) -> dict[str, Image]:
        """The images, read at the first call, which also sweeps what a crash left."""
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
        own = sorted(name for name, id in self._tags.items() if id == image.id)
        digests = tuple(name for name in own if "@" in name)
        return replace(image, tags=tuple(name for name in own if "@" not in name), digests=digests)

    async def _take_in(self, archive: Archive, packed: Packed) -> list[str]:
        """Commit one image of an archive; the lines that say so. A failure leaves nothing of it."""
        config = decode_config(packed.config)
        tags = [_as_tag(tag) for tag in packed.tags]
        if len(config.diff_ids) != len(packed.layers):
            raise Invalid(
                f"cannot load the image: its config lists {len(config.diff_ids)} layers, the archive {len(packed.layers)}"
            )
        if len(packed.layers) > MAX_LAYERS:
            raise Invalid(f"cannot load the image: max depth exceeded, it has more than {MAX_LAYERS} layers")
        images = await self._ready()
        async with self._lock:
            try:
                parent = ""
                for name, diff_id, chain_id in zip(packed.layers, config.diff_ids, chain_ids(config.diff_ids), strict=True):
                    if await long(self._db.cache_id, chain_id) is None:
                        await self._add_layer(archive, name, diff_id, chain_id, parent)
                    parent = chain_id
                id = await long(self._db.write_image, packed.config)
                known = self._tags | dict.fromkeys(tags, id)
                await long(self._db.write_tags, known)
                self._tags = known
                images[id] = await long(self._db.read_image, id)
            except BaseException:
                if not self.unreadable:
                    await long(self._db.sweep, list(images.values()))
                raise
            for each, image in images.items():
                images[each] = self._with_names(image)
        return [f"Loaded image: {tag}" for tag in tags] or [f"Loaded image ID: {id}"]

    async def _add_layer(self, archive: Archive, name: str, diff_id: str, chain_id: str, parent: str) -> None:
        cache_id = await long(self._db.begin_layer, parent)
        digest = await _unpack(archive, name, self._db.layers.diff(cache_id))
        if digest != diff_id:
            raise Invalid(f"cannot load the layer {name}: its content is {digest}, the image's config says {diff_id}")
        await long(self._db.commit_layer, cache_id, chain_id, diff_id, parent)


async def _unpack(archive: Archive, name: str, directory: str) -> str:
    """Unpack a layer by a child that locks itself into the directory; digest of the tar."""
    source = await long(archive.layer, name)
    reading, writing = os.pipe()
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-X", "utf8", UNTAR, directory),
            stdin=reading,
            stderr=asyncio.subprocess.PIPE,
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    feed = asyncio.ensure_future(long(_feed, source, writing, f"the layer {name}"))
    _, err = await child.communicate()
    digest = await feed
    if child.returncode:
        raise _unpack_error(name, child.returncode, err.decode(errors="replace").strip())
    return digest


def _unpack_error(name: str, code: int, reason: str) -> EngineError:
    sentence = f"cannot unpack the layer {name}: {reason or f'the unpacker ended with {code}'}"
    return Invalid(sentence) if code == REFUSED else HostFailed(sentence, REMEDIES.get(code, ""), errno=max(code, 0))


def _feed(source: IO[bytes], fd: int, what: str) -> str:
    """Copy a layer into the pipe; its digest. Raises `Invalid` when it cannot be uncompressed."""
    digest = hashlib.sha256()
    try:
        with readable(what), suppress(BrokenPipeError):  # the child has given up, and says why itself
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                write_all(fd, chunk)
    finally:
        os.close(fd)
    return "sha256:" + digest.hexdigest()


async def _spool(archive: AsyncIterator[bytes], file: IO[bytes]) -> None:
    """Write the archive down: its table of contents may come last."""
    held, size = [], 0
    async for chunk in archive:
        held.append(chunk)
        size += len(chunk)
        if size >= CHUNK:
            await long(file.write, b"".join(held))
            held, size = [], 0
    await long(file.write, b"".join(held))
    await long(file.seek, 0)


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work that a cancelled wait does not cancel, but waits out: its threads could not be stopped anyway."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _as_tag(text: str) -> str:
    reference = references.parse(text)
    if reference.name == "sha256":
        raise Invalid(f"cannot load the image: the name {text!r} would look like a digest")
    return reference.familiar


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
