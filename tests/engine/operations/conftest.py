"""An engine on a simulated host, for what each verb means. That it is atomic is the crash matrix's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from tests.engine.worlds import engine_on


@pytest.fixture
def world() -> SimulatedWorld:
    return SimulatedWorld()


@pytest.fixture
async def engine(world: SimulatedWorld) -> AsyncIterator[Engine]:
    engine = await engine_on(world)
    yield engine
    await engine.close()
