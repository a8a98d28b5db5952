"""Registries over HTTP (OCI distribution-spec): the port `Registry`.

places       where a registry is: mirrors, insecure ones, proxies
auth         the answer to a registry's challenge
client       one request, with redirects and errors
manifest     what comes as a manifest, checked
parts        blobs on their way in, kept across cuts
repository   all of it for one repository
learned      which layer is where already
"""

from __future__ import annotations

import asyncio

import aiohttp

from engine.host.distribution import Credentials
from engine.host.registry.client import Endpoint, open_session
from engine.host.registry.learned import Learned
from engine.host.registry.parts import Parts
from engine.host.registry.places import Places, check
from engine.host.registry.repository import PINGS, RemoteRepository, again
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.errors import EngineError, Invalid, Unauthorized
from engine.model.registry import host_of
from engine.spec.references import Reference

__all__ = ["Places", "Registries", "check"]


class Registries:
    """The port `Registry`."""

    def __init__(self, root: str, places: Places) -> None:
        self._places = places
        self._parts, self._learned = Parts(root), Learned(root)
        self._opened: aiohttp.ClientSession | None = None
        self._learning = asyncio.Lock()

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()
            self._opened = None

    def repository(self, reference: Reference, credentials: Credentials | None, *, push: bool = False) -> RemoteRepository:
        places = self._places.of(reference.domain)
        if push:
            places = [place for place in places if not place.mirror]
        return RemoteRepository(self._session, self._parts, places, reference, credentials, push=push)

    async def login(self, server: str, credentials: Credentials) -> None:
        host = host_of(server)
        if not host:
            raise Invalid(f"cannot log in: {server!r} names no registry", "give HOST[:PORT]")
        places = [place for place in self._places.of(host) if not place.mirror]
        for place in places:
            endpoint = Endpoint(self._session, place, credentials, ())
            try:
                await again(endpoint.ping, 0 if place is not places[-1] else PINGS)
                async with endpoint.request("GET", endpoint.url("")):
                    return
            except Unauthorized as error:
                raise Unauthorized(f"login attempt to {place.url}/v2/ failed: {error}") from error
            except EngineError:
                if place is places[-1]:
                    raise

    async def known(self, diff_id: str, domain: str) -> tuple[tuple[str, str], ...]:
        with doing(f"read what is known of the layer {diff_id}"):
            return await short(self._learned.known, diff_id, domain)

    async def learn(self, diff_id: str, digest: str, reference: Reference) -> None:
        with doing(f"remember where the layer {diff_id} is"):
            async with self._learning:
                await short(self._learned.learn, diff_id, digest, reference)

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = open_session()
        return self._opened
