"""`docker save` archives made by hand, whole and damaged."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterable
from typing import Any

Entry = tuple[str, dict[str, Any], bytes]


def entry(name: str, data: bytes = b"", **fields: Any) -> Entry:
    """A tar entry: a regular file unless `type` says otherwise; `fields` are those of `TarInfo`."""
    return name, fields, data


def tar(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, fields, data in entries:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(layers: Iterable[bytes], **more: Any) -> bytes:
    found = [digest(layer) for layer in layers]
    history = [{"created_by": f"layer {number}"} for number, _ in enumerate(found)]
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": found}, "history": history, "os": "linux"} | more).encode()


def saved(layers: list[bytes], tags: list[str] | None, packed: list[bytes] | None = None, image: bytes | None = None) -> bytes:
    """An archive with `manifest.json`. `packed`: what lies there in place of the layers."""
    image = image or config(layers)
    names = [f"{number}/layer.tar" for number, _ in enumerate(layers)]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": tags, "Layers": names}]).encode()
    files = [entry(name, data) for name, data in zip(names, packed or layers, strict=True)]
    return tar(*files, entry("config.json", image), entry("manifest.json", manifest))


def oci(layers: list[bytes], name: str) -> bytes:
    """An OCI image layout, its manifest one index deeper."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes) -> dict[str, str]:
        blobs[digest(data)] = data
        return {"digest": digest(data)}

    image = {"config": blob(config(layers)), "layers": [blob(layer) for layer in layers]}
    inner = {"manifests": [blob(json.dumps(image).encode())]}
    annotations = {"io.containerd.image.name": name}
    index = {"manifests": [blob(json.dumps(inner).encode()) | {"annotations": annotations}]}
    files = [entry("blobs/" + each.replace(":", "/"), data) for each, data in blobs.items()]
    return tar(*files, entry("index.json", json.dumps(index).encode()))


def platforms(images: dict[str, bytes], name: str, kind: str = "application/vnd.oci.image.config.v1+json") -> bytes:
    """An OCI image layout with one image for several platforms: architecture -> the one layer. `kind`: of the configs."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        blobs[digest(data)] = data
        return {
            "digest": digest(data),
            "size": len(data),
            "mediaType": kind if "/" in kind else f"application/vnd.oci.image.{kind}",
        }

    entries: list[dict[str, Any]] = []
    for architecture, layer in images.items():
        own = blob(config([layer], architecture=architecture), kind)
        manifest = {"schemaVersion": 2, "config": own, "layers": [blob(gzip.compress(layer), "layer.v1.tar+gzip")]}
        platform = {"os": "linux", "architecture": architecture}
        entries.append(blob(json.dumps(manifest).encode(), "manifest.v1+json") | {"platform": platform})
    attestation = entries[0] | {
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    inner = json.dumps({"schemaVersion": 2, "manifests": [*entries, attestation]}).encode()
    index = {"manifests": [blob(inner, "index.v1+json") | {"annotations": {"io.containerd.image.name": name}}]}
    files = [entry("blobs/" + each.replace(":", "/"), data) for each, data in blobs.items()]
    return tar(*files, entry("index.json", json.dumps(index).encode()))


def layer_of(archive: bytes) -> bytes:
    """The tar of the one layer of a saved image."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = next(members.extractfile(member) for member in members if member.name.endswith("layer.tar"))
        assert found
        return found.read()


async def stream(data: bytes, size: int = 4000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
