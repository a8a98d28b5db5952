"""What a person can do, declared once: keys, footer, help and palette are read from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.binding import Binding, BindingType

from engine.model.status import Status, Verb, allowed
from engine.model.world import ContainerRow


@dataclass(frozen=True)
class Action:
    name: str
    """`action_<name>` of the main screen."""
    keys: str
    """Empty: only in the palette."""
    label: str
    help: str
    group: str = "Screen"
    verbs: tuple[Verb, ...] = ()
    """It needs a selected container that at least one of these is allowed for."""
    alive: bool = False
    """It needs a process that runs and is not frozen."""
    changes: bool = False
    """Not to be had with `--read-only`."""
    bulk: bool = False
    """It acts on all marked containers."""
    footer: bool = False
    shown: str = ""
    """The key as people call it, where Textual calls it otherwise."""

    @property
    def key(self) -> str:
        return self.shown or self.keys.partition(",")[0]


_DO, _MARK, _MOVE = "Containers", "Marking and sorting", "Moving about"
_LOGS = "In logs"
_NETS = "In networks"
_FILES = "In files"
_IMAGES = "In images"


def _verb(name: str, keys: str, label: str, help: str, *verbs: Verb) -> Action:
    """A key for verbs that many containers can be given at once."""
    return Action(name, keys, label, help, _DO, verbs, changes=True, bulk=True, footer=True)


# Textual hears Alt and a digit as what they write on a Mac, unless the terminal speaks Kitty's protocol: `¡ ™ £ ¢`.
ACTIONS = (
    Action("new", "n", "new", "Make a container: image, name, command, health check", _DO, changes=True, footer=True),
    _verb("start_stop", "s", "start", "Start the container, or stop it", Verb.STOP, Verb.START),
    _verb("pause", "p", "pause", "Freeze its processes, or thaw them", Verb.PAUSE, Verb.UNPAUSE),
    _verb("restart", "r", "restart", "Stop it where it runs, and start it", Verb.RESTART),
    Action("shell", "e", "shell", "A shell inside, on the whole terminal", _DO, alive=True, changes=True, footer=True),
    Action("attach", "a", "attach", "The terminal joined to the container's own process", _DO, alive=True, changes=True),
    Action("lesson", "t", "lesson", "Walk through a verb step by step, and watch the kernel", _DO, changes=True, footer=True),
    Action("logs", "l", "logs", "Read what the container says", _DO, footer=True),
    Action("inspect", "i", "inspect", "Read the container's whole record", _DO),
    Action("files", "f", "files", "Look at its files: the layer each comes from, and what it hides", _DO),
    Action("image_files", "", "image files", "Look at the files of its image", _DO),
    Action("why", "W", "why not", "Say why one end cannot reach another: the path between them, really tried", _DO),
    Action("explain", "x", "explain", "Say why the container is in its state", _DO, footer=True),
    _verb("remove", "d,delete", "remove", "Remove the container; asks first", Verb.REMOVE),
    Action("kill", "K", "kill", "Send a signal; asks which", _DO, (Verb.KILL,), changes=True, bulk=True),
    Action("rename", "", "rename", "Give the container another name", _DO, (Verb.RENAME,), changes=True),
    Action("undo", "U", "undo", "Take the last action back: start and stop, pause and thaw, rename", _DO, changes=True),
    Action("copy", "c", "copy", "Copy the docker command that does the same (OSC 52, works over SSH)", _DO),
    Action("mark", "space", "mark", "Mark the container for s, p, r, d or K on many at once, and go on", _MARK, shown="Space"),
    Action("mark_range", "V", "mark range", "Mark all from the last marked one to here", _MARK),
    Action("unmark", "u", "clear marks", "Mark none", _MARK),
    Action("compare", "equals_sign", "compare", "Compare the files of two marked, or of one and its image", _MARK, shown="="),
    Action("sort(1)", "shift+right,greater_than_sign", "sort right", "Sort by the next column", _MARK, shown="Shift-→ >"),
    Action("sort(-1)", "shift+left,less_than_sign", "sort left", "Sort by the column before", _MARK, shown="Shift-← <"),
    Action("flip", "shift+up,shift+down,tilde", "sort up or down", "Sort the other way round", _MARK, shown="Shift-↑ ~"),
    Action("images", "I", "images", "Go to the images: pull, load, tag, remove, history", footer=True),
    Action(
        "filter", "slash", "filter", "Show only containers whose name, image or state has these words", footer=True, shown="/"
    ),
    Action("stopped", "z", "stopped", "Show stopped containers, or hide them"),
    Action("events", "E", "events", "Watch the engine's events as they happen"),
    Action("hold", "exclamation_mark", "hold", "Hold the screen still, or let it go on", shown="!"),
    Action("zoom", "plus", "zoom", "One pane over the whole screen, or all of them", shown="+"),
    Action("palette", "colon", "palette", "Find a command by name (also Ctrl-P)", footer=True, shown=":"),
    Action("help", "question_mark,f1", "help", "Show this help", footer=True, shown="?"),
    Action("leave", "q", "quit", "Close the dashboard; engine and containers go on", footer=True),
    Action("pane(1)", "1,alt+1,inverted_exclamation_mark", "containers", "Go to the containers", _MOVE, shown="1 Alt-1"),
    Action("pane(2)", "2,alt+2,trade_mark_sign", "layers", "Go to the layers", _MOVE, shown="2 Alt-2"),
    Action("pane(3)", "3,alt+3,pound_sign", "networks", "Go to the networks", _MOVE, shown="3 Alt-3"),
    Action("pane(4)", "4,alt+4,cent_sign", "details", "Go to the tabs: Steps, Logs and so on", _MOVE, shown="4 Alt-4"),
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

LOGS = (
    Action("follow", "f", "follow", "Follow what is said, or hold the view still", _LOGS, footer=True),
    Action("search", "slash", "search", "Look for a text or a regular expression", _LOGS, footer=True, shown="/"),
    Action("again(1)", "n", "next match", "The next match, while there is a search", _LOGS),
    Action("again(-1)", "N", "match before", "The match before", _LOGS),
    Action(
        "filter",
        "ampersand",
        "filter",
        "Show only lines that match; with ! in front, only others",
        _LOGS,
        footer=True,
        shown="&",
    ),
    Action("wrap", "w", "wrap", "Wrap long lines, or not; then ← → move sideways", _LOGS, footer=True),
    Action("times", "t", "times", "Show no timestamps, the time, the date too", _LOGS, footer=True),
    Action("mark", "m", "mark", "Draw a line with the time", _LOGS, footer=True),
    Action("save", "ctrl+s", "save", "Save the lines in a file; asks where", _LOGS, footer=True, shown="Ctrl-S"),
    Action("copy", "c", "copy", "Copy the lines on the screen, or the match stood on", _LOGS),
    Action("window(0)", "0", "all", "All lines. The panes are Alt-1 to Alt-4 here", _LOGS),
    Action("window(1)", "1", "1 min", "What was said in the last minute", _LOGS),
    Action("window(2)", "2", "5 min", "In the last 5 minutes", _LOGS),
    Action("window(3)", "3", "15 min", "In the last 15 minutes", _LOGS),
    Action("window(4)", "4", "1 h", "In the last hour", _LOGS),
    Action("window(5)", "5", "6 h", "In the last 6 hours", _LOGS),
    Action("window(6)", "6", "1 day", "In the last day", _LOGS),
    Action("shift(-1)", "left", "left", "To the left, where lines are not wrapped", _LOGS, shown="←"),
    Action("shift(1)", "right", "right", "To the right", _LOGS, shown="→"),
)
"""The keys of the Logs tab, and of nothing else: `action_<name>` of the tab. Lines marked `!` are standard error."""


FILES = (
    Action("open", "enter", "open", "Open or close a directory; read what is in a file", _FILES, footer=True, shown="Enter"),
    Action("unfold", "right,l", "open", "Open a directory", _FILES, shown="→ l"),
    Action("fold", "left,h", "close", "Close it, or go to the directory above", _FILES, shown="← h"),
    Action("only", "f", "only changes", "Show only what has changed, or all", _FILES, footer=True),
    Action("search", "slash", "search", "Look for a name among the lines there are", _FILES, footer=True, shown="/"),
    Action("again(1)", "n", "next match", "The next match", _FILES),
    Action("again(-1)", "N", "match before", "The match before", _FILES),
    Action("copy", "c", "copy path", "Copy the path (OSC 52, works over SSH)", _FILES, footer=True),
    Action("reload", "r", "look again", "Fetch all that is open again", _FILES, footer=True),
    Action("turn", "tab", "content", "To the content, and back", _FILES, footer=True, shown="Tab"),
    Action("leave", "q", "leave", "Back to the containers", _FILES),
    Action("back", "escape", "back", "Back: content, search, only changes, this screen", _FILES, footer=True, shown="Esc"),
)
"""The keys of the file tree: `action_<name>` of its screen."""


IMAGES = (
    Action("pull", "p", "pull", "Fetch an image from a registry; asks which", _IMAGES, changes=True, footer=True),
    Action("new", "n", "new", "Make a container from the image", _IMAGES, changes=True, footer=True),
    Action("tag", "t", "tag", "Give the image one more name", _IMAGES, changes=True, footer=True),
    Action(
        "remove",
        "d,delete",
        "remove",
        "Remove the name, and with the last the image; asks first",
        _IMAGES,
        changes=True,
        bulk=True,
        footer=True,
    ),
    Action("undo", "U", "undo", "Take the last tag back", _IMAGES, changes=True),
    Action("inspect", "i", "inspect", "All that the engine knows of the image", _IMAGES, footer=True),
    Action("history", "h", "history", "The instructions that made it, with size and age", _IMAGES, footer=True),
    Action("files", "f", "files", "Look at its files: the layer each comes from, and what it hides", _IMAGES),
    Action("load", "L", "load", "Load an archive from a file; asks which", _IMAGES, changes=True, footer=True),
    Action("save", "ctrl+s", "save", "Save the image, or all that are marked, to a file", _IMAGES, bulk=True, shown="Ctrl-S"),
    Action("push", "P", "push", "Bring the image to the registry its name says", _IMAGES, changes=True),
    Action(
        "prune", "b", "prune", "Remove what no container uses; shows first what it frees", _IMAGES, changes=True, footer=True
    ),
    Action("compare", "equals_sign", "compare", "Compare the files of two marked images", _IMAGES, shown="="),
    Action("copy", "c", "copy", "Copy the docker command that does the same (OSC 52, works over SSH)", _IMAGES),
    Action("mark", "space", "mark", "Mark the image for d, Ctrl-S or =, and go on", _IMAGES, shown="Space"),
    Action("mark_range", "V", "mark range", "Mark all from the last marked one to here", _IMAGES),
    Action("unmark", "u", "clear marks", "Mark none", _IMAGES),
    Action("sort(1)", "shift+right,greater_than_sign", "sort right", "Sort by the next column", _IMAGES, shown="Shift-→ >"),
    Action("sort(-1)", "shift+left,less_than_sign", "sort left", "Sort by the column before", _IMAGES, shown="Shift-← <"),
    Action("flip", "shift+up,shift+down,tilde", "sort up or down", "Sort the other way round", _IMAGES, shown="Shift-↑ ~"),
    Action("filter", "slash", "filter", "Show only images whose name or id has these words", _IMAGES, footer=True, shown="/"),
    Action("hidden", "z", "parents", "Show images without a name that others were made from, or hide them", _IMAGES),
    Action("hold", "exclamation_mark", "hold", "Hold the screen still, or let it go on", _IMAGES, shown="!"),
    Action("zoom", "plus", "zoom", "One pane over the whole screen, or all of them", _IMAGES, shown="+"),
    Action("pane(1)", "1", "images", "Go to the images", _IMAGES),
    Action("pane(2)", "2", "layers", "Go to the image's layers", _IMAGES),
    Action("pane(3)", "3", "history", "Go to the image's history", _IMAGES),
    Action("pane(4)", "4", "on their way", "Go to what is pulled, pushed, loaded or saved; Esc gives it up there", _IMAGES),
    Action("turn(1)", "tab", "next pane", "Next pane", _IMAGES, shown="Tab"),
    Action("turn(-1)", "shift+tab", "previous pane", "Previous pane", _IMAGES, shown="Shift-Tab"),
    Action("palette", "colon", "palette", "Find a command by name (also Ctrl-P)", _IMAGES, footer=True, shown=":"),
    Action("help", "question_mark,f1", "help", "Show this help", _IMAGES, footer=True, shown="?"),
    Action("open", "enter", "open", "Open the files of the image", _IMAGES, shown="Enter"),
    Action("leave", "q,I", "leave", "Back to the containers; pulls go on", _IMAGES, shown="q I"),
    Action(
        "back", "escape", "back", "Back: message, pull, marks, filter, zoom, this screen", _IMAGES, footer=True, shown="Esc"
    ),
)
"""The keys of the images: `action_<name>` of their screen."""


def _on_networks(name: str, keys: str, label: str, help: str) -> Action:
    return Action(name, keys, label, help, _NETS, changes=True, footer=True)


NETWORKS = (
    Action("open", "enter,w", "both ends", "Both ends of a cable; all of a network", _NETS, footer=True, shown="Enter"),
    _on_networks("new_network", "n", "new network", "Make a network: ranges, gateway, IPv6, internal"),
    _on_networks("connect", "a", "connect", "Plug a container into a network; asks which, and how it is called there"),
    _on_networks("unplug", "d,delete", "remove", "Pull the cable, or remove the network; asks first"),
    _on_networks("prune_networks", "P", "prune", "Remove all networks that nobody is on; asks first"),
    _on_networks("teach_network", "t", "lesson", "The same, step by step"),
    Action("fold", "left,h", "close", "Hide the cables of a network", _NETS, shown="← h"),
    Action("unfold", "right,l", "open", "Show them again", _NETS, shown="→ l"),
)
"""The keys of the Networks pane: `action_<name>` of the main screen."""


def bindings(table: Sequence[Action] = ACTIONS, prefix: str = "") -> list[BindingType]:
    return [Binding(a.keys, a.name, a.help, show=False, id=prefix + a.name) for a in table if a.keys]


def named(name: str) -> Action:
    return next(action for action in ACTIONS if action.name == name)


_WORDS = {Verb.STOP: "stop", Verb.START: "start", Verb.UNPAUSE: "thaw", Verb.PAUSE: "pause"}


def label(action: Action, rows: Sequence[ContainerRow]) -> str:
    """What the key would do now, to these containers: the selected one, or the marked ones."""
    verb = verb_now(action, rows)
    text = _WORDS.get(verb, action.label) if verb else action.label
    return f"{text} {len(rows)}" if len(rows) > 1 and action.bulk else text


def verb_now(action: Action, rows: Sequence[ContainerRow]) -> Verb | None:
    """The verb that the key stands for: the first that one of the containers can take. None: it stands for none."""
    return next((verb for verb in action.verbs if any(allowed(verb, row.status) for row in rows)), None)


def usable(rows: Sequence[ContainerRow], *, read_only: bool) -> Callable[[Action], bool]:
    """May this key be pressed now?"""

    def check(action: Action) -> bool:
        if action.changes and read_only:
            return False
        if action.alive:
            return any(row.status is Status.RUNNING and not row.lesson for row in rows)
        if not action.verbs:
            return True
        return verb_now(action, [row for row in rows if not row.lesson]) is not None

    return check
