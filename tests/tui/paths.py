"""Paths for the scripted engine: an answer to why one end does not reach another."""

from __future__ import annotations

from engine.model.errors import NotFound
from engine.model.reach import Hop, Outcome, Verdict

WAY = (
    Hop(title="web runs", shown="pid 4711"),
    Hop(title="web is on a network", shown="backend by eth0 10.85.0.2"),
    Hop(title="web's cable", shown="eth0 ═ veth9f3c1a2aaaa ═ br-aaaaaaaaaaaa, all up"),
)
STOP = Hop(
    title="The firewall lets it pass",
    shown="ip filter FORWARD: policy drop",
    outcome=Outcome.STOPPED,
    reason="firewall",
    why="a firewall that is not ours drops it: ip filter FORWARD: policy drop",
    remedy="add a rule before it that accepts this, or take it away",
)


class ScriptedWhy:
    """`hops` is the path between any two ends; nobody is called `nobody`."""

    hops: tuple[Hop, ...] = (*WAY, STOP)

    def __init__(self) -> None:
        self.whys: list[tuple[str, str, int, str]] = []

    async def why(self, source: str, target: str, port: int = 0, protocol: str = "", *, family: int | None = None) -> Verdict:
        self.whys.append((source, target, port, protocol))
        if "nobody" in (source, target):
            raise NotFound("No such container: nobody")
        return Verdict(source=source, target=target, port=port, protocol=protocol or "icmp", hops=self.hops, ms=12.5)
