"""The application: every route with and without `/vX.Y`, the version gate, the headers, and errors as Docker says them."""

from __future__ import annotations

import logging

from aiohttp import hdrs, web

from engine import API_VERSION, MIN_API_VERSION, __version__
from engine.api import (
    attach,
    auth,
    commits,
    containers,
    execs,
    images,
    logs,
    networks,
    pulls,
    stats,
    system,
    tree,
    unbuilt,
    usage,
    watch,
    why,
    wires,
)
from engine.api.query import MAX_BODY
from engine.api.reply import ENGINE, EXECS, Handler, answer, api_version, version_of
from engine.core import Engine
from engine.model.errors import EngineError, Invalid
from engine.sessions.execs import Execs

log = logging.getLogger(__name__)

HEADERS = {
    hdrs.SERVER: f"Docker/{__version__} (linux)",
    "Api-Version": API_VERSION,
    "Ostype": "linux",
    "Docker-Experimental": "false",
}


def build(engine: Engine, its_execs: Execs) -> web.Application:
    """All routes on an engine."""
    app = web.Application(middlewares=[errors, gate], client_max_size=MAX_BODY)
    app[ENGINE], app[EXECS] = engine, its_execs
    app.on_response_prepare.append(_add_headers)
    for nouns in (system, containers, commits, attach, execs, logs, images, pulls, networks, stats, tree, auth, usage, unbuilt):
        for method, path, handler in nouns.ROUTES:
            app.router.add_route(method, path, handler)
            app.router.add_route(method, "/v{version:[0-9]+[.][0-9]+}" + path, handler)
    for method, path, handler in (*watch.ROUTES, *tree.OUR_ROUTES, *why.OUR_ROUTES, *wires.ROUTES):
        app.router.add_route(method, path, handler)
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An error becomes its status and a message. One that nobody foresaw is logged and told in a sentence."""
    try:
        return await handler(request)
    except EngineError as error:
        return _tell(request, error.status, str(error))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return _tell(request, 404, "page not found")
    except web.HTTPException as error:
        return _tell(request, error.status, error.reason)
    except ConnectionResetError:
        raise
    except Exception as error:
        what = f"cannot answer {request.method} {request.path}"
        log.exception(what)
        return _tell(request, 500, f"{what}: a defect of the engine ({type(error).__name__}: {error}); its log tells more")


def _tell(request: web.Request, status: int, message: str) -> web.Response:
    if request.path.startswith(watch.PREFIX):
        return watch.tell(status, message)
    if status == 304:
        return web.Response(status=304)
    if api_version(request) < (1, 24):
        return web.Response(status=status, text=message + "\n")
    return answer({"message": message}, status)


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a client from before or after our time."""
    asked = request.match_info.get("version", API_VERSION)
    if version_of(asked) > version_of(API_VERSION):
        raise Invalid(f"client version {asked} is too new. Maximum supported API version is {API_VERSION}")
    if version_of(asked) < version_of(MIN_API_VERSION):
        raise Invalid(f"client version {asked} is too old. Minimum supported API version is {MIN_API_VERSION}")
    return await handler(request)
