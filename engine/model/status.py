"""The one table: which verb is allowed in which status.

Statuses and codes are Docker's (Engine API 1.43). The API's 304 and 409, the screen's greyed keys and the diagram in
the README are read from `TRANSITIONS`; nothing else decides what may follow what.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    CREATING = "creating"
    """Being made: `create` is in flight. Shown to Docker clients as created."""
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    """Ended, and its restart policy will start it again when the back-off is over. It holds nothing meanwhile."""
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"
    """Broken or half removed. `remove` helps, and where it is broken a start, which first takes it up again."""

    @property
    def alive(self) -> bool:
        """A process exists, frozen or not."""
        return self in (Status.RUNNING, Status.PAUSED)

    @property
    def up(self) -> bool:
        """Docker's `Running` flag: a process exists, or will again without anybody asking."""
        return self.alive or self is Status.RESTARTING

    def flags(self) -> dict[str, bool]:
        """Docker's flags for readers of `config.v2.json` and `inspect`."""
        return {
            "Running": self.up,
            "Paused": self is Status.PAUSED,
            "Restarting": self is Status.RESTARTING,
            "RemovalInProgress": self is Status.REMOVING,
            "Dead": self is Status.DEAD,
        }


class Verb(StrEnum):
    CREATE = "create"
    START = "start"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    STOP = "stop"
    KILL = "kill"
    RESTART = "restart"
    """Stop, where it runs, then start."""
    RENAME = "rename"
    UPDATE = "update"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    REMOVE = "remove"
    EXITED = "exited"
    """The process ended by itself."""
    AGAIN = "again"
    """The back-off is over: its restart policy starts it once more."""

    @property
    def asked(self) -> bool:
        """Somebody can ask for it. That a process has ended, or a time is over, nobody has to say."""
        return self not in (Verb.EXITED, Verb.AGAIN)


class NetworkVerb(StrEnum):
    """What can be done to a network. It has no statuses: it is there, or it is not."""

    CREATE = "create_network"
    REMOVE = "remove_network"


class Answer(StrEnum):
    GO = "go"
    SO = "already so"
    CONFLICT = "conflict"
    ERROR = "error"
    """Docker answers 500 here, not 409: unpause of what is not paused, restart and update of what is dead."""


GO, SO, NO, ERR = Answer.GO, Answer.SO, Answer.CONFLICT, Answer.ERROR

_ORDER = (
    Status.CREATED,
    Status.RUNNING,
    Status.PAUSED,
    Status.RESTARTING,
    Status.EXITED,
    Status.REMOVING,
    Status.DEAD,
)

TRANSITIONS: Final[dict[Verb, dict[Status, Answer]]] = {
    #                              created running paused restarting exited removing dead
    Verb.START: dict(zip(_ORDER, (GO, SO, NO, SO, GO, NO, NO), strict=True)),
    Verb.PAUSE: dict(zip(_ORDER, (NO, GO, NO, NO, NO, NO, NO), strict=True)),
    Verb.UNPAUSE: dict(zip(_ORDER, (ERR, ERR, GO, ERR, ERR, ERR, ERR), strict=True)),
    Verb.STOP: dict(zip(_ORDER, (SO, GO, GO, GO, SO, SO, SO), strict=True)),
    Verb.KILL: dict(zip(_ORDER, (NO, GO, GO, GO, NO, NO, NO), strict=True)),
    Verb.RESTART: dict(zip(_ORDER, (GO, GO, GO, GO, GO, ERR, ERR), strict=True)),
    Verb.RENAME: dict(zip(_ORDER, (GO, GO, GO, GO, GO, GO, GO), strict=True)),
    Verb.UPDATE: dict(zip(_ORDER, (GO, GO, GO, GO, GO, ERR, ERR), strict=True)),
    Verb.CONNECT: dict(zip(_ORDER, (GO, GO, GO, GO, GO, ERR, ERR), strict=True)),
    Verb.DISCONNECT: dict(zip(_ORDER, (GO, GO, GO, GO, GO, ERR, ERR), strict=True)),
    Verb.REMOVE: dict(zip(_ORDER, (GO, NO, NO, NO, GO, NO, GO), strict=True)),
    Verb.EXITED: dict(zip(_ORDER, (SO, GO, GO, SO, SO, SO, SO), strict=True)),
    Verb.AGAIN: dict(zip(_ORDER, (SO, SO, SO, GO, SO, SO, SO), strict=True)),
}
"""What each verb answers in each status. `create` begins from nothing and has no row."""

FORCED: Final = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})
"""Where `remove` answers conflict, but goes when forced: it kills first."""

AFTER: Final[dict[Verb, Status | None]] = {
    Verb.CREATE: Status.CREATED,
    Verb.START: Status.RUNNING,
    Verb.PAUSE: Status.PAUSED,
    Verb.UNPAUSE: Status.RUNNING,
    Verb.STOP: Status.EXITED,
    Verb.KILL: Status.EXITED,
    Verb.RESTART: Status.RUNNING,
    Verb.EXITED: Status.EXITED,
    Verb.AGAIN: Status.RUNNING,
    Verb.REMOVE: None,
}
"""The status a verb ends in. None: gone. Verbs that are not here leave the status as it is."""


def after(verb: Verb, status: Status) -> Status | None:
    """The status `verb` brings a container in `status` to. None: gone."""
    return AFTER.get(verb, status)


def answer(verb: Verb, status: Status, *, forced: bool = False) -> Answer:
    """What `verb` answers to a container in `status`."""
    if status is Status.CREATING:
        return Answer.CONFLICT
    if verb is Verb.REMOVE and forced and status in FORCED:
        return Answer.GO
    return TRANSITIONS[verb][status]


def allowed(verb: Verb, status: Status) -> bool:
    """May the key for `verb` be pressed here?"""
    return answer(verb, status, forced=True) is Answer.GO
