"""The network's ports in memory, as `engine.host.simulated` tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.host import Sighting, Traffic
from engine.host.network import Answer
from engine.host.simulated_world import Port as _Port
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import HostFailed
from engine.model.network import Binding, Endpoint, Network, Published, Target
from engine.model.wiring import Wire

EPHEMERAL = 32768


class SimulatedNetns(_Port):
    async def make(self, name: str) -> None:
        self.world.netns.add(name)

    async def drop(self, name: str) -> None:
        # A namespace that goes takes the cables' ends with it, and so the cables.
        self.world.netns.discard(name)
        self.world.routes.pop(name, None)
        self.world.names.discard(name)
        for key in [key for key in self.world.addresses if key[0] == name]:
            del self.world.addresses[key]

    async def look(self, name: str) -> str | None:
        return "net:[4026531840]" if name in self.world.netns else None

    async def sightings(self) -> set[Sighting]:
        return {("netns", name) for name in self.world.netns}

    def path(self, name: str) -> str:
        return f"/simulated/netns/{name}"


class SimulatedLinks(_Port):
    async def make_bridge(self, network: Network) -> None:
        self.world.bridges.add(network.bridge)

    async def drop_bridge(self, network: Network) -> None:
        self.world.bridges.discard(network.bridge)

    async def look_bridge(self, bridge: str) -> str | None:
        return "up" if bridge in self.world.bridges else None

    async def used(self) -> tuple[str, ...]:
        return ()

    async def plug(self, endpoint: Endpoint, netns: str, owner: str) -> None:
        if netns not in self.world.netns or endpoint.bridge not in self.world.bridges:
            raise HostFailed(f"cannot plug {endpoint.veth}: namespace or bridge is away")
        if self.world.plugs.get(endpoint.veth, owner) != owner:
            raise HostFailed(f"cannot plug {endpoint.veth}: the name is taken by a stranger")
        self.world.plugs[endpoint.veth] = owner

    async def unplug(self, endpoint: Endpoint, owner: str) -> None:
        self.world.plugs.pop(endpoint.veth, None)

    async def look_plug(self, endpoint: Endpoint, owner: str) -> str | None:
        return f"port of {endpoint.bridge}" if self.world.plugs.get(endpoint.veth) == owner else None

    async def address(self, endpoint: Endpoint, netns: str) -> None:
        if endpoint.veth not in self.world.plugs:
            raise HostFailed("cannot give an address: no such interface")
        if endpoint.address in [a for (n, _), a in self.world.addresses.items() if n != netns]:
            raise HostFailed(f"{endpoint.address} is given twice")
        self.world.addresses[netns, endpoint.interface] = endpoint.address

    async def unaddress(self, endpoint: Endpoint, netns: str) -> None:
        self.world.addresses.pop((netns, endpoint.interface), None)
        if self.world.routes.get(netns) == endpoint.gateway:
            del self.world.routes[netns]

    async def look_address(self, endpoint: Endpoint, netns: str) -> str | None:
        return self.world.addresses.get((netns, endpoint.interface))

    async def route(self, endpoint: Endpoint | None, netns: str) -> None:
        if endpoint is None:
            self.world.routes.pop(netns, None)
            return
        if (netns, endpoint.interface) not in self.world.addresses:
            raise HostFailed("cannot set a route: the gateway is no neighbour")
        self.world.routes[netns] = endpoint.gateway

    async def look_route(self, endpoint: Endpoint | None, netns: str) -> str | None:
        there = self.world.routes.get(netns)
        if endpoint is None:
            return None if there else "no default route"
        return f"default via {there}" if there == endpoint.gateway else None

    async def sightings(self) -> set[Sighting]:
        plugs = self.world.plugs.items()
        return {("plug", veth, bridge, owner) for veth, owner in plugs for bridge in self.world.bridges}

    async def traffic(self, endpoint: Endpoint) -> Traffic | None:
        return Traffic() if endpoint.veth in self.world.plugs else None

    async def counters(self) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(self.world.plugs, (0, 0))

    async def changed(self) -> None:
        await asyncio.Event().wait()

    async def wire(self, endpoint: Endpoint, netns: str) -> Wire:
        return Wire(bridge=endpoint.bridge if endpoint.veth in self.world.plugs else "")

    async def refresh(self) -> None:
        return


class SimulatedFirewall(_Port):
    async def make(self, network: Network) -> None:
        self.world.tables.add(network.bridge)

    async def drop(self, network: Network) -> None:
        self.world.tables.discard(network.bridge)

    async def look(self, network: Network) -> str | None:
        return "masquerade" if network.bridge in self.world.tables else None

    async def forward(self, owner: str, target: Target, ports: tuple[Published, ...]) -> None:
        if target.bridge not in self.world.tables:
            raise HostFailed(f"cannot lead ports to {target.address}: {target.bridge} has no rules")
        self.world.forwards[owner] = (target.address, *map(str, ports))

    async def unforward(self, owner: str) -> None:
        self.world.forwards.pop(owner, None)

    def commands(self, owner: str, target: Target, ports: tuple[Published, ...], *, back: bool = False) -> tuple[str, ...]:
        return tuple(f"forward {'nothing' if back else target.address} {port}" for port in ports)

    async def owners(self) -> set[str]:
        return set(self.world.forwards)

    async def rules(self, endpoint: Endpoint) -> tuple[str, ...]:
        return ("masquerade",) if endpoint.bridge in self.world.tables else ()

    async def look_forward(self, owner: str) -> str | None:
        return " ".join(self.world.forwards[owner]) if owner in self.world.forwards else None

    async def refresh(self) -> None:
        return


class SimulatedPorts(_Port):
    def __init__(self, world: SimulatedWorld) -> None:
        super().__init__(world)
        self.called: Callable[[str], str] = lambda owner: owner[:12]

    async def take(
        self, owner: str, bindings: tuple[Binding, ...], target: Target, what: str = "publish ports"
    ) -> tuple[Published, ...]:
        if owner in self.world.ports:
            return self.world.ports[owner]
        held = {(p.protocol, p.host_ip, p.host_port): other for other, ports in self.world.ports.items() for p in ports}
        taken: list[Published] = []
        for b in bindings:
            first, last = (b.first, max(b.first, b.last)) if b.first else (EPHEMERAL, 65535)
            hosts = (b.host_ip,) if b.host_ip else ("0.0.0.0", "::")
            free = (n for n in range(first, last + 1) if not any((b.protocol, host, n) in held for host in hosts))
            if (number := next(free, None)) is None:
                other = next(held[b.protocol, host, b.first] for host in hosts if (b.protocol, host, b.first) in held)
                raise HostFailed(f"cannot {what}: port {b.first} is taken by container {self.called(other)}")
            held |= {(b.protocol, host, number): owner for host in hosts}
            taken += [Published(protocol=b.protocol, port=b.port, host_ip=host, host_port=number) for host in hosts]
        self.world.ports[owner] = tuple(taken)
        return tuple(taken)

    async def give_back(self, owner: str) -> None:
        self.world.ports.pop(owner, None)

    async def owners(self) -> set[str]:
        return set(self.world.ports)

    async def look(self, owner: str) -> str | None:
        return ", ".join(map(str, self.world.ports[owner])) if owner in self.world.ports else None


class SimulatedNames(_Port):
    def __init__(self, world: SimulatedWorld) -> None:
        super().__init__(world)
        self.directory: Answer = lambda sandbox, name: None

    async def open(self, sandbox: str, servers: tuple[str, ...]) -> None:
        if sandbox not in self.world.netns:
            raise HostFailed("cannot answer for names: the namespace is gone")
        self.world.names.add(sandbox)

    async def close(self, sandbox: str) -> None:
        self.world.names.discard(sandbox)

    async def look(self, sandbox: str) -> str | None:
        return "listening" if sandbox in self.world.names else None

    async def host_servers(self) -> tuple[str, ...]:
        return ()
