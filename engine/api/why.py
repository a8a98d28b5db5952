"""GET /longshore/why?from=&to=&port=&protocol=&family=: why can one end not reach another?"""

from __future__ import annotations

from aiohttp import web

from engine.api.query import integer
from engine.api.reply import Routes, answer, engine_of
from engine.model.errors import Invalid
from engine.why import Why


async def why(request: web.Request) -> web.Response:
    """GET /longshore/why"""
    source, target = (request.query.get(name, "") for name in ("from", "to"))
    if not source or not target:
        raise Invalid("two ends are needed", "give ?from= and &to=")
    protocol = request.query.get("protocol", "")
    port, family = integer(request, "port") or 0, integer(request, "family")
    return answer(await Why(engine_of(request)).why(source, target, port, protocol, family=family))


OUR_ROUTES: Routes = (("GET", "/longshore/why", why),)
