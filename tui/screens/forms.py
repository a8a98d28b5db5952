"""Forms for networks. While they are filled in the engine is asked what it would do, and nothing happens before that is seen.

Where it refuses, the form stays as it was filled in, and says why: below the field that it speaks of, where there is one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Button, Checkbox, Input, Label, Select, Static

from engine.model.errors import EngineError, Invalid
from engine.model.interface import Params
from engine.model.network import HOST_BINDING, HOST_IPV4, ICC, INHIBIT_IPV4, INTERFACE_PREFIX, MASQUERADE, MTU, NAME
from engine.model.run import Plan
from engine.model.status import NetworkVerb, Verb
from engine.model.world import ContainerRow
from tui.pairs import pairs, ranges
from tui.screens.dialogs import Dialog
from tui.view.docker import command

if TYPE_CHECKING:
    from tui.app import LongshoreApp

SETTLE_SECONDS = 0.2
"""How long nothing must be typed before the engine is asked."""


NOTHING: Mapping[str, str] = {}


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
        """What the engine is asked for; None while something is missing. Raises `Invalid` for what cannot be right."""
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
        except Invalid as error:
            self._complain(error)
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
            self._complain(error)
            return
        self._say("\n".join(f"{n}  {step.title}" for n, step in enumerate(plan.steps, 1)))

    def _complain(self, error: Exception) -> None:
        """Below the field whose text the sentence repeats; at the end, where it is about none or about all."""
        sentence, said = f"✘ {error}", getattr(error, "message", str(error))
        quoted = {each: _quoted(each.value, said) for each in self.query(Input)}
        field = max(quoted, key=lambda each: quoted[each], default=None)
        if field and quoted[field]:
            self._say("", below={f"wrong-{field.id}": sentence})
            field.scroll_visible()
        else:
            self._say(sentence, wrong=True)

    def _say(self, text: str, *, wrong: bool = False, below: Mapping[str, str] = NOTHING) -> None:
        """The text at the end, and what is `below` fields; elsewhere nothing."""
        shown = self.query_one("#plan", Static)
        shown.update(text)
        shown.set_class(wrong, "wrong")
        for each in self.query(".field-wrong").results(Static):
            each.update(below.get(each.id or "", ""))
            each.display = each.id in below

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
        except Invalid:
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
                self._complain(EngineError(app.notice.text.removeprefix("✘ ")))
            return
        try:
            plan: Plan = await app.engine.begin(request.verb, row.id if row else "", request.params)
        except (EngineError, OSError) as error:
            self._complain(error)
        else:
            self.dismiss(plan)


def field(label: str, widget: Input | Select[str]) -> Iterator[Any]:
    with Horizontal(classes="field"):
        yield Label(label)
        yield widget
    wrong = Static("", id=f"wrong-{widget.id}", classes="field-wrong wrong", markup=False)
    wrong.display = False
    yield wrong


def _quoted(typed: str, sentence: str) -> int:
    """How many characters of what was typed, or of a part of it, the sentence repeats."""
    parts = [typed.strip(), *re.split(r"[\s,=]+", typed)]
    found = (part for part in parts if part and re.search(rf"(?<![\w.:/-]){re.escape(part)}(?![.:/-]?\w)", sentence))
    return max(map(len, found), default=0)


OPTIONS = (NAME, MTU, ICC, MASQUERADE, HOST_BINDING, HOST_IPV4, INHIBIT_IPV4, INTERFACE_PREFIX)


def option(key: str) -> str:
    """The driver's option that a key stands for: whole, or as its last words, such as `mtu`. Raises `Invalid`."""
    whole = next((each for each in OPTIONS if each == key or each.endswith(f".{key}")), "")
    if not whole:
        raise Invalid(f"there is no option {key}", f"take {', '.join(each.rpartition('.')[2] for each in OPTIONS)}")
    return whole


class NewNetwork(Form):
    heading, yes = "New network", "Create"

    def fields(self) -> ComposeResult:
        for id, label, hint in (
            ("name", "Name", "letters, digits and _ . -"),
            ("subnet", "Subnet", "10.90.0.0/24; empty: the engine finds one"),
            ("gateway", "Gateway", "the bridge's own address; empty: the first one"),
            ("range", "IP range", "addresses are taken from there; empty: the whole subnet"),
            ("aux", "Reserved", "router=10.90.0.2, …: addresses that are somebody else's"),
            ("ipv6", "IPv6", "fd00:90::/64, or auto; empty: none"),
            ("options", "Options", "mtu=1400, bridge.name=br0, host_binding_ipv4=127.0.0.1, …"),
            ("labels", "Labels", "tier=back, owner='web team', …"),
        ):
            yield from field(label, Input(placeholder=hint, id=id, compact=True))
        with Horizontal(classes="field"):
            yield Label("")
            yield Tick("internal: no way out", id="internal", compact=True)
            yield Tick("containers hear each other", value=True, id="icc", compact=True)

    def request(self) -> Request | None:
        name, subnet, gateway, range_, ipv6 = map(self.text, ("name", "subnet", "gateway", "range", "ipv6"))
        aux, options, labels = (pairs(self.text(id)) for id in ("aux", "options", "labels"))
        subnets = [each for each in (subnet, ipv6) if each not in ("", "auto")]
        config = ranges(subnets, [gateway] if gateway else [], [range_] if range_ else [], aux.items())
        options = {option(key): value for key, value in options.items()}
        if not name:
            self._say("It needs a name.")
            return None
        body: dict[str, Any] = {"Name": name}
        if ipv6:
            body["EnableIPv6"] = True
        if config:
            body["IPAM"] = {"Config": config}
        if not self.query_one("#icc", Checkbox).value:
            options[ICC] = "false"
        if options:
            body["Options"] = options
        if labels:
            body["Labels"] = labels
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
