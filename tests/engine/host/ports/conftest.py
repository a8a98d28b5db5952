"""A machine of the test's own where every port is free, and ports on it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.host.ports import HostPorts
from engine.host.tools import tell
from tests.engine.host.helpers import helpers
from tests.engine.host.ports.world import Make


@pytest.fixture
async def make(machine: None, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes ports on one exec root, as one engine after the other has them; or on another. Leaves no holder behind."""
    await tell("ip", "link", "set", "lo", "up")
    made: list[HostPorts] = []
    roots: set[Path] = set()

    def port(root: str = "run", idle: float = 90.0) -> HostPorts:
        directory = tmp_path / root
        directory.mkdir(exist_ok=True)
        roots.add(directory)
        made.append(HostPorts(str(directory), idle=idle))
        return made[-1]

    yield port
    for each in made:
        await each.close()
    for root in roots:
        for pid in helpers(root / "ports.sock"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def ports(make: Make) -> HostPorts:
    return make()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The holder's socket."""
    return tmp_path / "run/ports.sock"
