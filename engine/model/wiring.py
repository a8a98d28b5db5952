"""A cable as the kernel shows it now: its two ends, and what the container has on its own. Pure data, for the screen."""

from __future__ import annotations

from msgspec import Struct


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
