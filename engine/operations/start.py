"""start: first the file system, then the network, then the process."""

from __future__ import annotations

from msgspec.structs import replace

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.errors import CannotRun, GivenUp
from engine.steps.layers import MountLayers
from engine.steps.network import GiveAddress, MakeNetworkNamespace, PlugVeth, WriteNetworkFiles
from engine.steps.task import ConnectOutput, CreateTask, HandOverSpec, StartProcess

CANNOT_START = 128
"""Docker's exit code of a container that could not be started, when nothing says it better."""


def start(c: Container) -> Operation[Host, Container]:
    """`c.endpoint` is decided: where to plug in, or None for no network."""
    wiring: tuple[Step[Host, Container], ...] = (PlugVeth(), GiveAddress()) if c.endpoint else ()
    steps = (
        MountLayers(),
        MakeNetworkNamespace(),
        *wiring,
        WriteNetworkFiles(),
        ConnectOutput(),
        HandOverSpec(),
        CreateTask(),
        StartProcess(),
    )
    return Operation("start", steps, failed=failed)


def failed(c: Container, error: BaseException) -> Container:
    """What a failed start leaves in the record: the reason, and 126, 127 or 128 (reference 3.9)."""
    if isinstance(error, GivenUp):
        return c
    exit_code = error.exit_code if isinstance(error, CannotRun) else c.state.exit_code or CANNOT_START
    return replace(c, state=replace(c.state, error=str(error), exit_code=exit_code))
