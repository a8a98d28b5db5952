from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.host.registry import Registries
from tests.engine.host.registry.kit import opened
from tests.registries import DebianRegistry


@pytest.fixture
async def debian(tmp_path: Path) -> AsyncIterator[DebianRegistry]:
    async with DebianRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
async def registries(tmp_path: Path) -> AsyncIterator[Registries]:
    port = opened(tmp_path / "root")
    yield port
    await port.close()
