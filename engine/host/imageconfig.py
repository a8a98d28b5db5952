"""An image's config: what its JSON says (OCI image-spec, config.md; Docker's keys beside it)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from engine.model.errors import Invalid
from engine.model.image import Image, ImageLayer, chain_ids
from engine.model.settings import Config
from engine.spec import references


class History(Struct):
    """One instruction that the image was made by."""

    created: datetime | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool = False
    """It made no layer."""


class _Root(Struct):
    type: str = "layers"
    diff_ids: tuple[str, ...] | None = None


class ImageConfig(Struct):
    """As it lies in archives and in the store."""

    rootfs: _Root
    architecture: str = ""
    os: str = "linux"
    os_version: str = field(default="", name="os.version")
    variant: str = ""
    created: datetime | None = None
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    container: str = ""
    """Id of the container that it was committed from."""
    container_config: Config | None = None
    config: Config | None = None
    history: tuple[History, ...] | None = None

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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the image's config is not as it should be: {error}") from error
    wrong = next((each for each in config.diff_ids if references.as_id(each) != each), None)
    if wrong is not None:
        raise Invalid(f"the image's config names a layer {wrong!r}, which is no sha256 digest")
    return config


class _Created(Struct):
    created: str | None = None


def created_text(data: bytes) -> str:
    """When the image was made, as its config says: to the nanosecond, in its own time zone. Empty where it does not."""
    return msgspec.json.decode(data, type=_Created).created or ""


def image_of(id: str, data: bytes, layer: Callable[[str], ImageLayer], parent: str = "") -> Image:
    """The image a config describes. `layer` looks a layer up by its chain id. Raises `Invalid`."""
    config = decode_config(data)
    made_by = config.created_by
    layers = [layer(chain_id) for chain_id in chain_ids(config.diff_ids)]
    return Image(
        id=id,
        parent=parent,
        created=config.created,
        architecture=config.architecture,
        variant=config.variant,
        os=config.os,
        author=config.author,
        comment=config.comment,
        docker_version=config.docker_version,
        config=config.config or Config(),
        layers=tuple(replace(each, created_by=by) for each, by in zip(layers, made_by + [""] * len(layers), strict=False)),
    )
