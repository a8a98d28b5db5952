"""An image: a config, and the layers it stands on."""

from __future__ import annotations

import hashlib
from datetime import datetime

from msgspec import Struct

from engine.model.settings import Config


class ImageLayer(Struct, frozen=True, kw_only=True):
    """One read-only layer. Sizes are bytes of the layer's own content."""

    diff_id: str
    chain_id: str
    cache_id: str
    size: int = 0
    created_by: str = ""
    """The instruction that made it, from the image's history."""


class Image(Struct, frozen=True, kw_only=True):
    id: str
    """`sha256:` and the digest of the config's exact bytes."""
    tags: tuple[str, ...] = ()
    """Familiar names with tag, `busybox:latest`."""
    digests: tuple[str, ...] = ()
    """Familiar names with digest."""
    parent: str = ""
    """Id of the image that it was committed from on this host; empty for what came from elsewhere."""
    created: datetime | None = None
    tagged: datetime | None = None
    """When a person last gave it a name here."""
    architecture: str = ""
    variant: str = ""
    os: str = "linux"
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    config: Config = Config()
    layers: tuple[ImageLayer, ...] = ()
    """Bottom first, as `rootfs.diff_ids` lists them."""

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.layers)


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The chain id of each layer: the layer and all below it (OCI image-spec, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append("sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest() if chain else diff_id)
    return tuple(chain)
