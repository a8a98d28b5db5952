"""What a `docker save` archive holds: images, each with its config, its names, and where its layers lie in the archive.

Two layouts: Docker's, with a `manifest.json` (which wins where both are there), and the OCI image layout, with `index.json`
and `blobs/`. The archive is plain here; layers are given as they lie in it. Everything blocks; `Invalid` says what cannot be
right.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, TypeVar

import msgspec
from msgspec import Struct

from engine.model.errors import Invalid

T = TypeVar("T")

MANIFEST, INDEX = "manifest.json", "index.json"
CONTAINERD_NAME: Final = "io.containerd.image.name"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
LARGEST_JSON: Final = 8 << 20
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


class _Descriptor(Struct):
    digest: str
    annotations: dict[str, str] | None = None


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
    except (tarfile.TarError, EOFError) as error:
        raise Invalid(f"cannot read {what}: it is damaged, or not what it should be: {error}") from error


class Archive:
    """An archive in a seekable file."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises `Invalid`."""
        with readable("the archive"):
            self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - lives as long as the file below it
            self._members = {posixpath.normpath(member.name): member for member in self._tar.getmembers()}

    def images(self) -> list[Packed]:
        if MANIFEST in self._members:
            return [self._from_manifest(entry) for entry in _decode(MANIFEST, self._read(MANIFEST), list[_Manifest])]
        if INDEX in self._members:
            return list(self._from_index(_decode(INDEX, self._read(INDEX), _Index), ()))
        raise Invalid(f"cannot load the archive: it has neither {MANIFEST} nor {INDEX}", "make it with docker save")

    def layer(self, name: str) -> Region:
        """Where a layer's tar lies, maybe compressed."""
        member = self._find(name)
        return Region(member.offset_data, member.size)

    def _from_manifest(self, entry: _Manifest) -> Packed:
        return Packed(config=self._read(entry.config), layers=entry.layers or (), tags=entry.repo_tags or ())

    def _from_index(self, index: _Index, tags: tuple[str, ...], depth: int = 0) -> Iterator[Packed]:
        if depth > MAX_LINKS:
            raise Invalid("cannot load the archive: its indexes lie too deep in one another")
        for descriptor in index.manifests or ():
            if ATTESTATION in (descriptor.annotations or {}):
                continue
            name = _name(descriptor.annotations or {})
            below = _decode(descriptor.digest, self._blob(descriptor.digest), _Index)
            yield from self._from_index(below, (name,) if name else tags, depth + 1)
        if index.config:
            layers = tuple(_blob_path(layer.digest) for layer in index.layers or ())
            yield Packed(config=self._blob(index.config.digest), layers=layers, tags=tags)

    def _blob(self, digest: str) -> bytes:
        data = self._read(_blob_path(digest))
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise Invalid(f"cannot load the archive: the content of {digest} is not what its name says")
        return data

    def _read(self, name: str) -> bytes:
        with readable(name):
            file = self._tar.extractfile(self._find(name))
            assert file, "a regular file has content"
            data = file.read(LARGEST_JSON + 1)
        if len(data) > LARGEST_JSON:
            raise Invalid(f"cannot load the archive: {name} is larger than {LARGEST_JSON >> 20} MiB")
        return data

    def _find(self, name: str) -> tarfile.TarInfo:
        """A file of the archive. `docker save` writes a layer once and symlinks where it is met again."""
        path = posixpath.normpath(name)
        for _ in range(MAX_LINKS):
            member = self._members.get(path)
            if member is None:
                break
            if member.isreg() and not member.issparse():
                return member
            if member.issym():
                path = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
            else:
                path = posixpath.normpath(member.linkname)
        raise Invalid(f"cannot load the archive: it names {name}, which it does not hold as a file")


def _decode(name: str, data: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.MsgspecError as error:
        raise Invalid(f"cannot load the archive: {name} is not as it should be: {error}") from error


def _name(annotations: dict[str, str]) -> str:
    """The image's name. `ref.name` may hold a tag alone, which names nothing."""
    reference = annotations.get(REF_NAME, "")
    return annotations.get(CONTAINERD_NAME) or (reference if ":" in reference or "/" in reference else "")


def _blob_path(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise Invalid(f"cannot load the archive: {digest!r} is not a sha256 digest")
    return "blobs/" + digest.replace(":", "/")
