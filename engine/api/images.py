"""`/images`: what there is, and loading an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web

from engine.api import listing, wire
from engine.api.query import flag, nanoseconds
from engine.api.reply import Routes, answer, closing, engine_of, stream
from engine.core import Engine
from engine.model.errors import EngineError

UNKNOWN = -1
LOADED = ("Loaded image: ", "Loaded image ID: ")


async def show_all(request: web.Request) -> web.Response:
    """GET /images/json"""
    engine = engine_of(request)
    have = await engine.images()
    chosen = listing.images(request, have, nanoseconds(engine.host.clock.now()))
    uses = Counter(layer.chain_id for image in have for layer in image.layers)
    shared = flag(request, "shared-size")
    return answer([wire.image_summary(image, wire.shared_size(image, uses) if shared else UNKNOWN) for image in chosen])


async def inspect(request: web.Request) -> web.Response:
    """GET /images/{name}/json"""
    engine = engine_of(request)
    return answer(wire.image_inspect(await engine.host.images.find(request.match_info["name"]), engine.host.facts))


async def history(request: web.Request) -> web.Response:
    """GET /images/{name}/history: the layers, newest first. Instructions that made no layer are not kept."""
    image = await engine_of(request).host.images.find(request.match_info["name"])
    return answer(wire.image_history(image))


async def load(request: web.Request) -> web.StreamResponse:
    """POST /images/load: a `docker save` archive. What fails before the first line has a status, later it is a line."""
    engine = engine_of(request)
    async with closing(engine.host.images.load(_chunks(request))) as texts:
        text = await anext(texts, None)
        async with stream(request) as response:
            try:
                while text is not None:
                    await _loaded(engine, text)
                    await response.write(wire.progress({"stream": text + "\n"}))
                    text = await anext(texts, None)
            except EngineError as error:
                await response.write(wire.progress({"errorDetail": {"message": str(error)}, "error": str(error)}))
    return response


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


async def _loaded(engine: Engine, text: str) -> None:
    """Tell of an image that has come, where the line is about one."""
    name = next((text.removeprefix(start) for start in LOADED if text.startswith(start)), "").strip()
    if name:
        await engine.refresh_images()
        image = await engine.host.images.find(name)
        engine.events.publish("image", "load", image.id, {"name": name})


ROUTES: Routes = (
    ("GET", "/images/json", show_all),
    ("GET", "/images/{name:.+}/json", inspect),
    ("GET", "/images/{name:.+}/history", history),
    ("POST", "/images/load", load),
)
