"""Dialogs. Each begins on its harmless answer, and Esc is always that answer."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Select, Static
from textual.widgets.option_list import Option

from engine.model.container import NAME
from engine.model.errors import Invalid
from engine.model.interface import Params
from engine.model.network import DEFAULT
from tui.ports import bindings, publish
from tui.view.docker import command
from tui.view.text import BLANK, line, wrap
from tui.widgets.lines import Sheet

HEALTH_INTERVAL = 5 * 10**9
"""Nanoseconds between the probes of a container made here: short enough to watch. It is shown in the command."""


class Dialog(ModalScreen[Any]):
    """Dismissed with None when nothing is to be done."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]
    heading = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            yield from self.content()

    def content(self) -> ComposeResult:
        raise NotImplementedError

    def action_cancel(self) -> None:
        self.dismiss(None)


class Confirm(Dialog):
    """A question with two answers; the first is Cancel, and has the focus. Dismissed with True for the other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h,up,k", "app.focus_previous", show=False),
        Binding("right,l,down,j", "app.focus_next", show=False),
    ]

    def __init__(self, heading: str, question: str, yes: str, docker: str = "") -> None:
        super().__init__()
        self.heading, self.question, self.yes, self.docker = heading, question, yes, docker

    def content(self) -> ComposeResult:
        yield Static(self.question, markup=False)
        if self.docker:
            yield Static(f"$ {self.docker}", classes="command", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="cancel")
            yield Button(self.yes, id="yes", variant="error")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(True if event.button.id == "yes" else None)


class Choice(NamedTuple):
    value: Any
    """What the dialog is dismissed with; None for the harmless answer."""
    text: str
    about: str = ""


class Menu(Dialog):
    """One of several answers; the first is highlighted, and is the harmless one where that matters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "move('cursor_down')", show=False),
        Binding("k", "move('cursor_up')", show=False),
        Binding("g", "move('first')", show=False),
        Binding("G", "move('last')", show=False),
    ]

    def __init__(self, heading: str, question: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self.heading, self.question, self.choices = heading, question, choices

    def content(self) -> ComposeResult:
        if self.question:
            yield Static(self.question, markup=False)
        wide = max(len(choice.text) for choice in self.choices)
        options = [Option(f"{choice.text:<{wide}}  {choice.about}".rstrip()) for choice in self.choices]
        yield OptionList(*options, markup=False)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self.choices[event.option_index].value)

    def action_move(self, how: str) -> None:
        getattr(self.query_one(OptionList), f"action_{how}")()


SIGNALS = (
    Choice(None, "cancel", "send nothing"),
    Choice("TERM", "TERM", "please end; a program may tidy up first, or ignore it"),
    Choice("KILL", "KILL", "end now; no program can refuse"),
    Choice("INT", "INT", "as Ctrl-C does"),
    Choice("HUP", "HUP", "the line is gone; servers often reload their settings"),
    Choice("QUIT", "QUIT", "end and leave a core"),
    Choice("USR1", "USR1", "whatever the program makes of it"),
    Choice("USR2", "USR2", "whatever the program makes of it"),
    Choice("STOP", "STOP", "halt; unlike a freeze, the program's parent can tell"),
    Choice("CONT", "CONT", "go on after STOP"),
)


class Tell(Dialog):
    """Some sentences to read. Dismissed with None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,x,enter", "cancel", show=False)]

    def __init__(self, heading: str, sentences: Sequence[str]) -> None:
        super().__init__()
        self.heading, self.sentences = heading, sentences

    def content(self) -> ComposeResult:
        yield Sheet(id="told")
        with Horizontal(classes="buttons"):
            yield Button("Close", id="cancel")

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        sheet = self.query_one(Sheet)
        blocks = [[line(text) for text in wrap(sentence, sheet.inner_width)] for sentence in self.sentences]
        lines = [row for block in blocks for row in (BLANK, *block)][1:]
        sheet.styles.height = min(len(lines), max(3, self.size.height - 10))
        sheet.paint(lines)

    @on(Button.Pressed)
    def _pressed(self) -> None:
        self.dismiss(None)


def _no_trouble(text: str) -> str:
    return ""


async def _no_check(text: str) -> str:
    return ""


class Ask(Dialog):
    """Asks for one line of text. Dismissed with it.

    `wrong` says why a text cannot be, while it is typed; `check` looks closer at the answer. `docker` is the command for it.
    """

    def __init__(
        self,
        heading: str,
        label: str,
        yes: str,
        docker: Callable[[str], str],
        value: str = "",
        hint: str = "",
        wrong: Callable[[str], str] = _no_trouble,
        check: Callable[[str], Awaitable[str]] = _no_check,
    ) -> None:
        super().__init__()
        self.heading, self.label, self.yes, self.docker = heading, label, yes, docker
        self.value, self.hint, self.wrong, self.check = value, hint, wrong, check

    def content(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label(self.label)
            yield Input(self.value, placeholder=self.hint, id="answer", compact=True)
        yield Static("", classes="command", id="docker", markup=False)
        with Horizontal(classes="buttons"):
            yield Button(self.yes, id="yes", variant="primary")
            yield Button("Cancel", id="cancel")

    @property
    def text(self) -> str:
        return self.query_one(Input).value.strip()

    @on(Input.Changed)
    def _changed(self) -> None:
        self._say(self.wrong(self.text))

    def _say(self, wrong: str) -> None:
        shown, text = self.query_one("#docker", Static), self.text
        shown.update(f"✘ {wrong}" if wrong else f"$ {self.docker(text)}" if text else "")
        shown.set_class(bool(wrong), "wrong")

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    @work(exclusive=True)
    async def _answer(self) -> None:
        text = self.text
        if not text or self.wrong(text):
            self.app.bell()
        elif wrong := await self.check(text):
            self._say(wrong)
            self.query_one(Input).focus()
        else:
            self.dismiss(text)

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss(None)


class Rename(Ask):
    """Asks for a container's name."""

    def __init__(self, old: str, taken: Callable[[str], bool], program: str) -> None:
        def wrong(name: str) -> str:
            if name == old:
                return "that is its name already"
            if taken(name):
                return f"the name {name} is taken by another container; choose another"
            return "" if NAME.fullmatch(name) else "a name has letters, digits and _ . - and begins with a letter or a digit"

        def docker(name: str) -> str:
            return command("rename", old, {"name": name}, program)

        super().__init__("Rename", "Name", "Rename", docker, old, wrong=wrong)


