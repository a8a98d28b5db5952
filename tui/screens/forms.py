"""Forms for networks. While they are filled in the engine is asked what it would do, and nothing happens before that is seen.

Where it refuses, the form stays as it was filled in, and says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Button, Checkbox, Input, Label, Select, Static

from engine.model.errors import EngineError
from engine.model.interface import Params
from engine.model.network import ICC, MTU
from engine.model.run import Plan
from engine.model.status import NetworkVerb, Verb
from engine.model.world import ContainerRow
from tui.screens.dialogs import Dialog
from tui.view.docker import command

if TYPE_CHECKING:
    from tui.app import LongshoreApp

SETTLE_SECONDS = 0.2
"""How long nothing must be typed before the engine is asked."""


class Tick(Checkbox):
    """A checkbox that shows by its sign, and not by a colour alone, whether it is ticked."""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]
        return "✔" if self.value else " "


class Request(NamedTuple):
    verb: str
    params: Params
    row: ContainerRow | None = None
    """The container, where it is about one."""


class Form(Dialog):
    """Dismissed with `Done`, or with the plan of a lesson that has begun."""

    yes: ClassVar[str]

    def __init__(self, app: LongshoreApp, *, lesson: bool = False) -> None:
        super().__init__()
        self.longshore, self.lesson = app, lesson

    def fields(self) -> ComposeResult:
        raise NotImplementedError

    def request(self) -> Request | None:
        """What the engine is asked for; None while something is missing. Raises ValueError for what cannot be right."""
        raise NotImplementedError

    def content(self) -> ComposeResult:
        yield from self.fields()
        yield Static("", classes="command", id="docker", markup=False)
        yield Static("", id="plan", markup=False)
        with Horizontal(classes="buttons"):
            yield Button(self.yes, id="yes", variant="primary")
            yield Button(f"{self.yes} step by step", id="lesson")
            yield Button("Cancel", id="cancel")

    def on_mount(self) -> None:
        self._changed()

    def text(self, id: str) -> str:
        return self.query_one(f"#{id}", Input).value.strip()

    def chosen(self, id: str) -> str:
        value = self.query_one(f"#{id}", Select).value
        return value if isinstance(value, str) else ""

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _changed(self) -> None:
        """Show the command and, when the typing rests, what the engine says to it."""
        docker, request = self.query_one("#docker", Static), None
        try:
            request = self.request()
        except ValueError as error:
            self._complain(str(error))
        docker.update(f"$ {self._docker(request)}" if request else "")
        if request:
            self._plan(request)
        else:
            self.workers.cancel_group(self, "plan")

    def _docker(self, request: Request) -> str:
        return command(request.verb, request.row.name if request.row else "", request.params, self.longshore.docker)

    @work(group="plan", exclusive=True)
    async def _plan(self, request: Request) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            plan = await self.longshore.engine.plan(request.verb, request.row.id if request.row else "", request.params)
        except (EngineError, OSError) as error:
            self._complain(str(error))
            return
        self._say("\n".join(f"{n}  {step.title}" for n, step in enumerate(plan.steps, 1)))

    def _complain(self, sentence: str) -> None:
        self._say(f"✘ {sentence}", wrong=True)

    def _say(self, text: str, *, wrong: bool = False) -> None:
        shown = self.query_one("#plan", Static)
        shown.update(text)
        shown.set_class(wrong, "wrong")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._make(self.lesson)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "cancel":
            self.dismiss(None)
        else:
            self._make(event.button.id == "lesson")

    def _make(self, lesson: bool) -> None:
        try:
            request = self.request()
        except ValueError:
            request = None
        if request is None:
            self.app.bell()
        else:
            self.workers.cancel_group(self, "plan")
            self._do(request, lesson)

    @work(group="make", exclusive=True)
    async def _do(self, request: Request, lesson: bool) -> None:
        app, row = self.longshore, request.row
        if not lesson:
            if done := await app.perform(request.verb, row, request.params):
                self.dismiss(done)
            else:
                self._say(app.notice.text, wrong=True)
            return
        try:
            plan: Plan = await app.engine.begin(request.verb, row.id if row else "", request.params)
        except (EngineError, OSError) as error:
            self._complain(str(error))
        else:
            self.dismiss(plan)


def field(label: str, widget: Input | Select[str]) -> Iterator[Any]:
    with Horizontal(classes="field"):
        yield Label(label)
        yield widget


class NewNetwork(Form):
    heading, yes = "New network", "Create"

    def fields(self) -> ComposeResult:
        for id, label, hint in (
            ("name", "Name", "letters, digits and _ . -"),
            ("subnet", "Subnet", "10.90.0.0/24; empty: the engine finds one"),
            ("gateway", "Gateway", "the bridge's own address; empty: the first one"),
            ("range", "IP range", "addresses are taken from there; empty: the whole subnet"),
            ("ipv6", "IPv6", "fd00:90::/64, or auto; empty: none"),
            ("mtu", "MTU", "empty: the engine's, 1500"),
        ):
            yield from field(label, Input(placeholder=hint, id=id, compact=True))
        with Horizontal(classes="field"):
            yield Label("")
            yield Tick("internal: no way out", id="internal", compact=True)
            yield Tick("containers hear each other", value=True, id="icc", compact=True)

    def request(self) -> Request | None:
        name, subnet, gateway, range_, ipv6, mtu = map(self.text, ("name", "subnet", "gateway", "range", "ipv6", "mtu"))
        if not name:
            self._say("It needs a name.")
            return None
        body: dict[str, Any] = {"Name": name}
        config = [{"Subnet": subnet, "Gateway": gateway, "IPRange": range_}] if subnet or gateway or range_ else []
        if ipv6:
            body["EnableIPv6"] = True
            config += [] if ipv6 == "auto" else [{"Subnet": ipv6}]
        if config:
            body["IPAM"] = {"Config": [{key: value for key, value in each.items() if value} for each in config]}
        options = {MTU: mtu} if mtu else {}
        if not self.query_one("#icc", Checkbox).value:
            options[ICC] = "false"
        if options:
            body["Options"] = options
        if self.query_one("#internal", Checkbox).value:
            body["Internal"] = True
        return Request(NetworkVerb.CREATE, {"body": body})


class Connect(Form):
    """`container` and `network`: id and name of those that are chosen already; empty: none is."""

    heading, yes = "Connect", "Connect"

    def __init__(
        self,
        app: LongshoreApp,
        containers: Iterable[ContainerRow],
        networks: Iterable[str],
        *,
        container: str = "",
        network: str = "",
        lesson: bool = False,
    ) -> None:
        super().__init__(app, lesson=lesson)
        self.containers = {row.id: row for row in containers}
        self.networks = tuple(networks)
        self.container, self.network = container, network

    def fields(self) -> ComposeResult:
        rows = [(f"{row.name} · {row.status}", row.id) for row in self.containers.values()]
        for id, label, options, value in (
            ("container", "Container", rows, self.container),
            ("network", "Network", [(name, name) for name in self.networks], self.network),
        ):
            value = value or (options[0][1] if len(options) == 1 else "")
            yield from field(label, Select(options, value=value or Select.NULL, id=id, prompt="choose one", compact=True))
        for id, label, hint in (
            ("aliases", "Aliases", "more names for it there, with spaces between"),
            ("ipv4", "IPv4", "10.90.0.7; empty: the lowest free address"),
            ("ipv6", "IPv6", "empty: the lowest free address, where the network has IPv6"),
        ):
            yield from field(label, Input(placeholder=hint, id=id, compact=True))

    def on_mount(self) -> None:
        super().on_mount()
        open_ = next((id for id in ("container", "network") if not self.chosen(id)), "aliases")
        self.query_one(f"#{open_}").focus()

    def request(self) -> Request | None:
        row, network = self.containers.get(self.chosen("container")), self.chosen("network")
        if row is None or not network:
            self._say("Which container, and into which network?")
            return None
        addresses = {"IPv4Address": self.text("ipv4"), "IPv6Address": self.text("ipv6")}
        endpoint: dict[str, Any] = {}
        if any(addresses.values()):
            endpoint["IPAMConfig"] = {key: value for key, value in addresses.items() if value}
        if aliases := self.text("aliases").replace(",", " ").split():
            endpoint["Aliases"] = aliases
        return Request(Verb.CONNECT, {"network": network, **({"endpoint": endpoint} if endpoint else {})}, row)
