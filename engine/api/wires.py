"""A cable from end to end, for the dashboard.

GET /longshore/wire/{container}?network=
"""

from __future__ import annotations

from aiohttp import web

from engine.api.reply import Routes, answer, engine_of
from engine.wires import Wires


async def cable(request: web.Request) -> web.Response:
    """GET /longshore/wire/{container}"""
    asked = request.match_info["container"], request.query.get("network", "")
    return answer(await Wires(engine_of(request)).cable(*asked))


ROUTES: Routes = (("GET", "/longshore/wire/{container}", cable),)
