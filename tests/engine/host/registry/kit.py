"""Images by hand, sent with our own client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from engine.host.distribution import Credentials, Descriptor, Platform, Repository
from engine.host.registry import Places, Registries
from engine.host.registry import manifest as manifests
from engine.spec import references
from tests.engine.host.archives import config, digest, entry, tar

LINUX = Platform("linux", "amd64")
LAYER = tar(entry("etc/motd", b"hello\n" * 40_000))
NOBODY = Credentials()


def sending(data: bytes) -> Callable[[], AsyncIterator[bytes]]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 50_000):
            yield data[start : start + 50_000]

    return chunks


def described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(data), "digest": digest(data)}


async def put(to: Repository, tag: str, layers: list[bytes], **more: Any) -> tuple[str, bytes]:
    """Push an image; digest and bytes of its manifest. `more`: of its config."""
    image = config(layers, **({"architecture": "amd64"} | more))
    for data in (image, *layers):
        await to.upload(sending(data), "")
    listed = [described(layer, manifests.OCI_LAYER) for layer in layers]
    body = {
        "schemaVersion": 2,
        "mediaType": manifests.OCI,
        "config": described(image, manifests.OCI_CONFIG),
        "layers": listed,
    }
    data = json.dumps(body).encode()
    return await to.put_manifest(tag, data, manifests.OCI), data


async def put_packed(to: Repository, tag: str, kind: str, layers: list[tuple[str, bytes, bytes]]) -> None:
    """Push an image: media type, packed and plain bytes of each layer."""
    image = config([plain for _, _, plain in layers], architecture="amd64", config={"Cmd": ["cat", "/greeting"]})
    for data in (image, *(packed for _, packed, _ in layers)):
        await to.upload(sending(data), "")
    body = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": described(image, manifests.DOCKER_CONFIG if kind == manifests.DOCKER else manifests.OCI_CONFIG),
        "layers": [described(packed, media_type) for media_type, packed, _ in layers],
    }
    await to.put_manifest(tag, json.dumps(body).encode(), kind)


def repository(
    registries: Registries, host: str, *, push: bool = False, who: Credentials = NOBODY, name: str = "web"
) -> Repository:
    return registries.repository(references.parse(f"{host}/{name}:1"), who, push=push)


def opened(root: object, **places: tuple[str, ...]) -> Registries:
    return Registries(str(root), Places(**places))


async def fetched(from_: Repository, data: bytes, size: int | None = None) -> bytes:
    blob = Descriptor(size=len(data) if size is None else size, digest=digest(data))
    async with from_.blob(blob, lambda have: None) as part:
        whole = b"".join([chunk async for chunk in part.read()])
        part.spend()
    return whole
