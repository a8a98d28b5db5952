"""start: first the file system, then the network, then the process."""

from __future__ import annotations

from msgspec.structs import replace

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.errors import CannotRun, GivenUp
from engine.spec.wiring import has_names, own_namespace, shares_with, way_out
from engine.steps.layers import MountLayers
from engine.steps.names import AnswerNames
from engine.steps.network import GiveAddress, MakeNetworkNamespace, PlugVeth, SetDefaultRoute, WriteNetworkFiles
from engine.steps.ports import publishing
from engine.steps.task import ConnectOutput, CreateTask, HandOverSpec, StartProcess

CANNOT_START = 128
"""Docker's exit code of a container that could not be started, when nothing says it better."""


def start(c: Container) -> Operation[Host, Container]:
    """`c.endpoints` and `c.bindings` are decided: where to plug in, and what to publish."""
    steps = (
        MountLayers(),
        *wiring(c),
        ConnectOutput(),
        HandOverSpec(),
        CreateTask(),
        StartProcess(),
    )
    return Operation("start", steps, failed=failed)


def wiring(c: Container) -> tuple[Step[Host, Container], ...]:
    """The network, as its mode wants it: a namespace of its own with its cables, the host's, or another container's."""
    if shares_with(c):
        return ()
    if not own_namespace(c):
        return (WriteNetworkFiles(),)
    steps: list[Step[Host, Container]] = [MakeNetworkNamespace()]
    for e in c.endpoints:
        steps += [PlugVeth(e.key), GiveAddress(e.key)]
    if out := way_out(c.endpoints):
        steps.append(SetDefaultRoute("", out.key))
        steps += publishing(c, out)
    if has_names(c.endpoints):
        steps.append(AnswerNames())
    return (*steps, WriteNetworkFiles())


def failed(c: Container, error: BaseException) -> Container:
    """What a failed start leaves in the record: the reason, and 126, 127 or 128 (reference 3.9)."""
    if isinstance(error, GivenUp):
        return c
    exit_code = error.exit_code if isinstance(error, CannotRun) else c.state.exit_code or CANNOT_START
    return replace(c, state=replace(c.state, error=str(error), exit_code=exit_code))
