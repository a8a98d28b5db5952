"""stop: ask, wait, insist; then everything start put up is taken down, last first."""

from __future__ import annotations

from engine.flow.step import Operation, Reverse, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.interface import Params
from engine.model.status import Status
from engine.steps import teardown
from engine.steps.end import CancelRestart, Insist, RecordExit, SendSignal, WaitForExit
from engine.steps.task import Freeze

STOP_SECONDS = 10
"""Docker's grace time when neither the request nor the container says one."""


def grace(c: Container, params: Params) -> float:
    """How long the process may take to end: what the request says, else the container."""
    seconds = params.get("t")
    if seconds is None:
        seconds = c.config.stop_timeout
    return float(STOP_SECONDS if seconds is None else seconds)


def stop(c: Container, signal: int, seconds: float, *, manual: bool = True) -> Operation[Host, Container]:
    """`seconds`: the grace time; negative: wait for ever. `manual`: somebody asked for it, so no policy starts it again."""
    if c.status is Status.RESTARTING:
        return Operation("stop", (CancelRestart(),))
    # A frozen process takes the signal when it thaws; asked first, it wakes up to it.
    thaw: tuple[Step[Host, Container], ...] = (Reverse(Freeze()),) if c.status is Status.PAUSED else ()
    down = tuple(step for step in teardown(c) if step.name != Freeze.__name__)
    return Operation("stop", (SendSignal(signal, manual), *thaw, WaitForExit(seconds), Insist(manual), RecordExit(), *down))
