"""A cable from end to end: what was decided of it, and what the kernel shows of it now."""

from __future__ import annotations

import asyncio

from engine.core import Engine
from engine.model.container import Container
from engine.model.errors import Conflict
from engine.model.network import Endpoint
from engine.model.wiring import Cable
from engine.names import names
from engine.spec.wiring import has_names, way_out


class Wires:
    """Implements `WireInterface` on an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.host = engine, engine.host

    async def cable(self, target: str, network: str = "") -> Cable:
        c = self.engine.resolve(target)
        e = self._endpoint(c, network)
        wire, rules = await asyncio.gather(self.host.links.wire(e, c.sandbox), self.host.firewall.rules(e))
        leads_out = way_out(c.plugged) == e
        return Cable(
            container=c.id,
            name=c.name,
            endpoint=e,
            netns=self.host.netns.path(c.sandbox),
            wire=wire,
            names=names(c, e) if has_names((e,)) else (),
            ports=c.ports if leads_out else (),
            leads_out=leads_out,
            rules=rules,
        )

    def _endpoint(self, c: Container, network: str) -> Endpoint:
        wanted = self.engine.networks.find(network).id if network else ""
        for e in c.plugged:
            if wanted in ("", e.network_id):
                return e
        into = network or "any network"
        raise Conflict(f"cannot look at a cable of {c.name}: it is not plugged into {into}", "start it, or connect it")
