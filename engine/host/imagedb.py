"""The image store's files: `image/overlay2/{imagedb,layerdb,repositories.json}`. Everything blocks and raises `OSError`.

An image needs no journal. It is committed from below: layer directory, sync, layerdb rename, image config, and
`repositories.json` last. What a crash leaves is reached by no image, and swept at the next start. References are never
counted in a file.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from engine.host.disk import (
    make_directories,
    make_directory,
    names,
    read_file,
    read_text,
    remove_tree,
    sync_directory,
    write_file,
)
from engine.host.layers import LayerStore, content_size
from engine.host.records import REMOVING
from engine.host.syscalls import syncfs
from engine.model.errors import EngineError, Invalid
from engine.model.image import Image, ImageLayer, chain_ids
from engine.model.settings import Config
from engine.spec import references

SHA256: Final = "sha256:"


class _History(Struct):
    created_by: str | None = None
    empty_layer: bool = False


class _Root(Struct):
    type: str = "layers"
    diff_ids: tuple[str, ...] | None = None


class ImageConfig(Struct):
    """An image's config as it lies in archives and in the store (OCI image-spec, config.md; Docker's keys beside it)."""

    rootfs: _Root
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    created: datetime | None = None
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    config: Config | None = None
    history: tuple[_History, ...] | None = None

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return self.rootfs.diff_ids or ()

    @property
    def created_by(self) -> list[str]:
        """The instruction of each layer, bottom first, as far as the history tells."""
        return [entry.created_by or "" for entry in self.history or () if not entry.empty_layer]


def decode_config(data: bytes) -> ImageConfig:
    try:
        config = msgspec.json.decode(data, type=ImageConfig)
    except msgspec.MsgspecError as error:
        raise Invalid(f"the image's config is not as it should be: {error}") from error
    wrong = next((each for each in config.diff_ids if references.as_id(each) != each), None)
    if wrong is not None:
        raise Invalid(f"the image's config names a layer {wrong!r}, which is no sha256 digest")
    return config


class ImageDB:
    def __init__(self, root: str) -> None:
        self.layers = LayerStore(root)
        self._root = root
        self._store = os.path.join(root, "image/overlay2")
        self._content = os.path.join(self._store, "imagedb/content/sha256")
        self._layerdb = os.path.join(self._store, "layerdb/sha256")
        self._mounts = os.path.join(self._store, "layerdb/mounts")
        self._pending = os.path.join(self._store, "layerdb/tmp")
        self._repositories = os.path.join(self._store, "repositories.json")

    def prepare(self) -> None:
        make_directories(self._root, 0o710)
        make_directories(self.layers.path, 0o710)
        for path in (self._content, self._layerdb, self._mounts, self._pending):
            make_directories(path, 0o700)

    # --- images ------------------------------------------------------------------------------------------------------

    def read_tags(self) -> dict[str, str]:
        """Image id by familiar reference. Raises `EngineError` when the file is not ours."""
        if not os.path.exists(self._repositories):
            return {}
        try:
            stored = msgspec.json.decode(read_file(self._repositories), type=dict[str, dict[str, dict[str, str]]])
        except msgspec.MsgspecError as error:
            raise EngineError(f"cannot read {self._repositories}: {error}", "mend the file or move it away") from error
        return {reference: id for repository in stored.get("Repositories", {}).values() for reference, id in repository.items()}

    def write_tags(self, tags: dict[str, str]) -> None:
        repositories: dict[str, dict[str, str]] = {}
        for reference, id in sorted(tags.items()):
            name = reference.rpartition("@" if "@" in reference else ":")[0]
            repositories.setdefault(name, {})[reference] = id
        write_file(self._repositories, msgspec.json.encode({"Repositories": repositories}), 0o600)
        sync_directory(self._store)

    def image_ids(self) -> list[str]:
        return [SHA256 + name for name in names(self._content) if references.as_id(name)]

    def read_image(self, id: str) -> Image:
        """Raises `EngineError` when the config or a layer is not as it was written."""
        data = read_file(os.path.join(self._content, id.removeprefix(SHA256)))
        if SHA256 + hashlib.sha256(data).hexdigest() != id:
            raise EngineError(f"the config of image {id} has been changed")
        config = decode_config(data)
        made_by = config.created_by
        layers = []
        for number, (diff_id, chain_id) in enumerate(zip(config.diff_ids, chain_ids(config.diff_ids), strict=True)):
            cache_id = self.cache_id(chain_id)
            if cache_id is None:
                raise EngineError(f"layer {diff_id} of image {id} is missing")
            layers.append(
                ImageLayer(
                    diff_id=diff_id,
                    chain_id=chain_id,
                    cache_id=cache_id,
                    size=int(read_text(os.path.join(self._layer(chain_id), "size")) or 0),
                    created_by=made_by[number] if number < len(made_by) else "",
                )
            )
        return Image(
            id=id,
            created=config.created,
            architecture=config.architecture,
            variant=config.variant,
            os=config.os,
            author=config.author,
            comment=config.comment,
            docker_version=config.docker_version,
            config=config.config or Config(),
            layers=tuple(layers),
        )

    def write_image(self, config: bytes) -> str:
        """Commit the config's exact bytes; the image's id."""
        name = hashlib.sha256(config).hexdigest()
        write_file(os.path.join(self._content, name), config, 0o600)
        sync_directory(self._content)
        return SHA256 + name

    # --- layers ------------------------------------------------------------------------------------------------------

    def cache_id(self, chain_id: str) -> str | None:
        """The directory of a layer, or None: no such layer is committed."""
        return read_text(os.path.join(self._layer(chain_id), "cache-id"))

    def begin_layer(self, parent_chain: str) -> str:
        """An empty layer directory on top of the parent's, noted as pending; its cache id."""
        cache_id = secrets.token_hex(32)
        make_directory(os.path.join(self._pending, cache_id), 0o755)
        parent = self.cache_id(parent_chain) if parent_chain else ""
        assert parent is not None, "layers are committed bottom first"
        self.layers.make(cache_id, parent)
        return cache_id

    def commit_layer(self, cache_id: str, chain_id: str, diff_id: str, parent_chain: str) -> None:
        pending = os.path.join(self._pending, cache_id)
        size, _ = content_size(self.layers.diff(cache_id))
        for name, text in {"cache-id": cache_id, "diff": diff_id, "parent": parent_chain, "size": str(size)}.items():
            if text:
                write_file(os.path.join(pending, name), text.encode(), 0o644)
        fd = os.open(pending, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syncfs(fd)  # all of the layer lasts before anything speaks of it
        finally:
            os.close(fd)
        os.rename(pending, self._layer(chain_id))
        sync_directory(self._layerdb)

    def sweep(self, images: list[Image]) -> None:
        """Remove pending layers, half-removed ones, and those that no image and no container stands on."""
        for cache_id in names(self._pending):
            self.layers.drop(cache_id)
            remove_tree(os.path.join(self._pending, cache_id))
        reached = {layer.chain_id for image in images for layer in image.layers}
        for container in names(self._mounts):
            chain_id = read_text(os.path.join(self._mounts, container, "parent"))
            while chain_id and chain_id not in reached:
                reached.add(chain_id)
                chain_id = read_text(os.path.join(self._layer(chain_id), "parent"))
        for name in names(self._layerdb):
            if SHA256 + name in reached:
                continue
            entry = os.path.join(self._layerdb, name)
            removing = entry if name.endswith(REMOVING) else f"{entry}-{secrets.token_hex(4)}{REMOVING}"
            os.rename(entry, removing)
            directory = read_text(os.path.join(removing, "cache-id"))
            if directory:
                self.layers.drop(directory)
            remove_tree(removing)

    def _layer(self, chain_id: str) -> str:
        return os.path.join(self._layerdb, chain_id.removeprefix(SHA256))
