"""Images as one archive: Docker's `manifest.json` and the OCI image layout over the same blobs, each blob once.

Layers are plain tars. The same images make the same bytes: entries are in order and carry no time.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.host.archive import CONTAINERD_NAME, INDEX, MANIFEST, REF_NAME
from engine.model.image import Image, ImageLayer
from engine.spec import references

OCI: Final = "application/vnd.oci.image."


class Saved(Struct):
    """An image to save: its config, and the names it is saved under."""

    image: Image
    config: bytes
    tags: tuple[str, ...]


Layer = Callable[[ImageLayer], tuple[int, Iterable[bytes]]]
"""Size of a layer's tar, and its content."""


def save(images: list[Saved], layer: Layer) -> Iterator[bytes]:
    """The archive, piece by piece. Blocks as `layer` does."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"{OCI}{kind}", "digest": digest, "size": len(data)}

    layers = {each.diff_id: each for saved in images for each in saved.image.layers}
    sizes = {diff_id: layer(each)[0] for diff_id, each in layers.items()}
    index, manifest = [], []
    repositories: dict[str, dict[str, str]] = {}
    for saved in images:
        config = blob(saved.config, "config.v1+json")
        below = [
            {"mediaType": f"{OCI}layer.v1.tar", "digest": each.diff_id, "size": sizes[each.diff_id]}
            for each in saved.image.layers
        ]
        head = {"schemaVersion": 2, "mediaType": f"{OCI}manifest.v1+json"}
        descriptor = blob(msgspec.json.encode({**head, "config": config, "layers": below}), "manifest.v1+json")
        names = [_annotations(tag) for tag in saved.tags]
        index += [descriptor | {"annotations": name} for name in names] or [descriptor]
        files = [_path(each.diff_id) for each in saved.image.layers]
        manifest.append({"Config": _path(saved.image.id), "RepoTags": list(saved.tags) or None, "Layers": files})
        for tag in saved.tags if files else ():
            repositories.setdefault(references.parse(tag).name, {})[references.parse(tag).tag] = files[-1].rpartition("/")[2]
    tables = {
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        INDEX: {"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": index},
        MANIFEST: manifest,
        "repositories": repositories,
    }
    for name, table in tables.items():
        yield from _file(name, msgspec.json.encode(table))
    for directory in ("blobs", "blobs/sha256"):
        yield _header(directory, 0, tarfile.DIRTYPE)
    for digest in sorted({*blobs, *layers}):
        if digest in blobs:
            yield from _file(_path(digest), blobs[digest])
        else:
            yield _header(_path(digest), sizes[digest])
            yield from layer(layers[digest])[1]
            yield _padding(sizes[digest])
    yield bytes(2 * tarfile.BLOCKSIZE)


def _annotations(tag: str) -> dict[str, str]:
    reference = references.parse(tag)
    full = f"{reference.domain}/{reference.path}:{reference.tag}"
    return {CONTAINERD_NAME: full, REF_NAME: reference.tag}


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _file(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data)) + data + _padding(len(data))


def _header(name: str, size: int, type: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode = size, type, 0o755 if type == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
