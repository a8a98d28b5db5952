"""The port `Reach` in memory, as `engine.host.simulated` tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.host.sight import Answer, Attempt, Interface, Listener, Route, Sight
from engine.host.simulated_world import Port as _Port


class SimulatedReach(_Port):
    """One flat net: whoever has an address is reached, whoever listens answers."""

    async def look(self, netns: str) -> Sight:
        name = _name(netns)
        interfaces = {
            interface: Interface(name=interface, addresses=(address,))
            for (owner, interface), address in self.world.addresses.items()
            if owner == name
        }
        if not name:
            interfaces = {bridge: Interface(name=bridge) for bridge in self.world.bridges}
            for bridge in sorted(self.world.bridges):
                interfaces |= {veth: Interface(name=veth, bridge=bridge) for veth in self.world.plugs}
        return Sight(interfaces=interfaces, listeners=self.world.listeners.get(name, ()))

    async def route(self, netns: str, address: str) -> Route | None:
        gateway = self.world.routes.get(_name(netns), "")
        return Route(interface="eth0", gateway=gateway) if gateway or not netns else None

    async def forwards(self, interface: str, family: int) -> bool:
        return interface in self.world.bridges or interface == "eth0"

    async def connect(
        self, netns: str, address: str, port: int, protocol: str, seconds: float, traced: tuple[str, ...] | None = None
    ) -> Attempt:
        owners = [name for (name, _), given in self.world.addresses.items() if given == address]
        if not owners:
            return Attempt(answer=Answer.SILENT)
        listener = Listener(protocol=protocol, address="0.0.0.0", port=port)
        heard = not port or listener in self.world.listeners.get(owners[0], ())
        return Attempt(answer=Answer.ANSWERED if heard else Answer.REFUSED)

    async def resolve(self, netns: str, server: str, name: str, seconds: float) -> tuple[str, ...]:
        return ()

    @asynccontextmanager
    async def outside(self, family: int) -> AsyncIterator[tuple[str, str]]:
        yield "", ""


def _name(netns: str) -> str:
    return netns.rpartition("/")[2]
