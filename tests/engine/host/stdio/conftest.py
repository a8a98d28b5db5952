"""Ports on real FIFOs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.host.stdio import KernelStdio
from tests.engine.host.stdio.ports import FOREVER, ID, Make


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes ports on one root and exec root, as one engine after the other has them; leaves no keeper behind."""
    ports: list[KernelStdio] = []
    containers = tmp_path / "containers"
    (containers / ID).mkdir(parents=True)

    def port(patience: float = FOREVER) -> KernelStdio:
        ports.append(KernelStdio(str(tmp_path), str(tmp_path / "run"), patience=patience))
        return ports[-1]

    yield port
    for each in ports:
        await each.close()
    last = port(0.0)
    for left in (tmp_path / "run/stdio").iterdir() if (tmp_path / "run/stdio").exists() else ():
        if left.is_dir():
            await last.drop(left.name.removesuffix("-removing"))
    await last.close()
