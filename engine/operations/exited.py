"""exited: the process ended by itself. Its status is recorded, then start is taken down."""

from __future__ import annotations

from engine.flow.step import Operation
from engine.host import Host
from engine.model.container import Container
from engine.steps import teardown
from engine.steps.end import RecordExit


def exited(c: Container) -> Operation[Host, Container]:
    return Operation("exited", (RecordExit(), *teardown(c)))