class Made(NamedTuple):
    """What the form asks for."""

    params: Params
    lesson: bool


class NewContainer(Dialog):
    """The form for a container. Dismissed with `Made`."""

    heading = "New container"

    def __init__(
        self,
        images: Sequence[str],
        taken: Callable[[str], bool],
        program: str,
        *,
        networks: Sequence[str] = (DEFAULT,),
        lesson: bool = False,
        image: str = "",
    ) -> None:
        """`image`: the one of the `images` that is chosen to begin with."""
        super().__init__()
        self.images, self.taken, self.program, self.lesson = images, taken, program, lesson
        self.image = image or next(iter(images), "")
        self.networks = networks

    def content(self) -> ComposeResult:
        if not self.images:
            yield Static("There is no image yet. I shows the images; p pulls one there, L loads one.", markup=False)
        with Horizontal(classes="field"):
            yield Label("Image")
            tags = [(tag, tag) for tag in self.images]
            yield Select(tags, value=self.image or Select.NULL, id="image", allow_blank=not tags, compact=True)
        for id, label, hint in (
            ("name", "Name", "any free name, or empty: the engine finds one"),
            ("command", "Command", "empty: the image's own"),
            ("health", "Health", "a shell command, run every 5 s; empty: none"),
            ("ports", "Ports", "8080:80 127.0.0.1:53:53/udp; empty: none is published"),
        ):
            with Horizontal(classes="field"):
                yield Label(label)
                yield Input(placeholder=hint, id=id, compact=True)
        with Horizontal(classes="field"):
            yield Label("Network")
            options = [(name, name) for name in self.networks]
            yield Select(options, value=DEFAULT, id="network", allow_blank=False, compact=True)
        yield Static("", classes="command", id="docker", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Create", id="create", variant="primary", disabled=not self.images)
            yield Button("Create step by step", id="lesson", disabled=not self.images)
            yield Button("Cancel", id="cancel")

    def on_mount(self) -> None:
        self.query_one("#name" if self.images else "#cancel").focus()
        self._changed()

    @on(Input.Changed)
    @on(Select.Changed)
    def _changed(self) -> None:
        shown = self.query_one("#docker", Static)
        try:
            shown.update(f"$ {command('create', '', self.params(), self.program)}" if self.images else "")
            shown.remove_class("wrong")
        except ValueError as error:
            shown.update(f"✘ {error}")
            shown.add_class("wrong")

    def params(self) -> Params:
        """What the engine is asked for. Raises ValueError with a sentence when it cannot be right."""
        name, words, health = (self.query_one(f"#{id}", Input).value.strip() for id in ("name", "command", "health"))
        if name and self.taken(name):
            raise ValueError(f"the name {name} is taken by another container; choose another")
        body: dict[str, Any] = {"Image": str(self.query_one("#image", Select).value)}
        if words:
            try:
                body["Cmd"] = shlex.split(words)
            except ValueError as error:
                raise ValueError(f"cannot read the command: {str(error).lower()}; close the quotes") from error
        body |= self._wiring()
        if health:
            body["Healthcheck"] = {"Test": ["CMD-SHELL", health], "Interval": HEALTH_INTERVAL}
        return {"name": name, "body": body}

    def _wiring(self) -> dict[str, Any]:
        """The network and the ports, where they are not what the engine would take anyway."""
        ports, network = self.query_one("#ports", Input).value.split(), str(self.query_one("#network", Select).value)
        host_config: dict[str, Any] = {} if network == DEFAULT else {"NetworkMode": network}
        try:
            published = [each for text in ports for each in publish(text.rstrip(","))]
        except Invalid as error:
            raise ValueError(str(error)) from error
        if published:
            host_config["PortBindings"] = bindings(published)
        return {"HostConfig": host_config} if host_config else {}

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
        if not self.images:
            return
        try:
            self.dismiss(Made(self.params(), lesson))
        except ValueError:
            self.app.bell()
