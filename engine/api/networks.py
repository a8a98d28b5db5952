"""`/networks`: what there is. Nothing can be changed here yet."""

from __future__ import annotations

from aiohttp import web

from engine.api import filters, wire
from engine.api.reply import Routes, answer, engine_of
from engine.model.network import Network

FILTERS = filters.names("dangling driver id label name scope type")
TYPES = ("custom", "builtin")


def _all(request: web.Request) -> list[Network]:
    return list(engine_of(request).networks.all.values())


async def show_all(request: web.Request) -> web.Response:
    """GET /networks"""
    given = filters.parse(request.query.get("filters", ""), FILTERS)
    filters.one_of(given, "type", TYPES)
    dangling = filters.boolean(given, "dangling")
    used = {e.network_id for c in engine_of(request).ledger.records.values() for e in c.plugged}
    return answer(
        [
            wire.network(n)
            for n in _all(request)
            if filters.any_of(given, "driver", n.driver.__eq__)
            and filters.any_of(given, "id", n.id.startswith)
            and filters.any_of(given, "name", n.name.__contains__)
            and filters.any_of(given, "scope", "local".__eq__)
            and filters.any_of(given, "type", "builtin".__eq__)
            and filters.labels(given, {})
            and dangling in (None, n.id not in used)
        ]
    )


async def inspect(request: web.Request) -> web.Response:
    """GET /networks/{id}: by full id, name, or unique prefix of an id."""
    engine = engine_of(request)
    return answer(wire.network(engine.networks.find(request.match_info["id"]), engine.ledger.records.values()))


ROUTES: Routes = (("GET", "/networks", show_all), ("GET", "/networks/{id}", inspect))
