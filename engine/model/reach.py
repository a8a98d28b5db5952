"""Why can one end not reach another? The path between them, hop by hop, and the first thing that stops it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class Outcome(StrEnum):
    OK = "ok"
    STOPPED = "stopped"
    """Nothing gets past here."""
    NOTED = "noted"
    """It stops nothing, but is not as one would think."""
    UNKNOWN = "unknown"
    """It cannot be told from here."""


class Hop(Struct, frozen=True, kw_only=True):
    """One part of the path, as the kernel shows it."""

    title: str
    shown: str
    """The evidence, a line."""
    outcome: Outcome = Outcome.OK
    reason: str = ""
    """One of `engine.spec.reach.Reason`; empty: nothing is wrong."""
    why: str = ""
    """The reason as a sentence."""
    remedy: str = ""
    """What a person can do about it."""


class Verdict(Struct, frozen=True, kw_only=True):
    """The hops as far as the first that stops. `source` and `target` as they were asked for."""

    source: str
    target: str
    port: int = 0
    """0: none; then it is about packets at all (ICMP echo, as ping(8) sends it)."""
    protocol: str = "icmp"
    hops: tuple[Hop, ...] = ()
    ms: float = 0.0
    """How long it took to find out."""

    @property
    def stopped(self) -> Hop | None:
        return next((hop for hop in self.hops if hop.outcome is Outcome.STOPPED), None)

    @property
    def reached(self) -> bool | None:
        """None: it cannot be told."""
        if self.stopped:
            return False
        return None if any(hop.outcome is Outcome.UNKNOWN for hop in self.hops) else True

    @property
    def what(self) -> str:
        """What the target is asked for: `port 5432/tcp`, or `ping`."""
        return f"port {self.port}/{self.protocol}" if self.port else "ping"

    @property
    def sentence(self) -> str:
        """The answer to the question."""
        verb = {True: "reaches", False: "does not reach", None: "may reach"}[self.reached]
        why = next((hop.why for hop in self.hops if hop.outcome is not Outcome.OK), "")
        return f"{self.source} {verb} {self.target} ({self.what})" + (f": {why}" if why else "")


class WhyInterface(Protocol):
    async def why(self, source: str, target: str, port: int = 0, protocol: str = "", *, family: int | None = None) -> Verdict:
        """Follow the path from `source` to `target`, and really try it.

        Both are a container's name or id, `host`, `outside`, or an address; the target also a name for a name server.
        `port` 0: none is asked for. `protocol`: `tcp` or `udp`; empty: `tcp`, without a port ICMP echo. `family`: 4 or 6.
        Raises `NotFound`, `Invalid`.
        """
