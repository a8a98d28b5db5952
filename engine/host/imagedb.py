"""The image store's files: `image/overlay2/{imagedb,layerdb,repositories.json}`. Everything blocks and raises `OSError`.

An image needs no journal. It is committed from below: layer directory, sync, layerdb rename, image config, and
`repositories.json` last. What a crash leaves is reached by no image, and swept at the next start. References are never
counted in a file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.host.disk import (
    TEMPORARY,
    make_directories,
    make_directory,
    names,
    read_file,
    read_text,
    remove_file,
    remove_tree,
    sync_directory,
    write_file,
)
from engine.host.imageconfig import image_of
from engine.host.layers import LayerStore
from engine.host.records import REMOVING
from engine.host.syscalls import syncfs
from engine.host.unpack import outlive
from engine.model.errors import EngineError, NotFound
from engine.model.image import Image, ImageLayer, chain_ids
from engine.spec import references

SHA256: Final = "sha256:"
TAR_SPLIT: Final = "tar-split.json.gz"


class ImageDB:
    def __init__(self, root: str) -> None:
        self.layers = LayerStore(root)
        self._root = root
        self._store = os.path.join(root, "image/overlay2")
        self._content = os.path.join(self._store, "imagedb/content/sha256")
        self._metadata = os.path.join(self._store, "imagedb/metadata/sha256")
        self._layerdb = os.path.join(self._store, "layerdb/sha256")
        self._mounts = os.path.join(self._store, "layerdb/mounts")
        self._pending = os.path.join(self._store, "layerdb/tmp")
        self._repositories = os.path.join(self._store, "repositories.json")

    def prepare(self) -> None:
        """Make the directories, and remove the files that a crash left half written."""
        make_directories(self._root, 0o710)
        make_directories(self.layers.path, 0o710)
        for path in (self._content, self._metadata, self._layerdb, self._mounts, self._pending):
            make_directories(path, 0o700)
        for directory, below, files in os.walk(self._store):
            if directory == self._store:
                below.remove("layerdb")  # many, and swept with their layers
            for name in files:
                if name.endswith(TEMPORARY):
                    remove_file(os.path.join(directory, name))

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
        data = self.read_config(id)
        if SHA256 + hashlib.sha256(data).hexdigest() != id:
            raise EngineError(f"the config of image {id} has been changed")
        parent, tagged = (read_text(os.path.join(self._about(id), name)) or "" for name in ("parent", "lastUpdated"))
        return replace(image_of(id, data, self.read_layer, parent), tagged=_moment(tagged))

    def read_config(self, id: str) -> bytes:
        return read_file(os.path.join(self._content, id.removeprefix(SHA256)))

    def forget_image(self, id: str) -> None:
        remove_file(os.path.join(self._content, id.removeprefix(SHA256)))
        sync_directory(self._content)
        remove_tree(self._about(id))

    def write_image(self, config: bytes, parent: str = "") -> str:
        """Commit the config's exact bytes; the image's id."""
        name = hashlib.sha256(config).hexdigest()
        if parent:  # first: once the config is there, so is all that is known of the image
            make_directory(self._about(name), 0o700)
            write_file(os.path.join(self._about(name), "parent"), parent.encode(), 0o600)
            sync_directory(self._about(name))
            sync_directory(self._metadata)
        write_file(os.path.join(self._content, name), config, 0o600)
        sync_directory(self._content)
        return SHA256 + name

    def write_tagged(self, id: str) -> None:
        """Somebody has given the image a name, now."""
        make_directory(self._about(id), 0o700)
        write_file(os.path.join(self._about(id), "lastUpdated"), datetime.now(UTC).isoformat().encode(), 0o600)

    def _about(self, id: str) -> str:
        """The directory of what is known of an image beside its config."""
        return os.path.join(self._metadata, id.removeprefix(SHA256))

    # --- layers ------------------------------------------------------------------------------------------------------

    def cache_id(self, chain_id: str) -> str | None:
        """The directory of a layer, or None: no such layer is committed."""
        return read_text(os.path.join(self._layer(chain_id), "cache-id"))

    def read_layer(self, chain_id: str) -> ImageLayer:
        """Raises `NotFound`."""
        entry = self._layer(chain_id)
        cache_id, diff_id = (read_text(os.path.join(entry, name)) for name in ("cache-id", "diff"))
        if not cache_id or not diff_id:
            raise NotFound(f"there is no layer {chain_id}", "load or pull the image again")
        size = int(read_text(os.path.join(entry, "size")) or 0)
        return ImageLayer(diff_id=diff_id, chain_id=chain_id, cache_id=cache_id, size=size)

    def begin_layer(self, parent: str) -> str:
        """An empty layer directory on top of the parent's, noted as pending. Both by their cache ids."""
        cache_id = secrets.token_hex(32)
        make_directory(os.path.join(self._pending, cache_id), 0o755)
        self.layers.make(cache_id, parent)
        return cache_id

    def split_file(self, cache_id: str) -> str:
        """Where a pending layer's tar-split goes."""
        return os.path.join(self._pending, cache_id, TAR_SPLIT)

    def split_of(self, chain_id: str) -> str:
        return os.path.join(self._layer(chain_id), TAR_SPLIT)

    def commit_layer(self, cache_id: str, diff_id: str, size: int, parent_chain: str) -> ImageLayer:
        """The layer lasts; or the one that came first, where somebody else has committed the same meanwhile."""
        chain_id = chain_ids((parent_chain, diff_id))[-1] if parent_chain else diff_id
        pending = os.path.join(self._pending, cache_id)
        for name, text in {"cache-id": cache_id, "diff": diff_id, "parent": parent_chain, "size": str(size)}.items():
            if text:
                write_file(os.path.join(pending, name), text.encode(), 0o644)
        fd = os.open(pending, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syncfs(fd)  # all of the layer lasts before anything speaks of it
        finally:
            os.close(fd)
        try:
            os.rename(pending, self._layer(chain_id))
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        sync_directory(self._layerdb)
        return self.read_layer(chain_id)

    def sweep(self, images: list[Image]) -> tuple[str, ...]:
        """Remove what is pending, what is half gone, and layers that no image and no container stands on; their chain ids."""
        known = {image.id for image in images}
        for name in names(self._metadata):
            if SHA256 + name not in known:
                remove_tree(self._about(name))
        for cache_id in names(self._pending):
            self.drop_pending(cache_id)
        reached = {layer.chain_id for image in images for layer in image.layers} | self._under_containers()
        freed = []
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
            if references.as_id(name):
                freed.append(SHA256 + name)
        return tuple(freed)

    def drop_pending(self, cache_id: str) -> None:
        """Take a layer away that was begun and is not committed; one that is committed stays."""
        pending = os.path.join(self._pending, cache_id)
        if os.path.exists(pending):
            outlive(self.split_file(cache_id))  # or it would put files into what is taken away
            self.layers.drop(cache_id)
            remove_tree(pending)

    def _under_containers(self) -> set[str]:
        reached: set[str] = set()
        for container in names(self._mounts):
            chain_id = read_text(os.path.join(self._mounts, container, "parent"))
            while chain_id and chain_id not in reached:
                reached.add(chain_id)
                chain_id = read_text(os.path.join(self._layer(chain_id), "parent"))
        return reached

    def _layer(self, chain_id: str) -> str:
        return os.path.join(self._layerdb, chain_id.removeprefix(SHA256))


def _moment(text: str) -> datetime | None:
    """What `lastUpdated` says; None when it is not there, or cut off: it is only told, nothing depends on it."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
