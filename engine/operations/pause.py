"""pause: the cgroup freezer."""

from __future__ import annotations

from engine.flow.step import Operation
from engine.host import Host
from engine.model.container import Container
from engine.steps.task import Freeze


def pause(c: Container) -> Operation[Host, Container]:
    return Operation("pause", (Freeze(),), lasts=False)
