"""remove_network: the rules, then the bridge, then the record."""

from __future__ import annotations

from engine.flow.step import Operation, Reverse
from engine.host import Host
from engine.model.network import Network
from engine.model.run import Way
from engine.steps.bridge import MakeBridge, MakeRules


def remove_network(n: Network) -> Operation[Host, Network]:
    """The caller has asked whether anybody is still plugged in."""
    return Operation("remove_network", (Reverse(MakeRules()), Reverse(MakeBridge())), forget=Way.DONE)
