"""`/containers`: the verbs, what is told of a container, and waiting for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from engine.api import gates, listing, wire
from engine.api.query import body, flag, integer, screen
from engine.api.reply import Routes, answer, api_version, engine_of, execs_of, line, stream
from engine.core import Engine
from engine.model.container import Container, State
from engine.model.errors import Conflict, EngineError, Forbidden, Invalid, NotFound
from engine.model.image import Image
from engine.model.status import Verb
from engine.sessions import attach as terminal
from engine.spec import links
from engine.spec.legality import check_condition
from engine.waits import wait as ending

STARTED_EMPTY = 7
"""Bytes a start request's body may have: old clients send `null` or an empty object with it."""


def _name(request: web.Request) -> str:
    return request.match_info["name"]


def _container(request: web.Request) -> Container:
    """The container in the path. Raises `NotFound`, `Invalid`."""
    return engine_of(request).resolve(_name(request))


async def _do(request: web.Request, verb: Verb, **params: Any) -> web.Response:
    await engine_of(request).do(verb, _name(request), params)
    return web.Response(status=204)


async def show_all(request: web.Request) -> web.Response:
    """GET /containers/json"""
    engine = engine_of(request)
    images = {image.id: image for image in await engine.images()}
    now = engine.host.clock.now()
    chosen = listing.containers(request, engine.ledger.records.values(), images)
    names = links.given_names(engine.ledger.records)
    rows = [wire.container_summary(c, images.get(c.image), now, names.get(c.id, ())) for c in chosen]
    if flag(request, "size"):
        rows = [row | await sizes(engine, c, images.get(c.image)) for row, c in zip(rows, chosen, strict=True)]
    return answer(rows)


async def sizes(engine: Engine, c: Container, image: Image | None) -> dict[str, int]:
    """Bytes of the container's own layer, and with its image's below. Costs a walk over the layer."""
    own, _ = await engine.host.rootfs.sizes(c.layers.mount_id) if c.layers else (0, 0)
    return {"SizeRw": own, "SizeRootFs": own + (image.size if image else 0)}


async def create(request: web.Request) -> web.Response:
    """POST /containers/create"""
    engine, version = engine_of(request), api_version(request)
    settings = await body(request)
    if not isinstance(settings, dict):
        raise Invalid("config cannot be empty in order to create a container", "send the settings as a JSON object")
    platform = request.query.get("platform", "") if version >= (1, 41) else ""
    if platform and isinstance(name := settings.get("Image"), str):
        await _check_platform(request, name, platform)
    settings = gates.at(version, settings, engine.host.facts.cgroup_version)
    done = await engine.do(Verb.CREATE, "", {"name": request.query.get("name", ""), "body": settings})
    return answer({"Id": done.id, "Warnings": list(done.warnings)}, 201)


async def _check_platform(request: web.Request, name: str, platform: str) -> None:
    """Raises `NotFound` when the image is for another platform: the client then pulls the right one."""
    image = await engine_of(request).host.images.find(name)
    have = (image.os, image.architecture, image.variant)
    wanted = platform.lower().split("/")
    if any(want and want != has for want, has in zip(wanted, have, strict=False)):
        own = "/".join(part for part in have if part)
        raise NotFound(
            f"image with reference {name} was found but does not match the specified platform: wanted {platform}, actual: {own}"
        )


async def inspect(request: web.Request) -> web.Response:
    """GET /containers/{name}/json"""
    engine, c = engine_of(request), _container(request)
    shown = wire.container_inspect(c, engine.host.facts, links.shown(c, engine.ledger.records))
    shown |= {"ExecIDs": execs_of(request).of(c) or None}
    if flag(request, "size"):
        image = next((image for image in await engine.images() if image.id == c.image), None)
        shown |= await sizes(engine, c, image)
    return answer(shown)


async def start(request: web.Request) -> web.Response:
    """POST /containers/{name}/start"""
    length = request.content_length
    if request.body_exists and (length is None or length > STARTED_EMPTY) and api_version(request) >= (1, 24):
        raise Invalid("starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24")
    if request.query.get("checkpoint-dir"):
        raise Forbidden("a checkpoint directory of one's own is not supported", "leave checkpoint-dir out")
    if request.query.get("checkpoint"):
        raise Invalid("checkpoint is only supported in experimental mode", "start the container without a checkpoint")
    return await _do(request, Verb.START)


