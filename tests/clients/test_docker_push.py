"""`docker push` to Debian's docker-registry, and back into another engine: the same image, the same DiffIDs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.test_docker import Docker
from tests.clients.test_docker_pull import LAYERS
from tests.conftest import SpawnEngine
from tests.engine.host.archives import saved
from tests.registries import DebianRegistry


async def test_push_and_pull_back(spawn_engine: SpawnEngine, tmp_path: Path) -> None:
    one, two = Docker(await spawn_engine()), Docker(await spawn_engine())
    async with DebianRegistry(tmp_path / "r") as registry:
        web = f"{registry.name}/web"
        archive = tmp_path / "web.tar"
        archive.write_bytes(saved(LAYERS, [f"{web}:1"]))
        await one.good("load", "--input", str(archive))
        said = await one.good("push", f"{web}:1")
        assert f"The push refers to repository [{web}]" in said and ": Pushed" in said and "1: digest: sha256:" in said
        here = json.loads(await one.good("image", "inspect", f"{web}:1"))[0]
        assert "Layer already exists" in await one.good("push", f"{web}:1")

        await two.good("pull", f"{web}:1")
        there = json.loads(await two.good("image", "inspect", f"{web}:1"))[0]
        assert there["Id"] == here["Id"] and there["RootFS"] == here["RootFS"] and there["RepoDigests"] == here["RepoDigests"]
        missing = await one("push", f"{web}:2")
        assert missing.code == 1 and f"An image does not exist locally with the tag: {web}" in missing.err
