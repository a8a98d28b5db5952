"""`/system/df` and the prunes: what the disk holds, and making room on it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.api import filters, listing, wire
from engine.api.containers import sizes
from engine.api.filters import Filters
from engine.api.query import moment, nanoseconds
from engine.api.reply import Routes, answer, api_version, engine_of
from engine.core import Engine
from engine.model.container import Container
from engine.model.errors import EngineError, Invalid
from engine.model.image import Image
from engine.model.status import Status, Verb
from engine.spec import links

log = logging.getLogger(__name__)

KINDS = ("container", "image", "volume", "build-cache")
IMAGE_FILTERS = filters.names("dangling until label label!")
CONTAINER_FILTERS = filters.names("until label label!")


async def usage(request: web.Request) -> web.Response:
    """GET /system/df. `type`: only these; the others are null. There are no volumes and no build cache yet."""
    engine = engine_of(request)
    asked = request.query.getall("type", ()) if api_version(request) >= (1, 42) else ()
    if unknown := next((kind for kind in asked if kind not in KINDS), None):
        raise Invalid(f"unknown object type: {unknown}", f"take of {', '.join(KINDS)}")
    kinds = asked or KINDS
    images = {image.id: image for image in await engine.images()}
    layers = {layer.chain_id: layer.size for image in images.values() for layer in image.layers}
    return answer(
        {
            "LayersSize": sum(layers.values()) if "image" in kinds else 0,
            "Images": _images(engine, images) if "image" in kinds else None,
            "Containers": await _containers(engine, images) if "container" in kinds else None,
            "Volumes": [] if "volume" in kinds else None,
            "BuildCache": [] if "build-cache" in kinds else None,
        }
    )


def _images(engine: Engine, images: Mapping[str, Image]) -> list[wire.Json]:
    uses = Counter(layer.chain_id for image in images.values() for layer in image.layers)
    users = Counter(c.image for c in engine.ledger.records.values())
    parents = {image.parent for image in images.values()}
    return [
        wire.image_summary(image, wire.shared_size(image, uses), users[image.id])
        for image in listing.newest_first(images.values())
        if image.tags or image.digests or image.id not in parents
    ]


async def _containers(engine: Engine, images: Mapping[str, Image]) -> list[wire.Json]:
    now = engine.host.clock.now()
    records = sorted(engine.ledger.records.values(), key=lambda c: c.created, reverse=True)
    found = await asyncio.gather(*(sizes(engine, c, images.get(c.image)) for c in records))
    rows = zip(records, found, strict=True)
    names = links.given_names(engine.ledger.records)
    return [wire.container_summary(c, images.get(c.image), now, names.get(c.id, ())) | own for c, own in rows]


async def prune_images(request: web.Request) -> web.Response:
    """POST /images/prune: images without a tag, or with `dangling=false` all, that no container uses."""
    engine = engine_of(request)
    given = filters.parse(request.query.get("filters", ""), IMAGE_FILTERS)
    dangling, until = filters.boolean(given, "dangling"), _until(engine, given)

    def wanted(image: Image) -> bool:
        made = nanoseconds(image.created) if image.created else None
        return (until is None or (made is not None and made <= until)) and filters.labels(given, image.config.labels or {})

    work = engine.spawn(engine.upkeep.prune(wanted, dangling=dangling is not False))
    deleted, reclaimed = await asyncio.shield(work)
    return answer({"ImagesDeleted": deleted or None, "SpaceReclaimed": reclaimed})


async def prune_containers(request: web.Request) -> web.Response:
    """POST /containers/prune: those that do not run."""
    engine = engine_of(request)
    given = filters.parse(request.query.get("filters", ""), CONTAINER_FILTERS)
    until = _until(engine, given)
    chosen = [
        c
        for c in engine.ledger.records.values()
        if not c.status.up
        and c.status is not Status.CREATING
        and (until is None or nanoseconds(c.created) <= until)
        and filters.labels(given, c.config.labels or {})
    ]
    return answer(await asyncio.shield(engine.spawn(_prune(engine, chosen))))


async def _prune(engine: Engine, chosen: list[Container]) -> dict[str, Any]:
    """Remove containers one by one. One that cannot be removed, or runs by now, stays."""
    deleted, reclaimed = [], 0
    for c in chosen:
        try:
            own, _ = await engine.host.rootfs.sizes(c.layers.mount_id) if c.layers else (0, 0)
            await engine.do(Verb.REMOVE, c.id)
        except EngineError as error:
            log.warning("cannot prune %s: %s", c.name, error)
        else:
            deleted.append(c.id)
            reclaimed += own
    engine.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
    return {"ContainersDeleted": deleted or None, "SpaceReclaimed": reclaimed}


def _until(engine: Engine, given: Filters) -> int | None:
    """Nanoseconds since 1970: only what was made before goes. Raises `Invalid`."""
    values = given.get("until", ())
    if len(values) > 1:
        raise Invalid("more than one until filter specified", "give one")
    return moment(values[0], nanoseconds(engine.host.clock.now())) if values else None


ROUTES: Routes = (
    ("GET", "/system/df", usage),
    ("POST", "/images/prune", prune_images),
    ("POST", "/containers/prune", prune_containers),
)
