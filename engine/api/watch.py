"""Our own routes, below `/longshore`: what the dashboard needs and Docker's API has no word for.

    POST /longshore/do, plan, begin     {"verb", "target", "params"}
    POST /longshore/advance             {"target", "move"}
    POST /longshore/shutdown            {"containers"}: the engine ends; true: its containers first
    POST /longshore/signal              {"target", "pid", "signal"}: to one process of a container
    POST /longshore/probe               {"target"}: the health check, now
    GET  /longshore/watch               one frame a line
    GET  /longshore/steps/NAME, containers/NAME, logs/NAME, top/NAME, wait/NAME, rows, images

An error is `{"status", "message"}`. The status is in the body too because an answer 304 has no body; it is sent as 409.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from engine.api.query import body, flag
from engine.api.reply import Routes, answer, engine_of, lines
from engine.model.errors import Invalid
from engine.model.run import Move
from engine.spec.logs import check_readable

PREFIX = "/longshore/"
T = TypeVar("T")


class Ask(Struct, forbid_unknown_fields=True):
    verb: str
    target: str = ""
    params: dict[str, Any] = {}


class Shutdown(Struct, forbid_unknown_fields=True):
    containers: bool = False


class Advance(Struct, forbid_unknown_fields=True):
    target: str
    move: Move


class Signal(Struct, forbid_unknown_fields=True):
    target: str
    pid: int
    signal: str


class Target(Struct, forbid_unknown_fields=True):
    target: str


def tell(status: int, message: str) -> web.Response:
    return answer({"status": status, "message": message}, 409 if status == 304 else status)


async def _read(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.convert(await body(request), kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot read the request: {error}") from error


async def watch(request: web.Request) -> web.StreamResponse:
    """GET /longshore/watch: a snapshot, then what changes. A slow reader's backlog is coalesced by the engine's hub."""
    return await lines(request, engine_of(request).watch())


async def do(request: web.Request) -> web.Response:
    """POST /longshore/do"""
    ask = await _read(request, Ask)
    return answer(await engine_of(request).do(ask.verb, ask.target, ask.params))


async def plan(request: web.Request) -> web.Response:
    """POST /longshore/plan"""
    ask = await _read(request, Ask)
    return answer(await engine_of(request).plan(ask.verb, ask.target, ask.params))


async def begin(request: web.Request) -> web.Response:
    """POST /longshore/begin"""
    ask = await _read(request, Ask)
    return answer(await engine_of(request).begin(ask.verb, ask.target, ask.params))


async def advance(request: web.Request) -> web.Response:
    """POST /longshore/advance"""
    ask = await _read(request, Advance)
    return answer(await engine_of(request).advance(ask.target, ask.move))


async def shutdown(request: web.Request) -> web.Response:
    """POST /longshore/shutdown: answered at once; that the socket goes away says when it is done."""
    asked = await _read(request, Shutdown)
    engine_of(request).on_shutdown(asked.containers)
    return answer({"pid": os.getpid()}, 202)


async def steps(request: web.Request) -> web.Response:
    """GET /longshore/steps/NAME"""
    return answer(await engine_of(request).steps(request.match_info["name"]))


async def inspect(request: web.Request) -> web.Response:
    """GET /longshore/containers/NAME: the whole record."""
    return answer(await engine_of(request).inspect(request.match_info["name"]))


async def logs(request: web.Request) -> web.StreamResponse:
    """GET /longshore/logs/NAME?follow=&tail=&since=&until=: the times as RFC 3339."""
    engine, tail = engine_of(request), request.query.get("tail", "")
    if tail and not (tail.isascii() and tail.isdecimal()):
        raise Invalid(f"tail={tail!r} is no number of lines", "give a whole number, or leave it out for all")
    c = engine.resolve(request.match_info["name"])
    check_readable(c.host_config.log_config.type)
    lines_ = engine.logs(
        c.id,
        follow=flag(request, "follow"),
        tail=int(tail) if tail else None,
        since=_time(request, "since"),
        until=_time(request, "until"),
    )
    return await lines(request, lines_)


def _time(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name, "")
    try:
        return msgspec.convert(text, datetime) if text else None
    except msgspec.ValidationError as error:
        raise Invalid(f"{name}={text!r} is no point in time", "give it as 2026-01-31T12:00:00Z") from error


async def top(request: web.Request) -> web.Response:
    """GET /longshore/top/NAME?arguments="""
    return answer(await engine_of(request).top(request.match_info["name"], request.query.get("arguments", "-ef")))


async def signal(request: web.Request) -> web.Response:
    """POST /longshore/signal"""
    asked = await _read(request, Signal)
    await engine_of(request).signal(asked.target, asked.pid, asked.signal)
    return web.Response(status=204)


async def probe(request: web.Request) -> web.Response:
    """POST /longshore/probe"""
    return answer(await engine_of(request).probe((await _read(request, Target)).target))


async def wait(request: web.Request) -> web.Response:
    """GET /longshore/wait/NAME?condition="""
    condition = request.query.get("condition", "") or "not-running"
    return answer(await engine_of(request).wait(request.match_info["name"], condition))


async def rows(request: web.Request) -> web.Response:
    """GET /longshore/rows"""
    return answer(await engine_of(request).containers())


async def images(request: web.Request) -> web.Response:
    """GET /longshore/images"""
    return answer(await engine_of(request).images())


ROUTES: Routes = (
    ("GET", PREFIX + "watch", watch),
    ("POST", PREFIX + "do", do),
    ("POST", PREFIX + "plan", plan),
    ("POST", PREFIX + "begin", begin),
    ("POST", PREFIX + "advance", advance),
    ("POST", PREFIX + "shutdown", shutdown),
    ("GET", PREFIX + "steps/{name}", steps),
    ("GET", PREFIX + "containers/{name}", inspect),
    ("GET", PREFIX + "logs/{name}", logs),
    ("GET", PREFIX + "top/{name}", top),
    ("POST", PREFIX + "signal", signal),
    ("POST", PREFIX + "probe", probe),
    ("GET", PREFIX + "wait/{name}", wait),
    ("GET", PREFIX + "rows", rows),
    ("GET", PREFIX + "images", images),
)
