"""`/containers/{name}/logs`: the lines of a container, each in a frame that says which stream it came from."""

from __future__ import annotations

from aiohttp import web

from engine.api import wire
from engine.api.query import flag, moment, nanoseconds
from engine.api.reply import Routes, api_version, closing, engine_of, stream
from engine.model.errors import Conflict, EngineError, Invalid
from engine.model.status import Status

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def tail(text: str) -> int | None:
    """How many lines; None, all, for whatever is not a number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


async def logs(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/logs"""
    engine = engine_of(request)
    wanted = {name for name in wire.STREAM_TYPE if flag(request, name)}
    if not wanted:
        raise Invalid("Bad parameters: you must choose at least one stream", "add stdout=1, stderr=1 or both")
    now = nanoseconds(engine.host.clock.now())
    since = moment(request.query.get("since", ""), now)
    until = moment(request.query.get("until", ""), now) or None
    c = engine.resolve(request.match_info["name"])
    if c.status in (Status.DEAD, Status.REMOVING):
        raise Conflict(f"can not get logs from container {c.name}, which is dead or marked for removal")
    follow = flag(request, "follow") and c.status.alive
    timestamps, details, multiplexed = flag(request, "timestamps"), flag(request, "details"), not c.config.tty
    kind = MULTIPLEXED if multiplexed and api_version(request) >= (1, 42) else RAW
    lines = engine.logs(c.id, follow=follow, tail=tail(request.query.get("tail", "")))
    async with stream(request, kind) as response, closing(lines):
        try:
            async for line in lines:
                at = nanoseconds(line.time)
                if until is not None and at > until:
                    break
                if line.stream in wanted and at >= (since or 0):
                    await response.write(wire.log_bytes(line, timestamps=timestamps, details=details, multiplexed=multiplexed))
        except EngineError as error:
            # The status is long sent: the error goes where the lines go.
            text = f"Error grabbing logs: {error}\n".encode()
            await response.write(wire.frame(wire.SYSTEM_ERROR, text) if multiplexed else text)
    return response


ROUTES: Routes = (("GET", "/containers/{name}/logs", logs),)
