"""rename: another name for the same container. Its id, its directories and its host name stay as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.errors import Invalid
from engine.spec.identity import check_name, free


@dataclass(frozen=True)
class TakeName(Step[Host, Container]):
    """Take another name

    A name is for people. The engine knows the container by its id: 64 hexadecimal digits, drawn at random when it was
    created, in the name of every directory, cgroup and cable that is its own. None of them carries the name, so a new one
    is a single word changed in a single file, and the process inside notices nothing.
    """

    old: str
    new: str
    only_writes = True
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return f"Call it {self.old if back else self.new}"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"grep '\"Name\"' {host.facts.root}/containers/{c.id}/config.v2.json",)

    async def do(self, host: Host, c: Container) -> Container:
        return replace(c, name=self.new)

    async def undo(self, host: Host, c: Container) -> Container:
        return replace(c, name=self.old)

    async def evidence(self, host: Host, c: Container) -> str | None:
        return f"{c.short_id} is called {c.name}" if c.name == self.new else None


def rename(c: Container, name: str, others: Iterable[Container]) -> Operation[Host, Container]:
    """Raises `Invalid` for what is no name or is its own, `Conflict` for a taken one."""
    if not name:
        raise Invalid(f"cannot rename {c.name}: no new name is given", "give one")
    name = check_name(name)
    if name == c.name:
        raise Invalid(f"cannot rename {c.name}: that is its name already", "give another")
    free(name, others)
    return Operation("rename", (TakeName(c.name, name),))
