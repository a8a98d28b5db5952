"""Read manifests and indexes (OCI image-spec; Docker's "Image Manifest Version 2, Schema 2"). All of it is untrusted."""

from __future__ import annotations

import hashlib
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from engine.host.distribution import Descriptor, OtherPlatform, Platform
from engine.model.errors import Invalid
from engine.spec.references import as_id

T = TypeVar("T")

DOCKER: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"

CONFIGS: Final = (DOCKER_CONFIG, OCI_CONFIG)
INDEXES: Final = (DOCKER_LIST, OCI_INDEX)
ACCEPT: Final = ", ".join((DOCKER, DOCKER_LIST, OCI, OCI_INDEX))
LAYERS: Final = (
    *(DOCKER_LAYER, DOCKER_LAYER.removesuffix(".gzip"), DOCKER_LAYER.replace(".gzip", ".zstd")),
    *(OCI_LAYER, OCI_LAYER + "+gzip", OCI_LAYER + "+zstd"),
)
SCHEMA_1: Final = tuple(f"application/vnd.docker.distribution.manifest.v1+{each}" for each in ("json", "prettyjws"))

MAX_MANIFEST: Final = 4 << 20
"""Bytes; what the distribution-spec asks registries to take, and more than any image needs."""
MAX_CONFIG: Final = 8 << 20
MAX_BLOB: Final = 1 << 40


class Listed(Struct, rename="camel"):
    """An entry of an index."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None


class Index(Struct):
    manifests: tuple[Listed, ...]


class ImageManifest(Struct):
    config: Descriptor
    layers: tuple[Descriptor, ...]


class _Kind(Struct, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    manifests: Any = None
    layers: Any = None


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read(data: bytes, content_type: str) -> ImageManifest | Index:
    """What came as a manifest. Raises `Invalid` for what is no image's, with what it is."""
    kind = _decode(data, _Kind)
    media_type = kind.media_type or content_type.partition(";")[0].strip()
    if kind.schema_version == 1 or media_type in SCHEMA_1:
        raise Invalid("it has the manifest format v1 (schema 1), which is no longer supported", "push the image again")
    if media_type in INDEXES or (kind.manifests is not None and kind.layers is None):
        return _decode(data, Index)
    if media_type not in (DOCKER, OCI):
        raise Invalid(f"it is no image: its media type is {media_type or 'unknown'}")
    manifest = _decode(data, ImageManifest)
    _check(manifest)
    return manifest


def choose(index: Index, wanted: Platform) -> Listed:
    """The entry for a platform: the wanted variant, else the nearest below it. Raises `OtherPlatform`."""
    fitting = [
        (fit, each)
        for each in index.manifests
        if each.platform and (fit := rank(each.platform, wanted)) is not None and each.media_type not in INDEXES
    ]
    if not fitting:
        raise OtherPlatform(f"no matching manifest for {wanted} in the manifest list entries")
    _, found = max(fitting, key=lambda pair: pair[0])  # of equals the first
    check_blob(found.digest, found.size, MAX_MANIFEST, "manifest")
    return found


def rank(offered: Platform, wanted: Platform) -> int | None:
    """How well a platform fits, more is better; None: not at all. A processor runs what is made for its lesser variants."""
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    least = {"arm": 7, "arm64": 8, "amd64": 1}.get(wanted.architecture, 0)
    has, most = _level(offered.variant, least), _level(wanted.variant, least)
    return has if has <= most else None


def _level(variant: str, otherwise: int) -> int:
    number = variant.removeprefix("v")
    return int(number) if number.isdecimal() and number.isascii() and len(number) < 4 else otherwise


def check_blob(digest: str, size: int, most: int, what: str) -> None:
    if as_id(digest) != digest:
        raise Invalid(f"its {what} is named {digest!r}, which is no sha256 digest")
    if not 0 <= size <= most:
        raise Invalid(f"its {what} {digest} is said to be {size} bytes, and at most {most} are taken")


def _check(manifest: ImageManifest) -> None:
    if manifest.config.media_type not in CONFIGS:
        raise Invalid(f"it is no image: its config is {manifest.config.media_type or 'of no media type'}")
    check_blob(manifest.config.digest, manifest.config.size, MAX_CONFIG, "config")
    for layer in manifest.layers:
        if layer.media_type not in LAYERS:
            kind = layer.media_type or "no media type"
            raise Invalid(f"its layer {layer.digest} is of a kind that cannot be unpacked: {kind}")
        check_blob(layer.digest, layer.size, MAX_BLOB, "layer")


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"its manifest is not as it should be: {error}") from error
