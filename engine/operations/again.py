"""again: the back-off is over, and the restart policy starts the container once more."""

from __future__ import annotations

from msgspec.structs import replace

from engine.flow.step import Operation
from engine.host import Host
from engine.model.container import Container
from engine.model.errors import GivenUp
from engine.model.status import Status
from engine.operations.start import start


def again(c: Container) -> Operation[Host, Container]:
    return Operation("start", start(c).steps, failed=failed)


def failed(c: Container, error: BaseException) -> Container:
    """It stays ended, with the exit code it had and the reason why it is not started again (reference 4.5)."""
    if isinstance(error, GivenUp):
        return c
    return replace(c, restart_at=None, state=replace(c.state, status=Status.EXITED, error=str(error)))
