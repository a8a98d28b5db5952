"""Steps on published ports: the host's ports are taken, then they lead into the container."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from engine.host import Host
from engine.model.container import Container
from engine.model.network import Binding, Endpoint, Published
from engine.spec.wiring import target, translated
from engine.steps.network import EndpointStep


@dataclass(frozen=True)
class TakePorts(EndpointStep):
    """Take the host's ports

    A port of the host belongs to one program at a time: whoever binds a socket to it first. So the engine binds one for
    each published port, before anything leads anywhere. If somebody else has the port, the start fails here, and the
    message says who.

    The sockets are held by a small process of their own, which stays when the engine is stopped. It also carries what the
    kernel cannot translate: connections by IPv6 to a container that has only an IPv4 address.
    """

    thing = "ports"
    renewed = True

    def title(self, c: Container, *, back: bool = False) -> str:
        ports = ", ".join(map(_told, c.bindings))
        return f"Give back the host's {ports}" if back else f"Take the host's {ports}"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return ("ss -lntup",)

    async def do(self, host: Host, c: Container) -> Container:
        # What it has had before it keeps: a port that was free to choose was told to people since.
        wanted = tuple(map(exactly, c.ports)) or c.bindings
        verb = c.run.verb if c.run and c.run.moving else "take up"
        ports = await host.ports.take(c.id, wanted, target(self.endpoint(c)), f"{verb} {c.name}")
        return replace(c, ports=ports)

    async def undo(self, host: Host, c: Container) -> Container:
        await host.ports.give_back(c.id)
        return replace(c, ports=())

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.ports.look(c.id)


@dataclass(frozen=True)
class ForwardPorts(EndpointStep):
    """Lead the ports into the container

    One look into a map of the firewall, for every new connection: is this port of the host published? Then the packet's
    destination becomes the container's address and port, and the kernel's connection tracking turns the answers round.

    It holds for what comes from outside, for what the host itself sends, to 127.0.0.1 too, and for a container that asks
    for its own port at the host's address: such a packet leaves by the bridge and comes back by it.
    """

    thing = "port rules"
    renewed = True

    def title(self, c: Container, *, back: bool = False) -> str:
        told = ", ".join(map(str, c.ports)) or "the taken ports"
        return f"Lead {told} nowhere any more" if back else f"Lead {told} to {target(self.endpoint(c)).address}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        return host.firewall.commands(c.id, target(self.endpoint(c)), c.ports, back=back)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return ("nft list ruleset", "conntrack -L")

    async def do(self, host: Host, c: Container) -> Container:
        await host.firewall.forward(c.id, target(self.endpoint(c)), c.ports)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.firewall.unforward(c.id)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.firewall.look_forward(c.id)


def publishing(c: Container, out: Endpoint) -> tuple[EndpointStep, ...]:
    """The steps that publish the container's ports at an endpoint that leads out."""
    if not c.bindings:
        return ()
    return (TakePorts(out.key), ForwardPorts(out.key)) if translated(c.bindings, out) else (TakePorts(out.key),)


def exactly(p: Published) -> Binding:
    """What asks for the same port once more."""
    return Binding(protocol=p.protocol, port=p.port, host_ip=p.host_ip, first=p.host_port)


def _told(b: Binding) -> str:
    if not b.first:
        return f"next free port for {b.port}/{b.protocol}"
    return f"port {b.first}" + (f" to {b.last}" if b.last > b.first else "") + (f" at {b.host_ip}" if b.host_ip else "")
