"""`/auth`: does a registry take this login?"""

from __future__ import annotations

from aiohttp import web

from engine import logins
from engine.api.query import body
from engine.api.reply import Routes, answer, engine_of


async def login(request: web.Request) -> web.Response:
    """POST /auth. Nothing is kept: that is the client's part."""
    server, given = logins.from_body(await body(request))
    await engine_of(request).host.registry.login(server, given)
    return answer({"Status": "Login Succeeded", "IdentityToken": ""})


ROUTES: Routes = (("POST", "/auth", login),)
