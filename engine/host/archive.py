"""What a `docker save` archive holds: images, each with its config, its names, and where its layers lie in the archive.

Two layouts: Docker's, with a `manifest.json` (which wins where both are there), and the OCI image layout, with `index.json`
and `blobs/`. The archive is plain here; layers are given as they lie in it. Everything blocks; `Invalid` says what cannot be
right.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, TypeVar

import msgspec
from msgspec import Struct

from engine.host import tarreader
from engine.host.distribution import Platform
from engine.host.registry.manifest import CONFIGS, LAYERS, rank
from engine.model.errors import Invalid

T = TypeVar("T")

MANIFEST, INDEX = "manifest.json", "index.json"
CONTAINERD_NAME: Final = "io.containerd.image.name"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
LARGEST_JSON: Final = 8 << 20
MAX_FILES: Final = 100_000
"""In an archive. `docker save` makes three or four for a layer."""
MAX_LINKS: Final = 8
ATTESTATION: Final = "vnd.docker.reference.type"
"""Annotation of a manifest that speaks of another and is no image (buildx)."""
REF_NAME: Final = "org.opencontainers.image.ref.name"


class Region(Struct, frozen=True):
    """Where a file of the archive lies in it."""

    offset: int
    size: int


class Packed(Struct, frozen=True, kw_only=True):
    """One image of an archive."""

    config: bytes
    layers: tuple[str, ...]
    """Names in the archive, bottom first."""
    tags: tuple[str, ...]


class _Manifest(Struct, rename="pascal"):
    config: str
    layers: tuple[str, ...] | None = None
    repo_tags: tuple[str, ...] | None = None


class _Descriptor(Struct, rename="camel"):
    digest: str
    media_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None

    @property
    def name(self) -> str:
        """The image's name. `ref.name` may hold a tag alone, which names nothing."""
        annotations = self.annotations or {}
        reference = annotations.get(REF_NAME, "")
        return annotations.get(CONTAINERD_NAME) or (reference if ":" in reference or "/" in reference else "")


class _Index(Struct):
    """An OCI index or manifest: an index has manifests, a manifest has a config and layers."""

    manifests: tuple[_Descriptor, ...] | None = None
    config: _Descriptor | None = None
    layers: tuple[_Descriptor, ...] | None = None


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn every way in which a damaged archive can show into `Invalid`."""
    try:
        yield
    except tarreader.Damaged as error:
        raise Invalid(f"cannot read {what}: it is damaged, or not what it should be: {error}") from error


class Archive:
    """An archive in a seekable file."""

    def __init__(self, file: IO[bytes], platform: Platform) -> None:
        """`platform`: what is taken of an image for several. Raises `Invalid`."""
        self._platform = platform
        self._file = file
        self._members: dict[str, tarreader.Entry] = {}
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        with readable("the archive"):
            for entry in tarreader.entries(file):
                if entry.start + entry.size > end:
                    raise tarreader.Damaged("unexpected end of data")
                if len(self._members) == MAX_FILES:
                    raise tarreader.Damaged(f"it holds more than {MAX_FILES} files")
                self._members[posixpath.normpath(entry.name)] = entry
        if not end:
            raise Invalid("cannot read the archive: it is damaged, or not what it should be: it is empty")

    def images(self) -> list[Packed]:
        if MANIFEST in self._members:
            return [self._from_manifest(entry) for entry in _decode(MANIFEST, self._read(MANIFEST), list[_Manifest])]
        if INDEX in self._members:
            return list(self._from_index(_decode(INDEX, self._read(INDEX), _Index), ()))
        raise Invalid(f"cannot load the archive: it has neither {MANIFEST} nor {INDEX}", "make it with docker save")

    def layer(self, name: str) -> Region:
        """Where a layer's tar lies, maybe compressed."""
        member = self._find(name)
        return Region(member.start, member.size)

    def _from_manifest(self, entry: _Manifest) -> Packed:
        return Packed(config=self._read(entry.config), layers=entry.layers or (), tags=entry.repo_tags or ())

    def _from_index(self, index: _Index, tags: tuple[str, ...], depth: int = 0) -> Iterator[Packed]:
        if depth > MAX_LINKS:
            raise Invalid("cannot load the archive: its indexes lie too deep in one another")
        for descriptor in self._chosen(index.manifests or ()):
            below = _decode(descriptor.digest, self._blob(descriptor.digest), _Index)
            yield from self._from_index(below, (descriptor.name,) if descriptor.name else tags, depth + 1)
        if index.config:
            for part, kinds in ((index.config, CONFIGS), *((layer, LAYERS) for layer in index.layers or ())):
                if part.media_type and part.media_type not in kinds:
                    raise Invalid(f"cannot load the archive: {part.digest} is no part of an image: it is {part.media_type}")
            layers = tuple(_blob_path(layer.digest) for layer in index.layers or ())
            yield Packed(config=self._blob(index.config.digest), layers=layers, tags=tags)

    def _chosen(self, listed: tuple[_Descriptor, ...]) -> Iterator[_Descriptor]:
        """The images of an index: of those that are one image for several platforms, what fits ours best."""
        images = [each for each in listed if ATTESTATION not in (each.annotations or {})]
        for name in dict.fromkeys(each.name for each in images):
            same = [each for each in images if each.name == name]
            if len({each.platform for each in same}) == 1:
                yield from same
                continue
            fits = [(fit, each) for each in same if each.platform and (fit := rank(each.platform, self._platform)) is not None]
            if not fits:
                raise Invalid(f"cannot load the archive: no matching manifest for {self._platform} in its index")
            best = max(fit for fit, _ in fits)
            yield from (each for fit, each in fits if fit == best)

    def _blob(self, digest: str) -> bytes:
        data = self._read(_blob_path(digest))
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise Invalid(f"cannot load the archive: the content of {digest} is not what its name says")
        return data

    def _read(self, name: str) -> bytes:
        member = self._find(name)
        if member.size > LARGEST_JSON:
            raise Invalid(f"cannot load the archive: {name} is larger than {LARGEST_JSON >> 20} MiB")
        self._file.seek(member.start)
        return self._file.read(member.size)

    def _find(self, name: str) -> tarreader.Entry:
        """A file of the archive. `docker save` writes a layer once and symlinks where it is met again."""
        path = posixpath.normpath(name)
        for _ in range(MAX_LINKS):
            member = self._members.get(path)
            if member is None:
                break
            if member.kind == tarreader.FILE and member.fragments is None:
                return member
            beside = posixpath.dirname(path) if member.kind == tarreader.SYMLINK else ""
            path = posixpath.normpath(posixpath.join(beside, member.link))
        raise Invalid(f"cannot load the archive: it names {name}, which it does not hold as a file")


def _decode(name: str, data: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"cannot load the archive: {name} is not as it should be: {error}") from error


def _blob_path(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise Invalid(f"cannot load the archive: {digest!r} is not a sha256 digest")
    return "blobs/" + digest.replace(":", "/")
