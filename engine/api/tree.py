"""The files of containers and images: `docker diff`, and below `/longshore/tree` what the dashboard shows of layers.

GET /containers/{name}/changes
GET /longshore/tree/stack, listing, content, changes    ?target=, and for listing and content &path=
GET /longshore/tree/compare                             ?first=&second=
"""

from __future__ import annotations

from aiohttp import web

from engine.api.reply import Routes, answer, engine_of
from engine.files import Files
from engine.model.errors import Invalid
from engine.model.tree import to_name

PREFIX = "/longshore/tree/"


async def docker_changes(request: web.Request) -> web.Response:
    """GET /containers/{name}/changes"""
    engine = engine_of(request)
    found = await Files(engine).changes(engine.resolve(request.match_info["name"]).id)
    return answer([{"Path": _docker_text(change.path), "Kind": change.kind} for change in found] or None)


def _docker_text(path: str) -> str:
    """Go's JSON has the replacement character for what is no UTF-8."""
    return to_name(path).encode(errors="surrogateescape").decode(errors="replace")


async def stack(request: web.Request) -> web.Response:
    """GET /longshore/tree/stack"""
    return answer(await Files(engine_of(request)).stack(_asked(request, "target")))


async def listing(request: web.Request) -> web.Response:
    """GET /longshore/tree/listing"""
    return answer(await Files(engine_of(request)).listing(_asked(request, "target"), _asked(request, "path")))


async def content(request: web.Request) -> web.Response:
    """GET /longshore/tree/content"""
    return answer(await Files(engine_of(request)).content(_asked(request, "target"), _asked(request, "path")))


async def changes(request: web.Request) -> web.Response:
    """GET /longshore/tree/changes"""
    return answer(await Files(engine_of(request)).changes(_asked(request, "target")))


async def compare(request: web.Request) -> web.Response:
    """GET /longshore/tree/compare"""
    return answer(await Files(engine_of(request)).compare(_asked(request, "first"), _asked(request, "second")))


def _asked(request: web.Request, name: str) -> str:
    text = request.query.get(name, "")
    if not text:
        raise Invalid(f"{name} is missing", f"give ?{name}=")
    return text


ROUTES: Routes = (("GET", "/containers/{name}/changes", docker_changes),)
OUR_ROUTES: Routes = (
    ("GET", PREFIX + "stack", stack),
    ("GET", PREFIX + "listing", listing),
    ("GET", PREFIX + "content", content),
    ("GET", PREFIX + "changes", changes),
    ("GET", PREFIX + "compare", compare),
)