async def stop(request: web.Request) -> web.Response:
    """POST /containers/{name}/stop"""
    signal = request.query.get("signal", "") if api_version(request) >= (1, 42) else ""
    seconds = integer(request, "t")
    _container(request)
    try:
        return await _do(request, Verb.STOP, signal=signal, t=seconds)
    except (Invalid, NotFound, Conflict) as error:
        # dockerd answers 500 to whatever goes wrong inside a stop.
        raise EngineError(error.message, error.hint) from error


async def restart(request: web.Request) -> web.Response:
    """POST /containers/{name}/restart"""
    signal = request.query.get("signal", "") if api_version(request) >= (1, 42) else ""
    seconds = integer(request, "t")
    _container(request)
    try:
        return await _do(request, Verb.RESTART, signal=signal, t=seconds)
    except EngineError as error:
        # dockerd answers 500 to whatever goes wrong inside a restart.
        raise EngineError(error.message, error.hint) from error


async def rename(request: web.Request) -> web.Response:
    """POST /containers/{name}/rename"""
    return await _do(request, Verb.RENAME, name=request.query.get("name", ""))


async def update(request: web.Request) -> web.Response:
    """POST /containers/{name}/update"""
    settings = await body(request)
    done = await engine_of(request).do(Verb.UPDATE, _name(request), {"body": settings})
    return answer({"Warnings": list(done.warnings) or None})


async def top(request: web.Request) -> web.Response:
    """GET /containers/{name}/top"""
    found = await engine_of(request).top(_name(request), request.query.get("ps_args", "") or "-ef")
    return answer({"Titles": found.titles, "Processes": found.processes})


async def resize(request: web.Request) -> web.Response:
    """POST /containers/{name}/resize"""
    height, width = screen(request)
    await terminal.resize(engine_of(request), _name(request), width, height)
    return web.Response()


async def kill(request: web.Request) -> web.Response:
    """POST /containers/{name}/kill"""
    return await _do(request, Verb.KILL, signal=request.query.get("signal", ""))


async def pause(request: web.Request) -> web.Response:
    """POST /containers/{name}/pause"""
    return await _do(request, Verb.PAUSE)


async def unpause(request: web.Request) -> web.Response:
    """POST /containers/{name}/unpause"""
    return await _do(request, Verb.UNPAUSE)


async def remove(request: web.Request) -> web.Response:
    """DELETE /containers/{name}"""
    if flag(request, "link"):
        return await _unlink(request)
    return await _do(request, Verb.REMOVE, force=flag(request, "force"), v=flag(request, "v"))


async def _unlink(request: web.Request) -> web.Response:
    """`web/db` is no name of its container any more."""
    engine = engine_of(request)
    parent, slash, alias = _name(request).strip("/").partition("/")
    engine.resolve(_name(request))
    if not slash:
        raise Conflict("Conflict, cannot remove the default link name of the container", "name a link, as web/db")
    await engine.do(Verb.UPDATE, parent, {"unlink": alias})
    return web.Response(status=204)


async def wait(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/wait

    The head is sent at once: `docker run` starts the container when it has it, so by then the wait must be armed.
    """
    condition = request.query.get("condition", "") or "not-running"
    check_condition(condition)
    c = _container(request)
    waiting = asyncio.ensure_future(ending(engine_of(request).ledger, c, condition))
    try:
        await asyncio.sleep(0)  # it runs up to its first await, and is armed
        async with stream(request) as response:
            await response.write(line(await _ended(waiting)))
    finally:
        waiting.cancel()
    return response


async def _ended(waiting: Awaitable[State]) -> dict[str, Any]:
    """`Error` tells what the record says went wrong, as when it could not be started; left out where nothing did."""
    try:
        end = await waiting
        return {"StatusCode": end.exit_code} | ({"Error": {"Message": end.error}} if end.error else {})
    except EngineError as error:
        return {"StatusCode": -1, "Error": {"Message": str(error)}}


ROUTES: Routes = (
    ("GET", "/containers/json", show_all),
    ("POST", "/containers/create", create),
    ("GET", "/containers/{name:.+}/json", inspect),
    ("POST", "/containers/{name}/start", start),
    ("POST", "/containers/{name}/stop", stop),
    ("POST", "/containers/{name}/restart", restart),
    ("POST", "/containers/{name}/rename", rename),
    ("POST", "/containers/{name}/update", update),
    ("GET", "/containers/{name}/top", top),
    ("POST", "/containers/{name}/resize", resize),
    ("POST", "/containers/{name}/kill", kill),
    ("POST", "/containers/{name}/pause", pause),
    ("POST", "/containers/{name}/unpause", unpause),
    ("POST", "/containers/{name}/wait", wait),
    ("DELETE", "/containers/{name:.+}", remove),
)
