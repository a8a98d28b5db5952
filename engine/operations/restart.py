"""restart: stop, then start. Two operations in a row; the first says in the record that the second is to follow."""

from __future__ import annotations

import dataclasses

from engine.flow.step import Operation
from engine.host import Host
from engine.model.container import Container
from engine.model.run import Way
from engine.model.status import Verb


def restart(half: Operation[Host, Container]) -> Operation[Host, Container]:
    """A stop or a start, as a part of a restart."""
    return dataclasses.replace(half, compound=str(Verb.RESTART))


def to_be_started(c: Container) -> bool:
    """Its restart has done the first half, and not begun the second."""
    run = c.run
    return run is not None and run.compound == Verb.RESTART and run.verb == Verb.STOP and run.way is Way.DONE
