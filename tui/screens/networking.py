"""The keys of the Networks pane: look at both ends of a cable, make and remove networks, plug and pull."""

from __future__ import annotations

from typing import Any, cast

from textual import on, work

from engine.model.errors import EngineError
from engine.model.interface import Done, Params
from engine.model.network import BUILT_IN, Attachment
from engine.model.run import Plan
from engine.model.status import NetworkVerb, Verb
from engine.model.world import ContainerRow, NetworkRow
from tui.panes.networks import NetworksPane
from tui.screens.deeds import Deeds
from tui.screens.dialogs import Choice, Confirm, Menu
from tui.screens.forms import Connect, Form, NewNetwork
from tui.screens.lesson import LessonScreen
from tui.screens.wire import NetworkScreen, WireScreen
from tui.view.networks import Row, on_networks
from tui.view.scene import Notice


class Networking(Deeds):
    """The part of the main screen that acts on networks."""

    @property
    def wiring(self) -> NetworksPane:
        return self.query_one(NetworksPane)

    @on(NetworksPane.Selected)
    def _walked(self, event: NetworksPane.Selected) -> None:
        """The other panes follow the cable under the cursor."""
        self.select(event.id)

    def _at(self) -> Row | None:
        if self.wiring.row is None:
            self.longshore.say("there is no network yet; n makes one", "warn")
        return self.wiring.row

    def open_wiring(self) -> None:
        row = self._at()
        if row and row.container and row.join:
            told = f"{row.container.name} has no cable into {row.network.name}: it gets one when it starts; s starts it"
            self.longshore.say(told, "warn")
        elif row and row.container:
            self.longshore.push_screen(WireScreen(self.longshore, row.container.id, row.container.name, row.network.name))
        elif row:
            self.longshore.push_screen(NetworkScreen(self.longshore, row.network.name))

    def action_fold(self) -> None:
        self.wiring.fold(fold=True)

    def action_unfold(self) -> None:
        self.wiring.fold(fold=False)

    # Making and plugging

    @work
    async def action_new_network(self) -> None:
        if self.may_change():
            await self._fill(NewNetwork(self.longshore))

    @work
    async def action_connect(self) -> None:
        if self.may_change():
            await self._fill(self._connect())

    def _connect(self, *, lesson: bool = False) -> Connect:
        """The form, with what is under the cursor chosen: a cable stands for its container, a network for itself.

        What is on the other's side already is not offered.
        """
        world, at = self.longshore.scene.world, self.wiring.row if self.wiring.has_focus_within else None
        chosen = self.row if at is None else at.container
        network = at.network.name if at and not chosen and at.network.bridge else ""
        rows = sorted(world.containers.values(), key=lambda row: (not row.status.alive, row.name))
        containers = [row for row in rows if row == chosen or network not in on_networks(world, row)]
        there = on_networks(world, chosen) if chosen else set()
        networks = sorted(n.name for n in world.networks.values() if n.bridge and n.name not in there)
        return Connect(
            self.longshore, containers, networks, container=chosen.id if chosen else "", network=network, lesson=lesson
        )

    async def _fill(self, form: Form) -> None:
        """Have a form filled in. A network that it has made is gone to, a lesson that it has begun is shown."""
        done = await self.longshore.push_screen_wait(form)
        if isinstance(done, Done) and isinstance(form, NewNetwork):
            self.wiring.go(done.id)
        elif isinstance(done, Plan):
            self.longshore.notice = Notice()
            self.longshore.push_screen(LessonScreen(self.longshore, done))

    # Pulling and removing

    @work
    async def action_unplug(self) -> None:
        row = self._at()
        if row is None or not self.may_change():
            return
        if row.container:
            await self._disconnect(row.container, row.network)
        else:
            await self._remove(row.network)

    async def _disconnect(self, row: ContainerRow, network: NetworkRow) -> None:
        params: Params = {"network": network.name}
        docker = self._docker(Verb.DISCONNECT, row.name, params)
        plugged = any(wire.network == network.name for wire in row.wires)
        breaks = " Its connections there break." if plugged else ""
        question = f"Pull {row.name} out of {network.name}?{breaks} U plugs it in again."
        if await self._sure("Disconnect", question, Verb.DISCONNECT, row.id, params, docker):
            self.perform(Verb.DISCONNECT, row, params, await self._asked(row, network))

    async def _asked(self, row: ContainerRow, network: NetworkRow) -> Params:
        """What connects it again as it was."""
        try:
            c = await self.longshore.engine.inspect(row.id)
        except (EngineError, OSError):
            return {"network": network.name}  # disconnect will fail too, and say why
        kept = c.networks.get(network.name) or c.networks.get(network.id) or Attachment()
        addresses = {"IPv4Address": kept.ipv4, "IPv6Address": kept.ipv6}
        endpoint: dict[str, Any] = {
            "IPAMConfig": {key: value for key, value in addresses.items() if value},
            "Aliases": list(kept.aliases),
            "Links": list(kept.links),
            "MacAddress": kept.mac,
            "DriverOpts": kept.options,
        }
        return {"network": network.name, "endpoint": {key: value for key, value in endpoint.items() if value}}

    async def _remove(self, network: NetworkRow) -> None:
        if network.name in BUILT_IN:
            self.longshore.say(f"cannot remove {network.name}: every engine has it", "warn")
            return
        docker, verb = self._docker(NetworkVerb.REMOVE, network.name), NetworkVerb.REMOVE
        if await self._sure("Remove", f"Remove the network {network.name}?", verb, network.name, {}, docker):
            await self.longshore.perform(verb, None, network=network.name)

    async def _sure(self, yes: str, question: str, verb: str, target: str, params: Params, docker: str) -> bool:
        """Ask, with the steps that it would take. Where the engine would refuse, that is said instead."""
        with self.longshore.typed.held():
            try:
                plan = await self.longshore.engine.plan(verb, target, params)
            except (EngineError, OSError) as error:
                self.longshore.notice = Notice(command=docker, text=f"✘ {error}", tone="bad")
                return False
            steps = "\n".join(f"{n}  {step.title}" for n, step in enumerate(plan.steps, 1))
            dialog = Confirm(yes, f"{question}\n\n{steps}", yes, docker)
            answer = self.longshore.push_screen(dialog, wait_for_dismiss=True)
        return bool(await answer)

    @work
    async def action_prune_networks(self) -> None:
        world = self.longshore.scene.world
        used = {wire.network for row in world.containers.values() for wire in row.wires}
        idle = sorted(n.name for n in world.networks.values() if n.name not in used and n.name not in BUILT_IN)
        if not self.may_change():
            return
        if not idle:
            self.longshore.say("every network has somebody on it, or is the engine's own", "warn")
            return
        docker = self._docker("prune_networks", "")
        question = f"Remove all networks that nobody is on: {', '.join(idle)}?"
        if not await self.longshore.push_screen_wait(Confirm("Prune", question, "Remove all", docker)):
            return
        self.longshore.notice = Notice(command=docker, text="…", tone="dim")
        try:
            gone = await self.longshore.engine.networks_prune()
        except (EngineError, OSError) as error:
            self.longshore.notice = Notice(command=docker, text=f"✘ {error}", tone="bad")
            return
        self.longshore.notice = Notice(command=docker, text=f"✔ removed: {', '.join(gone) or 'none'}", tone="good")

    # Lessons

    @work
    async def action_teach_network(self) -> None:
        """A lesson on what is under the cursor; one that was left parked goes on."""
        row = self._at()
        if row is None:
            return
        if row.network.lesson and not row.container:
            self._resume(row.network.id)
            return
        if row.container and row.container.lesson:
            self._resume(row.container.id)
            return
        if not self.may_change():
            return
        name, choices = row.network.name, [Choice(NetworkVerb.CREATE, "create", "a new network: a bridge, and its rules")]
        choices.insert(0, Choice(Verb.CONNECT, "connect", "a cable, an address, perhaps another way out"))
        if row.container:
            about = f"pull {row.container.name} out of {name}"
            choices.insert(0, Choice(Verb.DISCONNECT, "disconnect", about))
        elif name not in BUILT_IN:
            choices.insert(0, Choice(NetworkVerb.REMOVE, "remove", f"the rules of {name}, and its bridge"))
        question = "Which verb, step by step? Nothing happens before Space."
        verb = cast(str | None, await self.longshore.push_screen_wait(Menu("Lesson", question, choices)))
        if verb == NetworkVerb.CREATE:
            await self._fill(NewNetwork(self.longshore, lesson=True))
        elif verb == Verb.CONNECT:
            await self._fill(self._connect(lesson=True))
        elif verb == Verb.DISCONNECT and row.container:
            self._teach(verb, row.container.id, {"network": name})
        elif verb == NetworkVerb.REMOVE:
            self._teach(verb, name, {})
