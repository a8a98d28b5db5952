"""One real private containerd for the session, and containers that are gone when the test is."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.host import Facts
from engine.host.containerd.daemon import Daemon

from .kit import Kit, remove_cgroups


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a static busybox, `/bin/sh` and a file that is not executable."""
    root = tmp_path_factory.mktemp("rootfs")
    for directory in ("bin", "proc", "tmp"):
        (root / directory).mkdir()
    shutil.copy("/usr/bin/busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / "bin/plain").write_text("text")
    return root


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    """Facts for a containerd of the test's own. Whatever it left running is ended."""
    top = tmp_path_factory.mktemp("cd")
    parent = f"/longshore-test-{uuid.uuid4().hex[:8]}"
    facts = Facts(root=str(top / "root"), exec_root=str(top / "run"), cgroup_parent=parent)
    yield facts
    asyncio.run(Daemon(facts).stop())
    remove_cgroups(parent)


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    """Facts for the containerd that the session shares, and that containerd. Each test connects on a loop of its own."""
    top = tmp_path_factory.mktemp("cd")
    parent = f"/longshore-test-{uuid.uuid4().hex[:8]}"
    facts = Facts(root=str(top / "root"), exec_root=str(top / "run"), cgroup_parent=parent)

    async def start() -> None:
        daemon = Daemon(facts)
        await daemon.start()
        await daemon.release()

    asyncio.run(start())
    yield facts
    asyncio.run(Daemon(facts).stop())
    remove_cgroups(parent)


@pytest.fixture
async def kit(facts: Facts, rootfs: Path) -> AsyncIterator[Kit]:
    """A kit connected to the session's containerd."""
    kit = Kit(Daemon(facts).address, facts, rootfs)
    await kit.tasks.connect()
    yield kit
    await kit.clean()
    await kit.tasks.close()
