"""create: settings become a record, and three kinds of directories. Nothing is mounted, no process runs."""

from __future__ import annotations

from msgspec.structs import replace

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.run import Way
from engine.model.status import Status
from engine.steps.layers import MakeInitLayer, MakeWritableLayer, WriteSettings


class Announce(Step[Host, Container]):
    """Announce the container

    All parts lie ready, so the record's status becomes "created". Until this moment a failure would have taken everything
    away again and the name would be free; from now on the container stays until somebody removes it.
    """

    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return f"Announce {c.name}"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"docker -H unix://{host.facts.exec_root}/engine.sock ps -a",)

    async def do(self, host: Host, c: Container) -> Container:
        return replace(c, state=replace(c.state, status=Status.CREATED))

    async def undo(self, host: Host, c: Container) -> Container:
        return replace(c, state=replace(c.state, status=Status.CREATING))

    async def evidence(self, host: Host, c: Container) -> str | None:
        return None if c.state.status is Status.CREATING else f"{c.name} is {c.state.status}"


def create(c: Container) -> Operation[Host, Container]:
    return Operation("create", (MakeInitLayer(), MakeWritableLayer(), WriteSettings(), Announce()), forget=Way.UNDONE)
