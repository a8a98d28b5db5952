"""disconnect: one network less for a container. While it runs, its cable is pulled."""

from __future__ import annotations

import msgspec

from engine.flow.step import Operation, Reverse, Step, held_steps
from engine.host import Host
from engine.model.container import Container
from engine.model.network import Attachment, Endpoint
from engine.spec.wiring import has_names, way_out
from engine.steps.attachment import Attach, RewriteNetworkFiles
from engine.steps.names import AnswerNames
from engine.steps.network import GiveAddress, PlugVeth, SetDefaultRoute
from engine.steps.ports import ForwardPorts, TakePorts, publishing


def disconnect(c: Container, network: str, wanted: Attachment, old: Endpoint | None) -> Operation[Host, Container]:
    """`network`: as it stands in `c.networks`. `old`: the endpoint to be pulled; None: it is not plugged in."""
    detach = Reverse(Attach(network, msgspec.to_builtins(wanted)))
    if old is None:
        return Operation("disconnect", (detach,))
    left = tuple(e for e in c.plugged if e.key != old.key)
    before, after = way_out(c.plugged), way_out(left)
    steps: list[Step[Host, Container]] = [Reverse(RewriteNetworkFiles(old.key))]
    if AnswerNames.__name__ in c.held and not has_names(left):
        steps.append(Reverse(AnswerNames()))
    published = [step for step in held_steps(c) if step.key in (TakePorts(old.key).key, ForwardPorts(old.key).key)]
    steps += map(Reverse, reversed(published))
    if before != after and before:
        steps.append(SetDefaultRoute(before.key, after.key if after else ""))
    steps += [Reverse(GiveAddress(old.key)), Reverse(PlugVeth(old.key))]
    if published and after:
        steps += publishing(c, after)
    return Operation("disconnect", (*steps, detach))
