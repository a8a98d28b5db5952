"""`/images`: what there is, names, removal, and archives in and out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web

from engine.api import listing, wire
from engine.api.query import flag, nanoseconds
from engine.api.reply import Routes, answer, api_version, closing, engine_of, stream
from engine.core import Engine
from engine.host.imageconfig import created_text, decode_config
from engine.model.errors import EngineError

NAMELESS = {"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
LOADED = ("Loaded image: ", "Loaded image ID: ")


async def show_all(request: web.Request) -> web.Response:
    """GET /images/json"""
    engine = engine_of(request)
    have = await engine.images()
    chosen = listing.images(request, have, nanoseconds(engine.host.clock.now()))
    uses = Counter(layer.chain_id for image in have for layer in image.layers)
    shared = flag(request, "shared-size")
    rows = [wire.image_summary(image, wire.shared_size(image, uses) if shared else wire.UNKNOWN) for image in chosen]
    if api_version(request) < (1, 43):  # older clients know an image without a name by these words only
        rows = [row if row["RepoTags"] or row["RepoDigests"] else row | NAMELESS for row in rows]
    return answer(rows)


async def inspect(request: web.Request) -> web.Response:
    """GET /images/{name}/json"""
    host = engine_of(request).host
    image = await host.images.find(request.match_info["name"])
    data = await host.images.config(image.id)
    return answer(wire.image_inspect(image, decode_config(data), created_text(data), host.facts))


async def history(request: web.Request) -> web.Response:
    """GET /images/{name}/history: every instruction, newest first."""
    images = engine_of(request).host.images
    image = await images.find(request.match_info["name"])
    config = decode_config(await images.config(image.id))
    return answer(wire.image_history(image, config.history or (), {each.id: each for each in await images.load_all()}))


async def tag(request: web.Request) -> web.Response:
    """POST /images/{name}/tag"""
    engine, query = engine_of(request), request.query
    work = engine.upkeep.tag(request.match_info["name"], query.get("repo", ""), query.get("tag", ""))
    await asyncio.shield(engine.spawn(work))
    return web.Response(status=201)


async def remove(request: web.Request) -> web.Response:
    """DELETE /images/{name}"""
    engine, force, prune = engine_of(request), flag(request, "force"), not flag(request, "noprune")
    work = engine.upkeep.remove(request.match_info["name"], force=force, prune=prune)
    return answer(await asyncio.shield(engine.spawn(work)))


async def save(request: web.Request) -> web.StreamResponse:
    """GET /images/get and /images/{name}/get. What fails before the first byte has a status, later the connection is cut."""
    name = request.match_info.get("name")
    names = [name] if name else request.query.getall("names", [])
    async with closing(engine_of(request).upkeep.save(names)) as chunks:
        first = await anext(chunks)
        async with stream(request, "application/x-tar") as response:
            await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
    return response


async def load(request: web.Request) -> web.StreamResponse:
    """POST /images/load: a `docker save` archive. What fails before the first line has a status, later it is a line."""
    engine = engine_of(request)
    told: set[str] = set()
    async with closing(engine.host.images.load(_chunks(request))) as texts:
        text = await anext(texts, None)
        async with stream(request) as response:
            try:
                while text is not None:
                    await _loaded(engine, text, told)
                    await response.write(wire.progress({"stream": text + "\n"}))
                    text = await anext(texts, None)
            except EngineError as error:
                await response.write(wire.progress({"errorDetail": {"message": str(error)}, "error": str(error)}))
    return response


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


async def _loaded(engine: Engine, text: str, told: set[str]) -> None:
    """Tell of an image that has come, where the line is about one; of each once, however many names it has."""
    name = next((text.removeprefix(start) for start in LOADED if text.startswith(start)), "").strip()
    if name:
        await engine.refresh_images()
        image = await engine.host.images.find(name)
        if image.id not in told:
            engine.upkeep.tell("load", image)
            told.add(image.id)


ROUTES: Routes = (
    ("GET", "/images/json", show_all),
    ("GET", "/images/{name:.+}/json", inspect),
    ("GET", "/images/{name:.+}/history", history),
    ("POST", "/images/load", load),
    ("GET", "/images/get", save),
    ("GET", "/images/{name:.+}/get", save),
    ("POST", "/images/{name:.+}/tag", tag),
    ("DELETE", "/images/{name:.+}", remove),
)
