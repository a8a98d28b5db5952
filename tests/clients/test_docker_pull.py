"""`docker pull` and `docker run` of what is not here, on a real engine and Debian's docker-registry."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.host.registry import Registries
from tests.clients.test_docker import Docker
from tests.conftest import SpawnEngine
from tests.engine.host.archives import digest, entry, tar
from tests.engine.host.registry.kit import opened, put, repository
from tests.engine.host.registry.test_parts import Cutting
from tests.registries import DebianRegistry, Front, Server

LAYERS = [
    tar(entry("etc/greeting", b"hello\n"), entry("etc/gone", b"x")),
    tar(entry("etc/.wh.gone"), entry("etc/size", random.Random(1).randbytes(3_000_000))),
]


@pytest.fixture
async def registries(tmp_path: Path) -> AsyncIterator[Registries]:
    port = opened(tmp_path / "ours")
    yield port
    await port.close()


@pytest.fixture
async def docker(spawn_engine: SpawnEngine) -> Docker:
    return Docker(await spawn_engine())


async def test_pull(docker: Docker, registries: Registries, tmp_path: Path) -> None:
    async with DebianRegistry(tmp_path / "r") as registry:
        name, data = await put(repository(registries, registry.name, push=True), "1", LAYERS)
        web = f"{registry.name}/web"
        said = await docker.good("pull", f"{web}:1")
        assert f"Digest: {name}" in said and f"Status: Downloaded newer image for {web}:1" in said
        assert "1: Pulling from web" in said and f"{digest(LAYERS[0])[7:19]}: Pull complete" in said
        shown = json.loads(await docker.good("image", "inspect", f"{web}:1"))[0]
        assert shown["Id"] == json.loads(data)["config"]["digest"] and shown["RepoDigests"] == [f"{web}@{name}"]
        assert shown["RootFS"]["Layers"] == [digest(layer) for layer in LAYERS]
        upper = Path(shown["GraphDriver"]["Data"]["UpperDir"])
        assert (upper / "etc/gone").is_char_device() and (upper / "etc/size").stat().st_size == 3_000_000
        assert "Image is up to date" in await docker.good("pull", f"{web}:1")

        missing = await docker("pull", f"{web}:2")
        assert missing.code == 1 and f"manifest for {web}:2 not found" in missing.err
        id = await docker.good("create", f"{web}@{name}", "true")
        await docker.good("rm", id)
        assert not list(Path(docker.engine.root, "tmp/pull").iterdir())


async def test_an_engine_that_was_killed_goes_on_where_it_was(docker: Docker, registries: Registries, tmp_path: Path) -> None:
    """The second engine asks for the rest only."""
    blob, half = LAYERS[1], len(LAYERS[1]) // 2
    part = Path(docker.engine.root, "tmp/pull", digest(blob)[7:] + ".part")
    async with DebianRegistry(tmp_path / "r") as registry:
        await put(repository(registries, registry.name, push=True), "1", LAYERS)
        front = Front(registry.name, digest(blob), Cutting(half, data=blob))
        async with Server(front) as server:
            front.cutting.go_on.clear()
            async with docker.running("pull", f"{server.name}/web:1"):
                async with asyncio.timeout(30):
                    while not part.exists() or not part.stat().st_size:
                        await asyncio.sleep(0.01)
                await docker.engine.kill9()
            kept = part.stat().st_size
            assert 0 < kept <= half
            front.cutting.go_on.set()
            await docker.engine.start()
            await docker.good("pull", f"{server.name}/web:1")
            asked = [each for each in server.asked if each.path.endswith(digest(blob))]
            assert asked[-1].headers["Range"] == f"bytes={kept}-" and not part.exists()
