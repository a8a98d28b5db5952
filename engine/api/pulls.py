"""`/images/create`, `/images/x/push`: images from and to registries, and from tars."""

from __future__ import annotations

from aiohttp import web

from engine import logins
from engine.api.progress import told
from engine.api.reply import Routes, engine_of
from engine.host.distribution import Credentials, Platform
from engine.images.imports import Wish
from engine.model.errors import Invalid
from engine.spec import platforms, references


async def create(request: web.Request) -> web.StreamResponse:
    """POST /images/create: pull, or import. A name without a tag means all tags."""
    engine, tag = engine_of(request), request.query.get("tag", "")
    name = request.query.get("fromImage", "").removesuffix(":")
    platform = platforms.parse(request.query.get("platform", ""), engine.host.facts.architecture)
    if not name:
        return await _take(request, platform)
    who = _credentials(request)
    if not tag and references.is_name_only(name):
        reference = references.parse(name)
        return await told(request, lambda tell: engine.pulls.pull_all(reference, platform, who, tell))
    reference = references.parse(f"{name}{'@' if ':' in tag else ':'}{tag}" if tag else name)
    return await told(request, lambda tell: engine.pulls.pull(reference, platform, who, tell))


async def _take(request: web.Request, platform: Platform) -> web.StreamResponse:
    """Import a tar: the body, or what a URL leads to."""
    engine, query = engine_of(request), request.query
    source = query.get("fromSrc", "")
    if not source:
        raise Invalid("cannot make an image: nothing is named", "give fromImage to pull, or fromSrc to import")
    wish = Wish(
        source=source,
        platform=platform,
        repository=query.get("repo", ""),
        tag=query.get("tag", ""),
        comment=query.get("message", ""),
        changes=tuple(query.getall("changes", ())),
    )
    return await told(request, lambda tell: engine.imports.take(wish, request.content.iter_any(), tell))


async def push(request: web.Request) -> web.StreamResponse:
    """POST /images/{name}/push. Without a tag: all that there are."""
    engine, name, tag = engine_of(request), request.match_info["name"], request.query.get("tag", "")
    who = _credentials(request)
    if not tag and references.is_name_only(name):
        reference = references.parse(name)
        return await told(request, lambda tell: engine.pushes.push_all(reference, who, tell))
    reference = references.parse(f"{name}:{tag}" if tag else name)
    if reference.digest:
        raise Invalid(f"cannot push {reference.familiar}: cannot push a digest reference", "name a tag")
    return await told(request, lambda tell: engine.pushes.push(reference, who, tell))


def _credentials(request: web.Request) -> Credentials | None:
    return logins.from_header(request.headers.get("X-Registry-Auth", ""))


ROUTES: Routes = (
    ("POST", "/images/create", create),
    ("POST", "/images/{name:.+}/push", push),
)
