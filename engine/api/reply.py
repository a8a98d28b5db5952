"""What every handler starts from and ends with: the engine, and the ways to answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from aiohttp import hdrs, web

from engine import API_VERSION
from engine.core import Engine
from engine.sessions.execs import Execs

log = logging.getLogger(__name__)
T = TypeVar("T")

ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
EXECS: web.AppKey[Execs] = web.AppKey("execs", Execs)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Routes = tuple[tuple[str, str, Handler], ...]
"""Method, path, handler."""


def engine_of(request: web.Request) -> Engine:
    return request.app[ENGINE]


def execs_of(request: web.Request) -> Execs:
    return request.app[EXECS]


def version_of(text: str) -> tuple[int, ...]:
    """`1.43` as numbers that compare."""
    return tuple(int(part) for part in text.split(".") if part)


def api_version(request: web.Request) -> tuple[int, ...]:
    """The version in the path, or ours."""
    return version_of(request.match_info.get("version") or API_VERSION)


def line(value: Any) -> bytes:
    """JSON and a newline: dockerd ends every body with one."""
    return msgspec.json.encode(value) + b"\n"


def answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=line(value), content_type="application/json")


@asynccontextmanager
async def stream(request: web.Request, content_type: str = "application/json") -> AsyncIterator[web.StreamResponse]:
    """An answer in pieces. Its head is sent at once, so a failure after it can only cut the connection: the reader then
    knows that the answer is not whole."""
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: content_type})
    await response.prepare(request)
    try:
        yield response
    except ConnectionResetError:
        log.debug("the reader of %s has gone", request.path)
    except Exception:
        log.exception("cannot go on with the answer to %s", request.path)
        if request.transport:
            request.transport.abort()


@asynccontextmanager
async def closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close the iterator at the end, however it comes: what it holds is free at once, not when memory is tidied."""
    try:
        yield items
    finally:
        if close := getattr(items, "aclose", None):
            await close()


async def lines(request: web.Request, items: AsyncIterator[Any]) -> web.StreamResponse:
    """Stream one JSON object a line."""
    async with stream(request) as response, closing(items):
        async for item in items:
            await response.write(line(item))
    return response
