"""unpause: pause, walked the other way."""

from __future__ import annotations

from engine.flow.step import Operation, Reverse
from engine.host import Host
from engine.model.container import Container
from engine.steps.task import Freeze


def unpause(c: Container) -> Operation[Host, Container]:
    return Operation("unpause", (Reverse(Freeze()),), lasts=False)
