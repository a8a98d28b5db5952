"""Which container is meant, with which parameters, and whether the verb may be: what comes before every operation. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from engine.model.container import Container
from engine.model.errors import AlreadySo, Conflict, EngineError, Invalid, NotFound
from engine.model.interface import Params
from engine.model.status import Answer, Status, Verb, answer


class _None(Struct, forbid_unknown_fields=True):
    pass


class _Create(Struct, forbid_unknown_fields=True):
    name: str | None = None
    body: Any = None


class _Stop(Struct, forbid_unknown_fields=True):
    signal: str | None = None
    t: int | None = None


class _Kill(Struct, forbid_unknown_fields=True):
    signal: str | None = None


class _Rename(Struct, forbid_unknown_fields=True):
    name: str = ""


class _Update(Struct, forbid_unknown_fields=True):
    body: dict[str, Any] = {}
    unlink: str = ""
    """Instead: whom it is to know no more, by the link's name."""

    def __post_init__(self) -> None:
        if self.body and self.unlink:
            raise ValueError("give either `body` or `unlink`")


class _Connect(Struct, forbid_unknown_fields=True):
    network: str
    endpoint: dict[str, Any] | None = None


class _Disconnect(Struct, forbid_unknown_fields=True):
    network: str
    force: bool = False


class _Remove(Struct, forbid_unknown_fields=True):
    force: bool = False
    v: bool = False


PARAMS: Mapping[Verb, type[Struct]] = {
    Verb.CREATE: _Create,
    Verb.STOP: _Stop,
    Verb.KILL: _Kill,
    Verb.RESTART: _Stop,
    Verb.RENAME: _Rename,
    Verb.UPDATE: _Update,
    Verb.CONNECT: _Connect,
    Verb.DISCONNECT: _Disconnect,
    Verb.REMOVE: _Remove,
}
"""What a verb can be told; every other takes nothing."""


def check(verb: Verb, params: Params) -> None:
    """Raise `Invalid` for a parameter that the verb does not know, or of a wrong type."""
    try:
        msgspec.convert(dict(params), PARAMS.get(verb, _None))
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot {verb}: {error}") from error


CONDITIONS = ("not-running", "next-exit", "removed")
"""What `wait` can wait for."""


def check_condition(condition: str) -> None:
    """Raises `Invalid` for a condition that nobody knows."""
    if condition not in CONDITIONS:
        raise Invalid(f"invalid condition: {condition!r}", f"give one of {', '.join(CONDITIONS)}")


def find(target: str, records: Mapping[str, Container]) -> Container:
    """A container by full id, exact name, a link's name, or a prefix that fits one id only. Raises `NotFound`, `Invalid`."""
    if not target:
        raise Invalid("no container is named", "give a name or an id")
    if target in records:
        return records[target]
    name = target.removeprefix("/")
    named = [c for c in records.values() if c.name == name]
    found = named or _linked(name, records) or [c for c in records.values() if c.id.startswith(target)]
    if not found:
        raise NotFound(f"No such container: {target}")
    if len(found) > 1:
        raise Invalid(f"multiple containers have an id that begins with {target}", "give more of it")
    return found[0]


def _linked(name: str, records: Mapping[str, Container]) -> list[Container]:
    """`web/db`: whom the container `web` is linked to by the name `db` (`engine.spec.links`)."""
    parent, slash, alias = name.partition("/")
    links = (link for c in records.values() if slash and c.name == parent for link in c.host_config.links or ())
    return [records[id] for id, _, known in (link.partition(":") for link in links) if known == alias and id in records]


def refuse(verb: Verb, c: Container, *, forced: bool) -> None:
    """Raise what the transition table says against a verb: `AlreadySo`, `Conflict`, and for unpause a plain error."""
    if verb is Verb.CREATE:
        return
    match answer(verb, c.status, forced=forced):
        case Answer.SO:
            raise AlreadySo(f"cannot {verb} {c.name}: it is {c.status} already")
        case Answer.CONFLICT:
            raise Conflict(f"cannot {verb} {c.name}: it is {c.status}", _remedy(verb, c.status))
        case Answer.ERROR:
            what = ", not paused" if verb is Verb.UNPAUSE else ""
            raise EngineError(f"cannot {verb} {c.name}: it is {c.status}{what}", _remedy(verb, c.status))
        case Answer.GO:
            return


def _remedy(verb: Verb, status: Status) -> str:
    match status:
        case Status.PAUSED if verb is Verb.REMOVE:
            return "unpause and stop it first, or use force"
        case Status.PAUSED:
            return "unpause it first"
        case _ if verb is Verb.UNPAUSE:
            return ""
        case Status.RESTARTING if verb is Verb.REMOVE:
            return "stop it first, or use force"
        case Status.RESTARTING:
            return "wait for its next start, or stop it"
        case Status.RUNNING:
            return "stop it first, or use force"
        case Status.REMOVING | Status.CREATING:
            return "wait until that has ended"
        case Status.DEAD:
            return "remove it"
        case _:
            return "start it first"
