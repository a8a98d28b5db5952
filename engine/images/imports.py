"""Import: one tar, such as `docker export` makes, becomes an image of one layer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from engine.host import Host
from engine.host.distribution import Platform
from engine.host.download import opened
from engine.images.made import Made, name_of
from engine.images.progress import Line, Meter, Tell
from engine.model.image import Image
from engine.model.settings import Config
from engine.spec.changes import apply
from engine.spec.newimage import imported

BODY: Final = "-"
"""The source that stands for the request's own body."""


class Wish(Struct, frozen=True, kw_only=True):
    """What somebody wants of an import."""

    source: str
    """`-`, or a URL."""
    platform: Platform
    repository: str = ""
    tag: str = ""
    comment: str = ""
    """Empty: where it came from."""
    changes: tuple[str, ...] = ()
    """Instructions of a Dockerfile."""


class Imports:
    """All imports of one engine."""

    def __init__(self, host: Host, made: Made) -> None:
        self._host, self._made = host, made

    async def take(self, wish: Wish, body: AsyncIterator[bytes], tell: Tell) -> Image:
        """Make an image of a tar, plain or compressed. Raises `Invalid`, `NotFound`, `Unavailable`, `HostFailed`."""
        name, config = name_of(wish.repository, wish.tag), apply(wish.changes, Config())
        if wish.source == BODY:
            image = await self._add(wish, config, name, body, None)
        else:
            async with opened(wish.source) as source:
                tell(Line(status=f"Downloading from {source.url}"))
                image = await self._add(wish, config, name, source.chunks, Meter(tell, "Importing", "", source.size))
        if name:
            await self._made(image, "tag", name)
        await self._made(image, "import", image.id)
        tell(Line(status=image.id))
        return image

    async def _add(self, wish: Wish, config: Config, name: str, chunks: AsyncIterator[bytes], report: Meter | None) -> Image:
        images = self._host.images
        async with images.keeping():
            layer = await images.add_layer("", "", chunks, report)
            data = imported(
                layer.diff_id,
                config,
                comment=wish.comment or f"Imported from {wish.source}",
                system=wish.platform.os,
                architecture=wish.platform.architecture,
                variant=wish.platform.variant,
                now=self._host.clock.now(),
            )
            return await images.add_image(data, (name,) if name else (), named=bool(name))
