"""Steps that two or more operations share, by subject. Importing this package fills the catalogue."""

from __future__ import annotations

from engine.flow.step import Reverse, Step, held_steps
from engine.host import Host
from engine.model.container import Container

ContainerStep = Step[Host, Container]


def teardown(c: Container) -> tuple[ContainerStep, ...]:
    """Take down what start and pause put up: the steps the record holds, last first."""
    from engine.steps.layers import KEPT

    return tuple(Reverse(step) for step in reversed(held_steps(c)) if step.name not in KEPT)


def unmake(c: Container) -> tuple[ContainerStep, ...]:
    """Take away what create made, last first."""
    from engine.steps.layers import KEPT

    return tuple(Reverse(step) for step in reversed(held_steps(c)) if step.name in KEPT)
