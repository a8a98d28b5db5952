"""Upkeep: names are given and taken, images go when Docker's rules allow it, archives say what is in them."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing

from engine.events import Events
from engine.flow.ledger import Ledger
from engine.host import Forgotten, Host
from engine.images.made import Made, name_of
from engine.images.rules import Removal
from engine.model.container import Container
from engine.model.errors import EngineError, Invalid, NotFound
from engine.model.image import Image
from engine.spec import references

log = logging.getLogger(__name__)


class Upkeep:
    """What happens to the images that one engine has. `refresh` is called when they are not what they were."""

    def __init__(
        self, host: Host, ledger: Ledger[Container], events: Events, made: Made, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        self._host, self._ledger, self._events = host, ledger, events
        self._made, self._refresh = made, refresh

    async def tag(self, name: str, repository: str, tag: str = "") -> None:
        """Give an image one more name; another image that had it loses it. Raises `NotFound`, `Invalid`."""
        new = name_of(repository, tag)
        if not new:
            raise Invalid("cannot tag: no repository is named", "give repo and tag")
        image = await self._host.images.find(name)
        await self._host.images.tag(image.id, new)
        await self._made(image, "tag", new)

    async def remove(self, name: str, *, force: bool = False, prune: bool = True) -> list[dict[str, str]]:
        """What was untagged and deleted, as Docker tells it. Raises `NotFound`, `Invalid`, `Conflict`, `HostFailed`."""
        told, _ = await self._decided(lambda removal: removal.remove(name, force=force, prune=prune))
        return told

    async def prune(self, wanted: Callable[[Image], bool], *, dangling: bool = True) -> tuple[list[dict[str, str]], int]:
        """Remove the images that nobody uses, as far as `wanted`; what went, and the bytes it freed."""
        told, reclaimed = await self._decided(lambda removal: removal.prune(wanted, dangling=dangling))
        self._events.publish("image", "prune", "", {"reclaimed": str(reclaimed)})
        return told, reclaimed

    async def save(self, names: Iterable[str]) -> AsyncGenerator[bytes, None]:
        """Images as one archive: by id without names, by repository with all its tags. Raises `NotFound`, `Invalid`."""
        images = {image.id: image for image in await self._host.images.load_all()}
        chosen = to_save(names, images)
        async with aclosing(self._host.images.save((images[id], tags) for id, tags in chosen.items())) as chunks:
            async for chunk in chunks:
                yield chunk
        for id in chosen:
            self.tell("save", images[id])

    async def free_after(self, c: Container) -> None:
        """A container has gone. Its image may have gone before it, by force: then its layers are free now."""
        try:
            await self._host.images.find(c.image)
        except NotFound:
            async with self._host.images.keeping():
                log.debug("free the layers of %s", c.image)
        except EngineError as error:
            log.warning("cannot free the layers of %s: %s", c.image, error)

    async def _decided(self, decide: Callable[[Removal], None]) -> tuple[list[dict[str, str]], int]:
        """Decide by what images and containers there are in one tick, and do it; what to tell, and the bytes freed.

        Containers that are being created are among them: each is claimed in the tick in which its image was found.
        """
        removal = Removal({}, ())

        def choose(images: Mapping[str, Image]) -> Forgotten:
            nonlocal removal
            removal = Removal(images, self._ledger.records.values())
            decide(removal)
            return removal.forgotten

        freed = await self._host.images.forget(choose)
        for action, image in removal.events:
            self.tell(action, image)
        if removal.events:
            await self._refresh()
        return removal.told(freed), removal.reclaimed(freed)

    def tell(self, action: str, image: Image) -> None:
        """Publish an event. Labels are told too, but not of an image that is deleted: dockerd has lost them by then."""
        labels = dict(image.config.labels or {}) if action != "delete" else {}
        self._events.publish("image", action, image.id, labels | {"name": image.id})


def to_save(names: Iterable[str], images: Mapping[str, Image]) -> dict[str, tuple[str, ...]]:
    """Ids of the images that are meant, each with the names to save it under. Raises `NotFound`, `Invalid`."""
    chosen: dict[str, tuple[str, ...]] = {}
    for name in names:
        found: list[tuple[Image, tuple[str, ...]]] = []
        if references.as_id(name) is None and references.is_name_only(name):
            repository = references.parse(name).name + ":"
            tags = ((image, tuple(tag for tag in image.tags if tag.startswith(repository))) for image in images.values())
            found = [(image, own) for image, own in tags if own]
        if not found:
            image = references.find(name, images)
            wanted = "" if references.as_id(name) else references.parse(name).familiar
            found = [(image, (wanted,) if wanted in image.tags else ())]
        for image, own in found:
            chosen[image.id] = tuple(dict.fromkeys((*chosen.get(image.id, ()), *own)))
    if not chosen:
        raise Invalid("cannot save: no image is named", "give names or ids")
    return chosen
