"""Which containers and images a list shows, and in what order (reference 11.2). Pure but for the request's query."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase

from aiohttp import web
from msgspec.structs import replace

from engine.api import filters, wire
from engine.api.filters import Filters
from engine.api.query import flag, integer, moment, nanoseconds
from engine.model.container import NEVER, Container
from engine.model.errors import Invalid, NotFound
from engine.model.image import Image
from engine.model.status import Status
from engine.spec.ports import exposed
from engine.spec.wiring import mode

CONTAINER_FILTERS = filters.names(
    "ancestor before exited expose health id is-task isolation label name network publish since status volume"
)
IMAGE_FILTERS = filters.names("before dangling label reference since until")

STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
HEALTHS = ("starting", "healthy", "unhealthy", "none")

Match = Callable[[Container], bool]


def containers(request: web.Request, records: Collection[Container], images: Mapping[str, Image]) -> list[Container]:
    """The containers `docker ps` shows for these query values, newest first."""
    given = filters.parse(request.query.get("filters", ""), CONTAINER_FILTERS)
    limit = integer(request, "limit") or 0
    everything = flag(request, "all") or limit > 0 or "status" in given
    matches = _container_filters(given, records, images)
    newest = sorted(records, key=lambda c: c.created, reverse=True)
    chosen = [c for c in newest if (everything or c.status.up) and all(match(c) for match in matches)]
    return chosen[:limit] if limit > 0 else chosen


def _container_filters(given: Filters, records: Collection[Container], images: Mapping[str, Image]) -> list[Match]:
    """One function for each filter. Raises `Invalid`, `NotFound`."""
    filters.one_of(given, "status", STATUSES)
    filters.one_of(given, "health", HEALTHS)
    codes = [_whole(code) for code in given.get("exited", ())]
    before = [_created(text, records) for text in given.get("before", ())]
    since = [_created(text, records) for text in given.get("since", ())]
    ports = {port for text in given.get("expose", ()) for port in _ports(text)}
    published = {port for text in given.get("publish", ()) for port in _ports(text)}
    ancestors = {id for text in given.get("ancestor", ()) for id, image in images.items() if wire.answers_to(image, text)}
    is_task = filters.boolean(given, "is-task")
    matches: dict[str, Match] = {
        "id": lambda c: filters.any_of(given, "id", lambda text: filters.pattern(text, c.id)),
        "name": lambda c: filters.any_of(given, "name", lambda text: filters.pattern(text, c.name, "/" + c.name)),
        "status": lambda c: wire.keyword(c) in given["status"],
        "health": lambda c: (c.state.health.status if c.state.health else "none") in given["health"],
        "network": lambda c: filters.any_of(given, "network", lambda text: _on_network(c, text)),
        "label": lambda c: filters.labels(given, c.config.labels or {}),
        "exited": lambda c: c.status is Status.EXITED and c.state.exit_code in codes,
        "before": lambda c: all(c.created < moment for moment in before),
        "since": lambda c: all(c.created > moment for moment in since),
        "ancestor": lambda c: c.image in ancestors,
        "expose": lambda c: any(port in ports for port in exposed(c.config)),
        "publish": lambda c: any((p.host_port, p.protocol) in published for p in c.ports),
        # No container has a volume or a swarm task yet, so nothing matches these.
        "volume": lambda c: False,
        "is-task": lambda c: not is_task,
        # Isolation is a matter of Windows; dockerd on Linux takes it for no filter at all.
        "isolation": lambda c: True,
    }
    return [matches[key] for key, values in given.items() if values]


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise Invalid(f"invalid filter 'exited={text}'", "give an exit code such as 0 or 137")
    return int(text)


def _created(text: str, records: Collection[Container]) -> datetime:
    found = next((c for c in records if text in (c.id, c.name, "/" + c.name)), None)
    found = found or next((c for c in records if text and c.id.startswith(text)), None)
    if found is None:
        raise NotFound(f"No such container: {text}")
    return found.created


def _ports(text: str) -> list[tuple[int, str]]:
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", text.lower())
    if not match or not 0 < int(match[1]) <= int(match[2] or match[1]) <= 65535:
        raise Invalid(f"{text!r} is no port", "give 80, 80/udp or 8000-8010/tcp")
    return [(port, match[3] or "tcp") for port in range(int(match[1]), int(match[2] or match[1]) + 1)]


def _on_network(c: Container, text: str) -> bool:
    if text == mode(c) or text in c.networks:
        return True
    return any(text == e.network or bool(text and e.network_id.startswith(text)) for e in c.plugged)


def images(request: web.Request, have: Collection[Image], now: int) -> list[Image]:
    """The images `docker images` shows for these query values, newest first."""
    given = filters.parse(request.query.get("filters", ""), IMAGE_FILTERS)
    dangling = filters.boolean(given, "dangling")
    before = [_image_time(text, have) for text in given.get("before", ())]
    since = [_image_time(text, have) for text in given.get("since", ())]
    until = [moment(text, now) or 0 for text in given.get("until", ())]
    everything, parents = flag(request, "all"), {image.parent for image in have}
    chosen = [
        image
        for image in newest_first(have)
        if (everything or image.tags or image.digests or image.id not in parents)
        and (dangling is None or (not image.tags if dangling else image.tags or image.digests))
        and all(_made(image) < time for time in before)
        and all(_made(image) > time for time in since)
        and all(_made(image) <= time for time in until)
        and filters.labels(given, image.config.labels or {})
    ]
    return [named for image in chosen if (named := _known_as(image, given.get("reference", ())))]


def newest_first(images: Iterable[Image]) -> list[Image]:
    return sorted(images, key=_made, reverse=True)


def _made(image: Image) -> int:
    return nanoseconds(image.created or NEVER)


def _image_time(text: str, have: Collection[Image]) -> int:
    found = next((image for image in have if wire.answers_to(image, text)), None)
    if found is None:
        raise NotFound(f"No such image: {text}")
    return _made(found)


def _known_as(image: Image, patterns: Collection[str]) -> Image | None:
    """The image with those of its names that match, with or without tag or digest; None without any. No patterns: as it is."""
    if not patterns:
        return image
    tags = tuple(tag for tag in image.tags if _matches((tag, tag.rpartition(":")[0]), patterns))
    digests = tuple(name for name in image.digests if _matches((name, name.partition("@")[0]), patterns))
    return replace(image, tags=tags, digests=digests) if tags or digests else None


def _matches(forms: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(form, p) and form.count("/") == p.count("/") for form in forms for p in patterns)
