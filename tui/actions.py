"""What a person can do, declared once: keys, footer, help and palette are read from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.binding import Binding, BindingType

from engine.model.status import Status, Verb, allowed
from engine.model.world import ContainerRow


@dataclass(frozen=True)
class Action:
    name: str
    """`action_<name>` of the main screen."""
    keys: str
    label: str
    help: str
    group: str = "Screen"
    verbs: tuple[Verb, ...] = ()
    """It needs a selected container that at least one of these is allowed for."""
    changes: bool = False
    """Not to be had with `--read-only`."""
    footer: bool = False
    shown: str = ""
    """The key as people call it, where Textual calls it otherwise."""

    @property
    def key(self) -> str:
        return self.shown or self.keys.partition(",")[0]


_DO, _MOVE = "Containers", "Moving about"

ACTIONS = (
    Action("new", "n", "new", "Make a container: image, name, command, health check", _DO, changes=True, footer=True),
    Action(
        "start_stop", "s", "start", "Start the container, or stop it", _DO, (Verb.START, Verb.STOP), changes=True, footer=True
    ),
    Action(
        "pause", "p", "pause", "Freeze its processes, or thaw them", _DO, (Verb.PAUSE, Verb.UNPAUSE), changes=True, footer=True
    ),
    Action("lesson", "t", "lesson", "Walk through a verb step by step, and watch the kernel", _DO, changes=True, footer=True),
    Action("logs", "l", "logs", "Read what the container says", _DO, footer=True),
    Action("remove", "d,delete", "remove", "Remove the container; asks first", _DO, (Verb.REMOVE,), changes=True, footer=True),
    Action("kill", "K", "kill", "Send a signal; asks which", _DO, (Verb.KILL,), changes=True, footer=True),
    Action("copy", "c", "copy", "Copy the docker command that does the same (OSC 52, works over SSH)", _DO),
    Action(
        "filter", "slash", "filter", "Show only containers whose name, image or state has these words", footer=True, shown="/"
    ),
    Action("stopped", "z", "stopped", "Show stopped containers, or hide them"),
    Action("hold", "exclamation_mark", "hold", "Hold the screen still, or let it go on", shown="!"),
    Action("zoom", "plus", "zoom", "One pane over the whole screen, or all of them", shown="+"),
    Action("palette", "colon", "palette", "Find a command by name (also Ctrl-P)", footer=True, shown=":"),
    Action("help", "question_mark,f1", "help", "Show this help", footer=True, shown="?"),
    Action("leave", "q", "quit", "Close the dashboard; engine and containers go on"),
    Action("pane(1)", "1", "containers", "Go to the containers", _MOVE),
    Action("pane(2)", "2", "layers", "Go to the layers", _MOVE),
    Action("pane(3)", "3", "networks", "Go to the networks", _MOVE),
    Action("pane(4)", "4", "details", "Go to the tabs: Steps, Logs", _MOVE),
    Action("turn(1)", "tab", "next pane", "Next pane", _MOVE, shown="Tab"),
    Action("turn(-1)", "shift+tab", "previous pane", "Previous pane", _MOVE, shown="Shift-Tab"),
    Action("tab(1)", "right_square_bracket", "next tab", "Next tab", _MOVE, shown="]"),
    Action("tab(-1)", "left_square_bracket", "previous tab", "Previous tab", _MOVE, shown="["),
    Action("open", "enter", "open", "Open the selected container's tabs", _MOVE, shown="Enter"),
    Action("back", "escape", "back", "Back: message, filter, zoom, first pane. Never quits", _MOVE, shown="Esc"),
)

SCROLLING = (
    ("j k ↓ ↑", "Down, up"),
    ("g G", "Top, bottom"),
    ("PgDn PgUp", "A page down, up"),
    ("Ctrl-D Ctrl-U", "Half a page down, up"),
)


def bindings() -> list[BindingType]:
    return [Binding(a.keys, a.name, a.help, show=False, id=a.name) for a in ACTIONS]


def label(action: Action, row: ContainerRow | None) -> str:
    """What the key would do now."""
    if action.name == "start_stop" and row and row.status.alive:
        return "stop"
    if action.name == "pause" and row and row.status is Status.PAUSED:
        return "thaw"
    return action.label


def verb_now(action: Action, row: ContainerRow | None) -> Verb | None:
    """The verb that the key stands for in the container's status; None where none of its verbs is allowed."""
    return None if row is None else next((verb for verb in action.verbs if allowed(verb, row.status)), None)


def usable(row: ContainerRow | None, *, read_only: bool) -> Callable[[Action], bool]:
    """May this key be pressed now?"""

    def check(action: Action) -> bool:
        if action.changes and read_only:
            return False
        if not action.verbs:
            return True
        return verb_now(action, row) is not None and not (row and row.lesson)

    return check
