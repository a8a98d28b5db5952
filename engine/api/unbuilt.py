"""Routes of the Docker Engine API 1.43 that do nothing yet. They answer 501 and say so; a route nobody knows answers 404."""

from __future__ import annotations

from aiohttp import web

from engine.api.reply import Routes
from engine.model.errors import NotBuilt

PATHS = """
HEAD   /containers/{name}/archive
GET    /containers/{name}/archive
PUT    /containers/{name}/archive
GET    /images/search
POST   /build
POST   /build/cancel
POST   /build/prune
POST   /session
GET    /volumes
POST   /volumes/create
POST   /volumes/prune
GET    /volumes/{name}
PUT    /volumes/{name}
DELETE /volumes/{name}
GET    /distribution/{name:.+}/json
GET    /plugins
GET    /plugins/privileges
POST   /plugins/pull
POST   /plugins/create
GET    /plugins/{name:.+}/json
POST   /plugins/{name:.+}/{verb:enable|disable|upgrade|push|set}
DELETE /plugins/{name:.+}
GET    /swarm
GET    /swarm/unlockkey
POST   /swarm/{verb:init|join|leave|update|unlock}
GET    /nodes
GET    /nodes/{id}
POST   /nodes/{id}/update
DELETE /nodes/{id}
GET    /services
POST   /services/create
GET    /services/{id}
GET    /services/{id}/logs
POST   /services/{id}/update
DELETE /services/{id}
GET    /tasks
GET    /tasks/{id}
GET    /tasks/{id}/logs
GET    /secrets
POST   /secrets/create
GET    /secrets/{id}
POST   /secrets/{id}/update
DELETE /secrets/{id}
GET    /configs
POST   /configs/create
GET    /configs/{id}
POST   /configs/{id}/update
DELETE /configs/{id}
"""


async def not_built(request: web.Request) -> web.StreamResponse:
    # Without "is not supported" `docker inspect` would stop here instead of looking for the next kind of object.
    assert request.match_info.route.resource
    path = request.match_info.route.resource.canonical.removeprefix("/v{version}")
    raise NotBuilt(f"{request.method} {path} is not supported by longshored yet")


ROUTES: Routes = tuple((method, path, not_built) for method, path in (entry.split() for entry in PATHS.strip().splitlines()))
