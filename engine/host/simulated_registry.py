"""A host without any registry: the crash matrix knows only images that are there."""

from __future__ import annotations

from engine.host.distribution import Credentials, Repository
from engine.model.errors import Unavailable
from engine.spec.references import Reference


class SimulatedRegistry:
    def repository(self, reference: Reference, credentials: Credentials | None, *, push: bool = False) -> Repository:
        raise Unavailable("there is no registry")

    async def login(self, server: str, credentials: Credentials) -> None:
        raise Unavailable("there is no registry")

    async def known(self, diff_id: str, domain: str) -> tuple[tuple[str, str], ...]:
        return ()

    async def learn(self, diff_id: str, digest: str, reference: Reference) -> None:
        return
