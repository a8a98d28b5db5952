"""Which container is meant, and whether the verb may be: what comes before every operation. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from engine.model.container import Container
from engine.model.errors import AlreadySo, Conflict, EngineError, Invalid, NotFound
from engine.model.status import Answer, Status, Verb, answer


def find(target: str, records: Mapping[str, Container]) -> Container:
    """A container by full id, exact name, or a prefix that fits one id only. Raises `NotFound`, `Invalid`."""
    if not target:
        raise Invalid("no container is named", "give a name or an id")
    if target in records:
        return records[target]
    name = target.removeprefix("/")
    named = [c for c in records.values() if c.name == name]
    found = named or [c for c in records.values() if c.id.startswith(target)]
    if not found:
        raise NotFound(f"No such container: {target}")
    if len(found) > 1:
        raise Invalid(f"multiple containers have an id that begins with {target}", "give more of it")
    return found[0]


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
            raise EngineError(f"cannot {verb} {c.name}: it is {c.status}, not paused")
        case Answer.GO:
            return


def _remedy(verb: Verb, status: Status) -> str:
    match status:
        case Status.PAUSED if verb is Verb.REMOVE:
            return "unpause and stop it first, or use force"
        case Status.PAUSED:
            return "unpause it first"
        case Status.RUNNING:
            return "stop it first, or use force"
        case Status.REMOVING | Status.CREATING:
            return "wait until that has ended"
        case Status.DEAD:
            return "remove it"
        case _:
            return "start it first"
