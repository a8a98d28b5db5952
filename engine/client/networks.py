"""Networks: what there is, made, removed, and joined to containers; and each cable as the kernel shows it."""

from __future__ import annotations

from typing import Any

from engine.client.connection import Connection, part
from engine.model.reach import Verdict
from engine.model.wiring import Cable


class Networks(Connection):
    async def networks_json(self, **query: str) -> list[dict[str, Any]]:
        """`GET /networks`; `query`: filters, as in the Docker API."""
        return await self._get("/networks", list[dict[str, Any]], **query)

    async def network_json(self, name: str) -> dict[str, Any]:
        """`GET /networks/x`."""
        return await self._get(f"/networks/{part(name)}", dict[str, Any])

    async def networks_prune(self, **query: str) -> list[str]:
        """Remove the networks nobody is on; their names. `query`: filters."""
        told = await self._post("/networks/prune", None, dict[str, Any], **query)
        return list(told["NetworksDeleted"] or ())

    async def cable(self, target: str, network: str = "") -> Cable:
        return await self._get(f"/longshore/wire/{part(target)}", Cable, network=network)

    async def why(self, source: str, target: str, port: int = 0, protocol: str = "", *, family: int | None = None) -> Verdict:
        query = {"from": source, "to": target, "port": str(port), "protocol": protocol, "family": str(family or "")}
        return await self._get("/longshore/why", Verdict, **query)
