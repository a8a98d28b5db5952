"""`docker stats` on a real container: what the command makes of our numbers is what the kernel says."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.test_docker import Docker
from tests.conftest import SpawnEngine

BUSY = "while :; do :; done"


@pytest.fixture
async def docker(spawn_engine: SpawnEngine) -> AsyncIterator[Docker]:
    docker = Docker(await spawn_engine())
    yield docker
    await docker.good("rm", "--force", *(await docker.good("ps", "--all", "--quiet")).split())


def column(text: str) -> float:
    return float(text.rstrip("%"))


async def test_one_look(docker: Docker) -> None:
    await docker.good(
        "run", "-d", "--name", "busy", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "20", "busybox", "sh", "-c", BUSY
    )
    await docker.good("run", "-d", "--name", "idle", "busybox", "sleep", "1000")
    await docker.good("create", "--name", "stopped", "busybox", "true")
    own = (sys.executable, "-m", "tui", "--host", f"unix://{docker.engine.socket}", "stats", "--all", "--no-stream")
    longshore = await asyncio.create_subprocess_exec(*own, "--format", "json", stdout=asyncio.subprocess.PIPE)
    said = await docker.good("stats", "--all", "--no-stream", "--format", "{{json .}}")
    out, _ = await longshore.communicate()
    told: dict[str, Any] = {row["Name"]: row for row in map(json.loads, out.decode().splitlines())}
    rows: dict[str, Any] = {row["Name"]: row for row in map(json.loads, said.splitlines())}
    assert rows.keys() == {"busy", "idle", "stopped"}
    assert 10 < column(rows["busy"]["CPUPerc"]) < 75 and column(rows["idle"]["CPUPerc"]) < 5
    assert rows["busy"]["MemUsage"].endswith("/ 64MiB") and rows["busy"]["PIDs"] == "1"
    assert column(rows["idle"]["MemPerc"]) < column(rows["busy"]["MemPerc"]) < 100
    assert not rows["idle"]["NetIO"].startswith("--")
    assert rows["stopped"]["CPUPerc"] in ("--", "0.00%")
    assert told.keys() == rows.keys() and 10 < column(told["busy"]["CPUPerc"]) < 75
    for name, row in rows.items():
        same = ("ID", "Name", "PIDs", "BlockIO", *(("MemUsage", "NetIO", "CPUPerc", "MemPerc") if name == "stopped" else ()))
        assert {key: told[name][key] for key in same} == {key: row[key] for key in same}
        assert told[name].keys() == row.keys() and told[name]["MemUsage"].split("/")[1] == row["MemUsage"].split("/")[1]


async def test_a_stream_goes_on_until_the_reader_goes(docker: Docker) -> None:
    await docker.good("run", "-d", "--name", "busy", "busybox", "sh", "-c", BUSY)
    async with docker.running("stats", "--format", "{{.Name}} {{.CPUPerc}}", "busy") as process:
        assert process.stdout
        seen = 0
        async with asyncio.timeout(20):
            while seen < 3:
                line = (await process.stdout.readline()).decode()
                seen += line.rstrip().endswith("%") and column(line.split()[-1]) > 10
    # Its reader gone, the engine lets go of the stream.
    sockets = Path(f"/proc/{docker.engine.pid}/fd")

    def held() -> int:
        return sum(str(fd.readlink()).startswith("socket:") for fd in sockets.iterdir() if fd.is_symlink())

    before = held()
    async with docker.running("stats", "busy") as process:
        assert process.stdout
        await process.stdout.readline()
        assert held() > before
    async with asyncio.timeout(10):
        while held() > before:
            await asyncio.sleep(0.05)
