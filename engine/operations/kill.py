"""kill: one signal. SIGKILL is waited for and cleaned up after; any other is only sent."""

from __future__ import annotations

import signal as signals

from engine.flow.step import Operation, Reverse, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.status import Status
from engine.steps import teardown
from engine.steps.end import CancelRestart, Insist, RecordExit, SendSignal
from engine.steps.task import Freeze


def kill(c: Container, signal: int, *, is_stop_signal: bool = True) -> Operation[Host, Container]:
    """`is_stop_signal`: this signal is meant to end the container, so a frozen one is thawed for it (reference 4.2)."""
    if c.status is Status.RESTARTING:
        return Operation("kill", (CancelRestart(),))
    if signal == signals.SIGKILL:
        return Operation("kill", (Insist(), RecordExit(), *teardown(c)))
    thaw: tuple[Step[Host, Container], ...] = (Reverse(Freeze()),) if is_stop_signal and c.status is Status.PAUSED else ()
    return Operation("kill", (SendSignal(signal), *thaw))
