"""`/commit` and `/containers/x/export`: containers as images, and as archives."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import msgspec
from aiohttp import web

from engine.api.query import flag, raw
from engine.api.reply import Routes, answer, engine_of, stream
from engine.images.commit import Wish, writable
from engine.model.errors import Conflict, Invalid
from engine.model.settings import Config
from engine.spec.decode import decode_config


async def commit(request: web.Request) -> web.Response:
    """POST /commit. It goes on when the client goes: a container is not left half read."""
    engine, query = engine_of(request), request.query
    c = engine.resolve(query.get("container", ""))
    if c.id in engine.lessons:
        raise Conflict(f"cannot commit {c.name}: it is being walked through step by step", "wait for the lesson to end")
    wish = Wish(
        repository=query.get("repo", ""),
        tag=query.get("tag", ""),
        comment=query.get("comment", ""),
        author=query.get("author", ""),
        pause=flag(request, "pause") if query.get("pause") else True,
        changes=tuple(query.getall("changes", ())),
        config=_config(await raw(request)),
    )
    image = await asyncio.shield(engine.spawn(engine.commits.commit(c.id, wish)))
    return answer({"Id": image.id}, 201)


def _config(data: bytes) -> Config | None:
    """The settings in the body; None where there are none, or `null`."""
    if not data.strip():
        return None
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"invalid JSON: {error}") from error
    return None if found is None else decode_config(found)


async def export(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/export"""
    engine = engine_of(request)
    c = engine.resolve(request.match_info["name"])
    layers = writable(c, "export")
    async with aclosing(engine.host.trees.tar((layers.mount_id, layers.init_id, *layers.lower))) as chunks:
        first = await anext(chunks)
        engine.tell(c, "export")
        async with stream(request, "application/x-tar") as response:
            await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
            writable(engine.resolve(c.id), "export")  # or it is being removed, and the archive is not whole
    return response


ROUTES: Routes = (
    ("POST", "/commit", commit),
    ("GET", "/containers/{name}/export", export),
)
