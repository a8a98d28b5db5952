"""`/images/create`, `/images/x/push`: images from and to registries."""

from __future__ import annotations

from aiohttp import web

from engine.api.progress import told
from engine.api.reply import Routes, engine_of
from engine.host.distribution import Credentials
from engine.host.registry import credentials
from engine.model.errors import Invalid, NotBuilt
from engine.spec import platforms, references


async def create(request: web.Request) -> web.StreamResponse:
    """POST /images/create: pull. A name without a tag means all tags."""
    if request.query.get("fromSrc"):
        raise NotBuilt("importing an image from a tar is not supported by longshored yet", "load an archive instead")
    engine, tag = engine_of(request), request.query.get("tag", "")
    name = request.query.get("fromImage", "").removesuffix(":")
    if not name:
        raise Invalid("cannot pull: no image is named", "give fromImage")
    platform = platforms.parse(request.query.get("platform", ""), engine.host.facts.architecture)
    who = _credentials(request)
    if not tag and references.is_name_only(name):
        reference = references.parse(name)
        return await told(request, lambda tell: engine.pulls.pull_all(reference, platform, who, tell))
    reference = references.parse(f"{name}{'@' if ':' in tag else ':'}{tag}" if tag else name)
    return await told(request, lambda tell: engine.pulls.pull(reference, platform, who, tell))


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
    return credentials.from_header(request.headers.get("X-Registry-Auth", ""))


ROUTES: Routes = (
    ("POST", "/images/create", create),
    ("POST", "/images/{name:.+}/push", push),
)
