"""Log drivers and their options on a real engine, read with the real docker command."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.clients.test_docker import Docker, lines
from tests.conftest import SpawnEngine
from tests.engines import EngineProcess
from tests.real.watching import until

LINES = 20_000
WORDY = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done"
ENDLESS = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done"


def directory(engine: EngineProcess, id: str) -> Path:
    return Path(engine.root, "containers", id)


async def rotated(logs: Path, count: int) -> None:
    await until(lambda: len(list(logs.iterdir())) > count)


def open_logs(engine: EngineProcess, id: str) -> int:
    """How often the engine has the container's log open for reading."""
    fds = Path(f"/proc/{engine.pid}/fd")
    return sum(
        os.readlink(fd).endswith("-json.log") and "flags:\t02100000" in (fds.parent / "fdinfo" / fd.name).read_text()
        for fd in fds.iterdir()
        if os.path.lexists(fd)
    )


async def test_a_rotated_and_compressed_log_with_details(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    docker = Docker(engine)
    options = ("max-size=4k", "max-file=3", "compress=true", "labels=tier", "env=TZ", "tag={{.Name}}")
    asked = [word for option in options for word in ("--log-opt", option)]
    id = await docker.good(
        "run", "-d", "--name", "web", "--label", "tier=front", "-e", "TZ=UTC", *asked, "busybox", "seq", "1", "2000"
    )
    assert await docker.good("wait", "web") == "0"
    said = (await docker.good("logs", "web")).splitlines()
    assert said == [str(number) for number in range(int(said[0]), 2001)]
    assert 10 < len(said) < 300
    names = {path.name.removeprefix(id).removesuffix(".gz") for path in directory(engine, id).glob("*.log*")}
    assert names == {"-json.log", "-json.log.1", "-json.log.2"}
    assert await docker.good("logs", "--details", "--tail", "1", "web") == "TZ=UTC,tag=web,tier=front 2000"


async def test_an_engine_killed_while_it_rotates_loses_no_line(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    docker = Docker(engine)
    options = ("--log-driver", "local", "--log-opt", "max-size=20k", "--log-opt", "max-file=1000")
    id = await docker.good("run", "-d", "--name", "web", *options, "busybox", "sh", "-c", WORDY)
    logs = directory(engine, id) / "local-logs"
    for kill in range(3):
        await rotated(logs, 5 * (kill + 1))
        await engine.kill9()
        await engine.start()
    assert await docker.good("wait", "web") == "0"
    assert (await docker.good("logs", "web")).splitlines() == [f"line {number}" for number in range(LINES)]
    assert (await docker.good("logs", "--tail", "2", "web")).splitlines() == [f"line {LINES - 2}", f"line {LINES - 1}"]


async def test_none_keeps_nothing_and_what_cannot_be_is_refused(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    docker = Docker(engine)
    id = await docker.good("run", "-d", "--name", "web", "--log-driver", "none", "busybox", "seq", "1", "100000")
    assert await docker.good("wait", "web") == "0"
    said = await docker("logs", "web")
    assert (said.code, "configured logging driver does not support reading" in said.err) == (1, True)
    assert not list(directory(engine, id).glob("*log*"))
    for option, why in (
        (("--log-driver", "syslog"), "logger: no log driver named 'syslog' is registered"),
        (("--log-opt", "max-sise=1m"), "unknown log opt 'max-sise' for json-file log driver"),
        (("--log-opt", "max-size=1m", "--log-opt", "compress=true"), "compress cannot be true"),
    ):
        refused = await docker("create", *option, "busybox")
        assert (refused.code != 0, why in refused.err) == (True, True)
    assert await docker.good("ps", "-aq") == id[:12]


@pytest.mark.parametrize("how", ["kill", "terminate"])
async def test_a_client_of_logs_that_vanishes_frees_its_file(spawn_engine: SpawnEngine, how: str) -> None:
    engine = await spawn_engine()
    docker = Docker(engine)
    id = await docker.good("run", "-d", "--name", "web", "busybox", "sh", "-c", ENDLESS)
    async with docker.running("logs", "-f", "web") as one, docker.running("logs", "-f", "--tail", "0", "web") as other:
        await lines(one, 2)
        await lines(other, 2)
        assert open_logs(engine, id) == 2
        getattr(one, how)()
        await until(lambda: open_logs(engine, id) == 1)
        await lines(other, 2)
    await until(lambda: open_logs(engine, id) == 0)
    await asyncio.wait_for(docker.good("kill", "web"), 30)
