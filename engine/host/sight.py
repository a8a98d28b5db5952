"""What the port `Reach` speaks of: one network namespace as the kernel shows it, and how an attempt ended. Plain data."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Interface(Struct, frozen=True, kw_only=True):
    name: str
    up: bool = True
    """Switched on."""
    carrier: bool = True
    """Of a cable: the other end is switched on too."""
    bridge: str = ""
    """The bridge it is a port of."""
    addresses: tuple[str, ...] = ()
    """Without prefix length."""


class Listener(Struct, frozen=True, kw_only=True):
    """A socket that waits for others."""

    protocol: str
    """`tcp` or `udp`."""
    address: str
    """`0.0.0.0` and `::`: every address, the latter of both families, as is usual."""
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Sight(Struct, frozen=True, kw_only=True):
    """One network namespace."""

    interfaces: dict[str, Interface] = {}
    listeners: tuple[Listener, ...] = ()
    neighbours: dict[str, str] = {}
    """State of each neighbour by its address: `reachable`, `failed`, `incomplete`."""

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(address for interface in self.interfaces.values() for address in interface.addresses)


class Route(Struct, frozen=True, kw_only=True):
    """Where the kernel would send a packet."""

    interface: str
    gateway: str = ""
    """Empty: the destination is on the link itself."""
    source: str = ""
    """The address the packet would come from."""

    def __str__(self) -> str:
        return f"{'via ' + self.gateway + ' ' if self.gateway else ''}dev {self.interface} src {self.source}"


class Answer(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    """Somebody answered that nobody is there: a reset, or ICMP port unreachable."""
    UNREACHABLE = "unreachable"
    """The kernel, or a router, says that there is no way."""
    SILENT = "silent"


class Drop(Struct, frozen=True, kw_only=True):
    """The firewall's rule that dropped a packet."""

    table: str
    """With its family, as nft(8) names it: `inet longshore`."""
    chain: str
    rule: str
    """As nft(8) lists it, without counters; `policy drop` for a chain's own."""
    ours: bool = False
    """Of this engine's own table."""
    netns: str = ""
    """Path of the namespace it is in; empty: the host's."""

    def __str__(self) -> str:
        return f"{self.table} {self.chain}: {self.rule}"


class Attempt(Struct, frozen=True, kw_only=True):
    """One try to reach somebody."""

    answer: Answer
    error: str = ""
    """The kernel's word where it was refused or unreachable."""
    source: str = ""
    ms: float = 0.0
    drop: Drop | None = None
    """The rule that dropped it, where the attempt was traced."""
