"""A cable as the kernel shows it now: its two ends, and what the container has on its own. Pure data, for the screen."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from engine.model.network import Endpoint, Published


class WireEnd(Struct, frozen=True, kw_only=True):
    """One end of a cable. Counters are as this end sees them: what one receives, the other has sent."""

    name: str
    index: int
    state: str
    """`up`, `down` (switched off) or `no carrier` (the other end is switched off)."""
    mtu: int
    mac: str
    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int


class Wire(Struct, frozen=True, kw_only=True):
    """One endpoint. Everything may be gone: somebody has deleted it by hand, or the container is stopped."""

    host: WireEnd | None = None
    bridge: str = ""
    """The bridge that the host's end is a port of; empty: of none."""
    inside: WireEnd | None = None
    addresses: tuple[str, ...] = ()
    """Of the inside end, with prefix length."""
    routes: tuple[str, ...] = ()
    """All of the namespace, both families, as ip(8) words them: `default via 172.30.0.1 dev eth0`."""
    neighbours: tuple[str, ...] = ()
    """Whom the container knows by this cable: `172.30.0.1 02:42:ac:1e:00:01 reachable`."""


class Cable(Struct, frozen=True, kw_only=True):
    """One cable of a container with all that has to do with it: what was decided, and what the kernel shows of it now."""

    container: str
    """The container's id."""
    name: str
    endpoint: Endpoint
    netns: str
    """Path of the file that keeps the container's network namespace."""
    wire: Wire
    names: tuple[str, ...] = ()
    """By which its neighbours on this network find it; none where there is no name service."""
    ports: tuple[Published, ...] = ()
    """Ports of the host that lead here."""
    leads_out: bool = False
    """The container's way to everybody who is no neighbour goes by this cable."""
    rules: tuple[str, ...] = ()
    """Of the firewall, what applies to it, as nft writes it."""


class WireInterface(Protocol):
    """What the dashboard asks of the engine about cables, the same in process (`engine.wires`) and over the socket."""

    async def cable(self, target: str, network: str = "") -> Cable:
        """A container's cable into a network, by names or ids; without a network its first.

        Raises `NotFound`, and `Conflict` where it is not plugged in.
        """
