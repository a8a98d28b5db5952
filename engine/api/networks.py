"""`/networks`: what there is, made, removed, and joined to containers."""

from __future__ import annotations

import msgspec
from aiohttp import web

from engine.api import filters, wire
from engine.api.query import moment, nanoseconds
from engine.api.reply import Routes, answer, engine_of
from engine.core import Engine
from engine.model.errors import EngineError, Invalid
from engine.model.network import Network
from engine.spec.newnetwork import decode

FILTERS = filters.names("dangling driver id label name scope type")
PRUNE_FILTERS = filters.names("until label label!")
TYPES = ("custom", "builtin")


def _all(request: web.Request) -> list[Network]:
    return list(engine_of(request).networks.all.values())


def _in_use(engine: Engine) -> set[str]:
    return {e.network_id for c in engine.ledger.records.values() for e in c.plugged}


async def show_all(request: web.Request) -> web.Response:
    """GET /networks"""
    given = filters.parse(request.query.get("filters", ""), FILTERS)
    filters.one_of(given, "type", TYPES)
    dangling = filters.boolean(given, "dangling")
    used = _in_use(engine_of(request))
    return answer(
        [
            wire.network(n)
            for n in _all(request)
            if filters.any_of(given, "driver", n.driver.__eq__)
            and filters.any_of(given, "id", n.id.startswith)
            and filters.any_of(given, "name", n.name.__contains__)
            and filters.any_of(given, "scope", "local".__eq__)
            and filters.any_of(given, "type", ("builtin" if n.built_in else "custom").__eq__)
            and filters.labels(given, n.labels)
            and dangling in (None, not n.built_in and n.id not in used)
        ]
    )


async def inspect(request: web.Request) -> web.Response:
    """GET /networks/{id}: by full id, name, or unique prefix of an id."""
    engine = engine_of(request)
    return answer(wire.network(engine.networks.find(request.match_info["id"]), engine.ledger.records.values()))


async def create(request: web.Request) -> web.Response:
    """POST /networks/create"""
    body = await _body(request)
    decode(body)
    done = await engine_of(request).do("create_network", "", {"body": body})
    return answer({"Id": done.id, "Warning": "".join(done.warnings)}, status=201)


async def remove(request: web.Request) -> web.Response:
    """DELETE /networks/{id}"""
    await engine_of(request).do("remove_network", request.match_info["id"])
    return web.Response(status=204)


async def connect(request: web.Request) -> web.Response:
    """POST /networks/{id}/connect"""
    engine, body = engine_of(request), await _body(request)
    n = engine.networks.find(request.match_info["id"])
    await engine.do("connect", _container(body), {"network": n.id, "endpoint": body.get("EndpointConfig")})
    return web.Response()


async def disconnect(request: web.Request) -> web.Response:
    """POST /networks/{id}/disconnect"""
    engine, body = engine_of(request), await _body(request)
    params = {"network": request.match_info["id"], "force": bool(body.get("Force"))}
    await engine.do("disconnect", _container(body), params)
    return web.Response()


async def prune(request: web.Request) -> web.Response:
    """POST /networks/prune: every network that people made and nobody is on."""
    engine = engine_of(request)
    given = filters.parse(request.query.get("filters", ""), PRUNE_FILTERS)
    until = [moment(text, nanoseconds(engine.host.clock.now())) for text in given.get("until", ())]
    gone = []
    for n in _all(request):
        if n.built_in or n.id in _in_use(engine) or not _meant(n, given, until):
            continue
        try:
            await engine.do("remove_network", n.id)
        except EngineError:  # somebody has just joined it
            continue
        gone.append(n.name)
    engine.events.publish("network", "prune", "", {"reclaimed": "0"})
    return answer({"NetworksDeleted": gone or None})


def _meant(n: Network, given: filters.Filters, until: list[int | None]) -> bool:
    unwanted = given.get("label!")
    if unwanted and filters.labels({"label": unwanted}, n.labels):
        return False
    return all(limit is None or nanoseconds(n.created) < limit for limit in until) and filters.labels(given, n.labels)


def _container(body: dict[str, object]) -> str:
    target = body.get("Container")
    if not isinstance(target, str) or not target:
        raise Invalid("no container is named", "give its name or id as Container")
    return target


async def _body(request: web.Request) -> dict[str, object]:
    raw = await request.read()
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise Invalid(f"the request's body is not valid JSON: {error}", "send one JSON object") from error
    if not isinstance(body, dict):
        raise Invalid("the request's body is no JSON object", "send the settings as a JSON object")
    return body


ROUTES: Routes = (
    ("GET", "/networks", show_all),
    ("POST", "/networks/create", create),
    ("POST", "/networks/prune", prune),
    ("GET", "/networks/{id}", inspect),
    ("DELETE", "/networks/{id}", remove),
    ("POST", "/networks/{id}/connect", connect),
    ("POST", "/networks/{id}/disconnect", disconnect),
)
