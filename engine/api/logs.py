"""`/containers/{name}/logs`: the lines of a container, each in a frame that says which stream it came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from engine.api import wire
from engine.api.query import EPOCH, flag, moment, nanoseconds
from engine.api.reply import Routes, api_version, closing, engine_of, stream
from engine.api.together import Together
from engine.model.errors import Conflict, EngineError, Invalid
from engine.model.status import Status
from engine.spec.logs import check_readable

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def tail(text: str) -> int | None:
    """How many lines; None, all, for whatever is not a number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def microseconds(moment: int | None, *, up: bool = False) -> datetime | None:
    """Nanoseconds since 1970 as a time of a log, whose lines have microseconds. What lies outside all time is at its end."""
    if moment is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=-(-moment // 1000) if up else moment // 1000)
    except OverflowError:
        return (datetime.max if moment > 0 else datetime.min).replace(tzinfo=UTC)


async def logs(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/logs"""
    engine = engine_of(request)
    wanted = {name for name in wire.STREAM_TYPE if flag(request, name)}
    if not wanted:
        raise Invalid("Bad parameters: you must choose at least one stream", "add stdout=1, stderr=1 or both")
    now = nanoseconds(engine.host.clock.now())
    since = microseconds(moment(request.query.get("since", ""), now), up=True)
    until = microseconds(moment(request.query.get("until", ""), now) or None)
    c = engine.resolve(request.match_info["name"])
    if c.status in (Status.DEAD, Status.REMOVING):
        raise Conflict(f"can not get logs from container {c.name}, which is dead or marked for removal")
    check_readable(c.host_config.log_config.type)
    follow = flag(request, "follow") and c.status.alive
    timestamps, details, multiplexed = flag(request, "timestamps"), flag(request, "details"), not c.config.tty
    kind = MULTIPLEXED if multiplexed and api_version(request) >= (1, 42) else RAW
    lines = engine.logs(c.id, follow=follow, tail=tail(request.query.get("tail", "")), since=since, until=until)
    async with stream(request, kind) as response, Together(response) as together, closing(lines):
        try:
            async for line in lines:
                if line.stream in wanted:
                    await together.write(wire.log_bytes(line, timestamps=timestamps, details=details, multiplexed=multiplexed))
        except EngineError as error:
            # The status is long sent: the error goes where the lines go.
            text = f"Error grabbing logs: {error}\n".encode()
            await together.write(wire.frame(wire.SYSTEM_ERROR, text) if multiplexed else text)
    return response


ROUTES: Routes = (("GET", "/containers/{name}/logs", logs),)
