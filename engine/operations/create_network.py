"""create_network: a bridge and its rules."""

from __future__ import annotations

from engine.flow.step import Operation
from engine.host import Host
from engine.model.network import Network
from engine.model.run import Way
from engine.steps.bridge import MakeBridge, MakeRules


def create_network(n: Network) -> Operation[Host, Network]:
    return Operation("create_network", (MakeBridge(), MakeRules()), forget=Way.UNDONE)
