"""The ports of the network: namespaces, links, firewall, published ports, names. One Protocol each, as `engine.host` tells."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.host.sight import Attempt, Route, Sight
from engine.host.things import Sighting, Traffic
from engine.model.network import Binding, Endpoint, Network, Published, Target
from engine.model.wiring import Wire


class Netns(Protocol):
    """Network namespaces kept by a file below `netns/`."""

    async def make(self, name: str) -> None:
        """A new namespace with `lo` up, kept by a bind mount."""

    async def drop(self, name: str) -> None: ...

    async def look(self, name: str) -> str | None: ...

    async def sightings(self) -> set[Sighting]:
        """Every namespace there is: `("netns", name)`."""

    def path(self, name: str) -> str: ...


class Links(Protocol):
    """Bridges and cables, by netlink."""

    async def make_bridge(self, network: Network) -> None:
        """The bridge with its addresses of both families, up, its MTU, and forwarding for it. Idempotent."""

    async def drop_bridge(self, network: Network) -> None: ...

    async def look_bridge(self, bridge: str) -> str | None: ...

    async def used(self) -> tuple[str, ...]:
        """Ranges and addresses this host uses, of both families: routes, own addresses, name servers."""

    async def plug(self, endpoint: Endpoint, netns: str, owner: str) -> None:
        """A veth pair: one end a port of the bridge, the other inside as `interface`. `owner` is its ifalias."""

    async def unplug(self, endpoint: Endpoint, owner: str) -> None: ...

    async def look_plug(self, endpoint: Endpoint, owner: str) -> str | None: ...

    async def address(self, endpoint: Endpoint, netns: str) -> None:
        """Addresses of both families and link up, inside the namespace. No routes but the kernel's own."""

    async def unaddress(self, endpoint: Endpoint, netns: str) -> None: ...

    async def look_address(self, endpoint: Endpoint, netns: str) -> str | None: ...

    async def route(self, endpoint: Endpoint | None, netns: str) -> None:
        """The default routes lead by this endpoint's gateways from now on; None: there are none."""

    async def look_route(self, endpoint: Endpoint | None, netns: str) -> str | None:
        """The default route by this endpoint; with None: a word when there is none. None when it is not so."""

    async def sightings(self) -> set[Sighting]:
        """Every cable that is plugged in: `("plug", veth, bridge, owner)`."""

    async def counters(self) -> dict[str, tuple[int, int]]:
        """Bytes received and sent by each interface of the host, a cable's end too, by its name."""

    async def traffic(self, endpoint: Endpoint) -> Traffic | None:
        """All that a cable has carried, as the container counts it; None when it is not plugged in."""

    async def wire(self, endpoint: Endpoint, netns: str) -> Wire:
        """Both ends of a cable as they are now, and what the container has on its own."""

    async def changed(self) -> None:
        """Wait until a link or an address of the host has changed since this last returned. For one who waits at a time."""

    async def refresh(self) -> None:
        """Look whether the host's uplinks have changed, and forward from the new ones too."""


class Firewall(Protocol):
    """Our own nft table, and an own chain beside a stranger's dropping FORWARD policy. Each change is one transaction."""

    async def make(self, network: Network) -> None:
        """Masquerade, isolation, inter-container rules of one network, in place of any former ones. Idempotent."""

    async def drop(self, network: Network) -> None: ...

    async def look(self, network: Network) -> str | None: ...

    async def forward(self, owner: str, target: Target, ports: tuple[Published, ...]) -> None:
        """Lead the host's ports to the target, for outside, the host itself and its own bridge. In place of any former ones."""

    async def unforward(self, owner: str) -> None:
        """The owner's ports lead nowhere any more; flows the kernel still tracks are forgotten."""

    def commands(self, owner: str, target: Target, ports: tuple[Published, ...], *, back: bool = False) -> tuple[str, ...]:
        """What a person would type to lead them there, or `back` nowhere any more."""

    async def look_forward(self, owner: str) -> str | None:
        """The owner's rules as the kernel has them."""

    async def owners(self) -> set[str]:
        """Everybody whom ports lead to: what a crash has left is led nowhere."""

    async def rules(self, endpoint: Endpoint) -> tuple[str, ...]:
        """What of the rules applies to one endpoint, now, as nft writes it, with counters."""

    async def refresh(self) -> None:
        """Look whether a stranger's firewall has begun to drop what is ours, and stand beside it; put back what is gone."""


class Ports(Protocol):
    """Ports of the host: sockets hold them, a relay carries what the kernel's NAT does not. Both outlive the engine."""

    called: Callable[[str], str]
    """What people call an owner, by its id; set by the engine."""

    async def take(
        self, owner: str, bindings: tuple[Binding, ...], target: Target, what: str = "publish ports"
    ) -> tuple[Published, ...]:
        """Hold ports for the owner; all or none. What it already holds is kept.

        A binding without `host_ip` gives two, for IPv4 and IPv6. `what`: what they are for, `start web`.
        Raises `HostFailed` when one is taken, naming the container that has it, or the program and its pid.
        """

    async def give_back(self, owner: str) -> None: ...

    async def look(self, owner: str) -> str | None: ...

    async def owners(self) -> set[str]:
        """Everybody for whom ports are held: what a crash has left is given back."""


Answer = Callable[[str, str], "tuple[str, ...] | None"]
"""(sandbox, name or address) -> addresses of the name, or names of the address; None: nobody of ours, ask further."""


class Names(Protocol):
    """The name service at 127.0.0.11 inside a namespace. It lives in the engine: `open` is called again by a new one."""

    directory: Answer
    """Who is who; set by the engine."""

    async def open(self, sandbox: str, servers: tuple[str, ...]) -> None:
        """Answer in this namespace. `servers`: whom to ask further, addresses; none: nobody is asked."""

    async def close(self, sandbox: str) -> None: ...

    async def look(self, sandbox: str) -> str | None: ...

    async def host_servers(self) -> tuple[str, ...]:
        """The host's own name servers, loopback ones too."""


class Reach(Protocol):
    """Looking into network namespaces, and trying from inside them. `netns`: a path; empty: the host's own."""

    async def look(self, netns: str) -> Sight: ...

    async def route(self, netns: str, address: str) -> Route | None:
        """Where the kernel would send a packet to this address; None: it knows no way."""

    async def forwards(self, interface: str, family: int) -> bool:
        """Does the host forward what comes in by this interface? `family`: 4 or 6."""

    async def connect(
        self, netns: str, address: str, port: int, protocol: str, seconds: float, traced: tuple[str, ...] | None = None
    ) -> Attempt:
        """Try once, at most so long: `tcp`, `udp`, or `icmp` without a port.

        `traced`: name the firewall's rule that drops it, in the host's namespace or in these.
        """

    async def resolve(self, netns: str, server: str, name: str, seconds: float) -> tuple[str, ...]:
        """Addresses of a name, as the server tells somebody inside; none: there is no such name.

        Raises `HostFailed` when it does not answer, or cannot tell.
        """

    def outside(self, family: int) -> AbstractAsyncContextManager[tuple[str, str]]:
        """A host outside, of our own making, for as long as it is needed: its namespace, and this host's address there."""
