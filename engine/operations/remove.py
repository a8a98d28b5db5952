"""remove: past the point of no return everything create made is taken away."""

from __future__ import annotations

from msgspec.structs import replace

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.run import Way
from engine.model.status import Status
from engine.steps import teardown, unmake
from engine.steps.end import Insist, RecordExit


class GiveUp(Step[Host, Container]):
    """Pass the point of no return

    What follows deletes files, and files cannot be un-deleted. So the record says first that the container is being
    removed. If the engine dies half way, the next one reads this and finishes the work instead of trying to mend it.
    """

    do_is_final = True
    only_writes = True
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return f"Give {c.name} up: from here there is no way back"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"ls {host.facts.root}/containers",)

    async def do(self, host: Host, c: Container) -> Container:
        return replace(c, state=replace(c.state, status=Status.REMOVING))

    async def undo(self, host: Host, c: Container) -> Container:
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return "being removed" if c.state.status is Status.REMOVING else None


def remove(c: Container) -> Operation[Host, Container]:
    """A running container is killed first; the caller has asked whether that may be."""
    end: tuple[Step[Host, Container], ...] = (Insist(), RecordExit()) if c.state.status.alive else ()
    return Operation("remove", (*end, *teardown(c), GiveUp(), *unmake(c)), forget=Way.DONE)
