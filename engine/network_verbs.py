"""Verbs on networks: run to their end, laid out as a plan, or walked through in a lesson, as the verbs on containers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.flow.step import Operation
from engine.host import Host
from engine.lesson import Lesson, lay_out
from engine.model.errors import Conflict
from engine.model.frames import NetworksChanged
from engine.model.interface import Done, Params
from engine.model.network import Network
from engine.model.run import Plan, Run
from engine.model.status import NetworkVerb
from engine.model.world import NetworkRow
from engine.operations.create_network import create_network
from engine.spec.rows import network_row

if TYPE_CHECKING:
    from engine.core import Engine


class NetworkVerbs:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def do(self, verb: NetworkVerb, target: str, params: Params) -> Done:
        n = await self._meant(verb, target, params)
        if n.id in self._engine.lessons:
            raise Conflict(
                f"cannot {_word(verb)} {n.name}: it is being walked through step by step", "wait for the lesson to end"
            )
        await self._run(verb, n)
        return Done(id=n.id)

    async def plan(self, verb: NetworkVerb, target: str, params: Params) -> Plan:
        networks = self._engine.networks
        n = await networks.settle(params.get("body")) if verb is NetworkVerb.CREATE else networks.find(target)
        rows = tuple(step.row(n) for step in self._operation(verb, n).steps)
        host = self._engine.host
        return await lay_out(host, n, Run(verb=verb, rows=rows, began=host.clock.now()))

    async def begin(self, verb: NetworkVerb, target: str, params: Params) -> Plan:
        engine = self._engine
        n = await self._meant(verb, target, params)
        if n.id in engine.lessons:
            raise Conflict(f"cannot {_word(verb)} {n.name}: it is being walked through step by step", "end that lesson first")
        lesson = engine.lessons[n.id] = Lesson(engine.host, n)
        lesson.task = engine.spawn(self._run(verb, n, lesson))
        return await lesson.plan()

    async def refresh(self) -> None:
        """Tell of the networks as the kernel has them now."""
        engine = self._engine
        rows = {n.name: await look(engine.host, n) for n in engine.networks.all.values()}
        if rows != engine.hub.world.networks:
            engine.hub.publish(NetworksChanged(networks=rows))

    async def _meant(self, verb: NetworkVerb, target: str, params: Params) -> Network:
        networks = self._engine.networks
        return await networks.new(params.get("body")) if verb is NetworkVerb.CREATE else networks.find(target)

    async def _run(self, verb: NetworkVerb, n: Network, lesson: Lesson[Network] | None = None) -> None:
        engine = self._engine
        try:
            operation = self._operation(verb, n)
            if lesson:
                lesson.begin(operation.steps)
            await engine.networks.run(operation, n, lesson)
        finally:
            engine.lessons.pop(n.id, None)
            await self.refresh()
        action = "create" if verb is NetworkVerb.CREATE else "destroy"
        engine.events.publish("network", action, n.id, {"name": n.name, "type": n.driver})

    def _operation(self, verb: NetworkVerb, n: Network) -> Operation[Host, Network]:
        if verb is NetworkVerb.CREATE:
            return create_network(n)
        return self._engine.networks.removal(n, self._engine.ledger.records.values())


async def look(host: Host, n: Network) -> NetworkRow:
    """A network as the kernel has it now."""
    up = bool(n.bridge) and await host.links.look_bridge(n.bridge) is not None
    nat = bool(n.bridge) and await host.firewall.look(n) is not None
    return network_row(n, up=up, nat=nat)


def _word(verb: NetworkVerb) -> str:
    return verb.removesuffix("_network")
