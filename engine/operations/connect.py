"""connect: one more network for a container. While it runs, it is plugged in at once."""

from __future__ import annotations

import msgspec

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.network import Attachment, Endpoint
from engine.spec.wiring import has_names, way_out
from engine.steps.attachment import Attach, RewriteNetworkFiles
from engine.steps.names import AnswerNames
from engine.steps.network import GiveAddress, PlugVeth, SetDefaultRoute
from engine.steps.ports import publishing


def connect(c: Container, network: str, wanted: Attachment, new: Endpoint | None) -> Operation[Host, Container]:
    """`network`: its name. `new`: the endpoint, decided and in the record; None: it does not run, its start will decide."""
    attach = Attach(network, msgspec.to_builtins(wanted))
    if new is None:
        return Operation("connect", (attach,))
    old = tuple(e for e in c.endpoints if e.key != new.key)
    before, after = way_out(old), way_out(c.endpoints)
    steps: list[Step[Host, Container]] = [attach, PlugVeth(new.key), GiveAddress(new.key)]
    if before != after and after:
        steps.append(SetDefaultRoute(before.key if before else "", after.key))
    if after and before is None:
        steps += publishing(c, after)
    if has_names(c.endpoints) and not has_names(old):
        steps.append(AnswerNames())
    return Operation("connect", (*steps, RewriteNetworkFiles(new.key)))
