"""The real `docker` command on the socket of a real engine: containers on the kernel, seen through Docker's own eyes."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SpawnEngine
from tests.engine.host.archives import entry, saved, tar
from tests.engines import EngineProcess

PATIENCE = 60.0
LOOP = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done"


@dataclass
class Said:
    code: int
    out: str
    err: str


@dataclass
class Docker:
    engine: EngineProcess

    def command(self, *args: str) -> tuple[str, ...]:
        found = shutil.which("docker")
        assert found, "there is no docker command: make test unpacks one below build/"
        return found, "--host", f"unix://{self.engine.socket}", *args

    async def __call__(self, *args: str) -> Said:
        async with self.running(*args) as process, asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
            assert process.returncode is not None
            return Said(process.returncode, out.decode(), err.decode())

    async def good(self, *args: str) -> str:
        """The output of a command that must succeed, without the newline at its end."""
        said = await self(*args)
        assert said.code == 0, (args, said, self.engine.said())
        return said.out.strip()

    @asynccontextmanager
    async def running(self, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The command while it runs; ended when the block is left."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*args), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.fixture
async def docker(spawn_engine: SpawnEngine) -> Docker:
    return Docker(await spawn_engine())


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await true():
            await asyncio.sleep(0.02)


def until_now() -> tuple[str, ...]:
    """Everything kept, up to this moment. `0s` would be cut to whole seconds by the command."""
    return "--since", "10m", "--until", f"{time.time():.6f}"


async def lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout
    async with asyncio.timeout(PATIENCE):
        return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]


async def test_a_whole_life(docker: Docker) -> None:
    id = await docker.good("create", "--name", "web", "--label", "tier=front", "busybox", "sleep", "1000")
    assert len(id) == 64
    assert await docker.good("ps", "-q") == ""
    assert await docker.good("start", "web") == "web"
    assert (
        await docker.good("ps", "--format", "{{.Names}} {{.State}} {{.Image}} {{.Command}}")
        == 'web running busybox "sleep 1000"'
    )

    shown = json.loads(await docker.good("inspect", "web"))[0]
    assert shown["Id"] == id and shown["State"]["Running"] and shown["Config"]["Labels"] == {"tier": "front"}
    assert Path(f"/proc/{shown['State']['Pid']}/cmdline").read_bytes() == b"sleep\x001000\x00"
    assert Path(shown["GraphDriver"]["Data"]["MergedDir"], "bin").is_dir()
    address = shown["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert address.rpartition(".")[0] == docker.engine.subnet.rpartition(".")[0]

    await docker.good("pause", "web")
    assert "(Paused)" in await docker.good("ps", "--format", "{{.Status}}")
    assert (await docker("pause", "web")).err.startswith("Error response from daemon: cannot pause web")
    await docker.good("unpause", "web")
    waiting = asyncio.create_task(docker.good("wait", "web"))
    await docker.good("stop", "--time", "0", "web")
    assert await waiting == "137"
    assert (await docker.good("ps", "-a", "--format", "{{.Status}}")).startswith("Exited (137) ")
    assert (await docker("rm", "web")).out == "web\n"
    assert await docker.good("ps", "-aq") == ""
    assert not Path(shown["GraphDriver"]["Data"]["UpperDir"]).exists()


async def test_run_detached_and_the_ways_it_fails(docker: Docker) -> None:
    id = await docker.good("run", "-d", "--rm", "busybox", "true")
    await until(lambda: _gone(docker, id))
    assert len(await docker.good("run", "-d", "--name", "web", "busybox", "sleep", "1000")) == 64

    for command, code, word in (
        (("--name", "web", "busybox"), 125, "already in use"),
        (("-v", "/tmp:/tmp", "busybox"), 125, "Binds"),
        (("--rm", "--network", "nobody", "busybox"), 125, "network nobody not found"),
        (("--pull", "never", "no-such-image"), 125, "No such image"),
        (("--name", "gone", "busybox", "/no/such/file"), 127, "no such file"),
        (("--name", "noexec", "busybox", "/etc"), 126, ""),
    ):
        said = await docker("run", "-d", *command)
        assert said.code == code and word in said.err, (command, said)

    said = await docker("rm", "web")
    assert said.code == 1 and "force" in said.err
    await docker.good("kill", "--signal", "KILL", "web")
    await docker.good("rm", "web", "gone")


async def _gone(docker: Docker, id: str) -> bool:
    return id[:12] not in await docker.good("ps", "-aq")


async def test_logs(docker: Docker) -> None:
    await docker.good("run", "-d", "--name", "talker", "busybox", "sh", "-c", "echo out; echo err >&2; sleep 0.3; printf end")
    assert await docker.good("wait", "talker") == "0"
    said = await docker("logs", "talker")
    assert (said.out, said.err) == ("out\nend", "err\n")
    assert await docker.good("logs", "--tail", "1", "talker") == "end"
    stamped = (await docker.good("logs", "-t", "talker")).splitlines()
    assert all(line[30] == " " and line[29] == "Z" for line in stamped)
    assert await docker.good("logs", "--since", stamped[1].split()[0], "talker") == "end"

    await docker.good("run", "-d", "--name", "looper", "busybox", "sh", "-c", LOOP)
    async with docker.running("logs", "-f", "looper") as following:
        assert await lines(following, 3) == ["line 1", "line 2", "line 3"]
        await docker.good("kill", "looper")
        async with asyncio.timeout(PATIENCE):
            assert await following.wait() == 0  # a log that is followed ends with its container
    assert (await docker("logs", "nobody")).err.strip().endswith("No such container: nobody")


async def test_events_live_and_past(docker: Docker) -> None:
    form = ("--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}")
    async with docker.running("events", *form) as listening:
        # The command says nothing when it is ready, so things are made until one is heard.
        first = asyncio.create_task(lines(listening, 1))
        while not first.done():
            await docker.good("create", "--name", "bell", "busybox")
            await docker.good("rm", "bell")
        assert (await first)[0].startswith("container ")
    await docker.good("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    await docker.good("rm", "-f", "web")
    past = await docker.good("events", *until_now(), "--filter", "container=web", *form)
    assert past.splitlines() == [f"container {action} web" for action in ("create", "start", "kill", "die", "destroy")]


async def test_images(docker: Docker, tmp_path: Path) -> None:
    layer = tar(entry("hello.txt", b"hello\n"))
    archive = tmp_path / "image.tar"
    archive.write_bytes(saved([layer], ["greeting:1.0"]))
    assert await docker.good("load", "-i", str(archive)) == "Loaded image: greeting:1.0"
    names = await docker.good("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert set(names.splitlines()) == {"busybox:latest", "greeting:1.0"}
    assert await docker.good("images", "-q", "--filter", "reference=greeting:*")
    shown = json.loads(await docker.good("image", "inspect", "greeting:1.0"))[0]
    assert shown["RootFS"]["Layers"] and shown["Size"] == 6
    assert Path(shown["GraphDriver"]["Data"]["UpperDir"], "hello.txt").read_text() == "hello\n"
    assert (await docker.good("history", "-q", "greeting:1.0")).startswith(shown["Id"][7:19])

    archive.write_bytes(b"this is no archive" * 1000)
    said = await docker("load", "-i", str(archive))
    assert said.code == 1 and said.err.strip()
    (first,) = (await docker.good("events", *until_now(), "--filter", "type=image", "--format", "{{json .}}")).splitlines()
    told = json.loads(first)
    assert (told["Action"], told["Actor"]["Attributes"]["name"]) == ("load", told["Actor"]["ID"])


async def test_what_the_engine_says_of_itself(docker: Docker) -> None:
    version = json.loads(await docker.good("version", "--format", "{{json .}}"))
    assert version["Client"]["ApiVersion"] <= version["Server"]["ApiVersion"] == "1.43"  # an older client speaks its own
    info = json.loads(await docker.good("info", "--format", "{{json .}}"))
    assert info["Driver"] == "overlay2" and info["DockerRootDir"] == docker.engine.root and not info.get("ServerErrors")
    assert info["Images"] == 1
    assert set((await docker.good("network", "ls", "--format", "{{.Name}}")).split()) == {"bridge", "host", "none"}
    bridge = json.loads(await docker.good("network", "inspect", "bridge"))[0]
    assert bridge["IPAM"]["Config"][0]["Subnet"] == docker.engine.subnet
    assert bridge["Options"]["com.docker.network.bridge.name"] == docker.engine.bridge
    said = await docker("inspect", "nothing")
    assert said.code == 1 and "No such object: nothing" in said.err
    for command in (("top", "x"), ("volume", "ls"), ("exec", "x", "true")):
        said = await docker(*command)
        assert said.code != 0 and ("not supported" in said.err or "No such container" in said.err), (command, said)
