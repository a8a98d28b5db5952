"""The ports of the network: namespaces, bridges and cables, the firewall. Each is one Protocol, as `engine.host` tells."""

from __future__ import annotations

from typing import Protocol

from engine.host.things import Sighting, Traffic
from engine.model.container import Endpoint
from engine.model.network import Network


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

    async def make_bridge(self, network: Network) -> None: ...

    async def drop_bridge(self, network: Network) -> None: ...

    async def look_bridge(self, bridge: str) -> str | None: ...

    async def choose_subnet(self, pools: tuple[tuple[str, int], ...], taken: tuple[str, ...]) -> str:
        """The first free range of the pools that no host route and no name server uses."""

    async def plug(self, endpoint: Endpoint, netns: str, owner: str) -> None:
        """A veth pair: one end a port of the bridge, the other inside as `interface`. `owner` is its ifalias."""

    async def unplug(self, endpoint: Endpoint, owner: str) -> None: ...

    async def look_plug(self, endpoint: Endpoint, owner: str) -> str | None: ...

    async def address(self, endpoint: Endpoint, netns: str) -> None:
        """Address, link up, default route, inside the namespace."""

    async def unaddress(self, endpoint: Endpoint, netns: str) -> None: ...

    async def look_address(self, endpoint: Endpoint, netns: str) -> str | None: ...

    async def sightings(self) -> set[Sighting]:
        """Every cable that is plugged in: `("plug", veth, bridge, owner)`."""

    async def counters(self) -> dict[str, tuple[int, int]]:
        """Bytes received and sent by each interface of the host, a cable's end too, by its name."""

    async def traffic(self, endpoint: Endpoint) -> Traffic | None:
        """All that a cable has carried, as the container counts it; None when it is not plugged in."""

    async def refresh(self) -> None:
        """Look whether the host's uplinks have changed, and forward from the new ones too."""


class Firewall(Protocol):
    """Our own nft table, and an own chain beside a stranger's dropping FORWARD policy."""

    async def make(self, network: Network) -> None: ...

    async def drop(self, network: Network) -> None: ...

    async def look(self, network: Network) -> str | None: ...

    async def refresh(self) -> None:
        """Look whether a stranger's firewall has begun to drop what is ours, and stand beside it."""
