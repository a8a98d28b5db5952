"""The engine ends, by SIGTERM or `kill -9`, or containerd does, or the machine; and what is so afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.client import Client
from engine.model.errors import NotFound
from engine.model.status import Status
from tests.conftest import SpawnEngine
from tests.engines import EngineProcess
from tests.leftovers import sysctls
from tests.real.watching import POLITE, run, until, watching

pytestmark = pytest.mark.timeout(300)

TALKER = {"Image": "busybox", "Cmd": ["sh", "-c", "n=0; while :; do echo $n; n=$((n+1)); done"]}
KILLS = 4


async def ended(client: Client, name: str, *statuses: Status) -> None:
    async with asyncio.timeout(30):
        while (c := await client.inspect(name)).status not in statuses or (c.run and c.run.moving):
            await asyncio.sleep(0.01)


async def kill9(place: EngineProcess) -> None:
    await place.kill9()


async def end(place: EngineProcess) -> None:
    await place.end()


async def test_no_line_is_lost_when_the_engine_is_killed_under_load(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    names = ("one", "two")
    async with place.client() as client:
        for name in names:
            await run(client, name, TALKER)
    for _ in range(KILLS):
        await asyncio.sleep(0.15)
        await place.kill9()
        await asyncio.sleep(0.2)  # they go on writing, until the pipes are full
        await place.start()
    async with place.client() as client:
        for name in names:
            await client.do("kill", name)
            count = 0
            async for line in client.logs(name):
                assert line.log == b"%d\n" % count, f"{name}: line {count} is {line.log!r}"
                count += 1
            assert count > 1000
        pids = [(await client.inspect(name)).state.pid for name in names]
        assert pids == [0, 0]


@pytest.mark.parametrize("leave", [kill9, end])
async def test_all_goes_on_with_the_next_engine(
    spawn_engine: SpawnEngine, leave: Callable[[EngineProcess], Awaitable[None]]
) -> None:
    place = await spawn_engine()
    healthy: dict[str, Any] = {
        **POLITE,
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 300 * 10**6},
        "HostConfig": {"RestartPolicy": {"Name": "on-failure"}},
    }
    async with place.client() as client:
        await run(client, "web", healthy)
        await client.do("create", "", {"name": "db", "body": POLITE})
        await client.do("rename", "db", {"name": "base"})
        before = await client.inspect("web")
    await leave(place)
    assert psutil.pid_exists(before.state.pid)
    await place.start()
    async with place.client() as client, watching(client) as screen:
        c = await client.inspect("web")
        assert (c.status, c.state.pid, c.state.started_at) == (Status.RUNNING, before.state.pid, before.state.started_at)
        assert (await client.inspect("base")).status is Status.CREATED
        await screen.until(lambda: (row := screen.row("web")) and row.health == "healthy" and row.id in screen.world.samples)
        os.kill(c.state.pid, signal.SIGKILL)
        await screen.until(lambda: (row := screen.row("web")) and row.restarts == 1 and row.status is Status.RUNNING)


async def test_who_is_attached_and_who_runs_inside_go_on(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    async with place.client() as client:
        await run(client, "cat", {"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True})
        exec_id = await client.exec_create("cat", {"Cmd": ["sh", "-c", "sleep 1; echo done > /done"], "AttachStdout": True})
        stream = await client.exec_start(exec_id)
        assert stream
        async with asyncio.timeout(20):
            while not (await client.exec_inspect(exec_id))["Pid"]:
                await asyncio.sleep(0.01)
        await place.kill9()
        await stream.close()
    await place.start()
    async with place.client() as client:
        stream = await client.attach("cat", stdin=True)
        await stream.write(b"still there\n")
        async with asyncio.timeout(20):
            assert [piece async for piece in _first(stream.read())] == [("stdout", b"still there\n")]
        await stream.close()
        # What a dead engine ran inside comes to its end all the same, and is reaped.
        c = await client.inspect("cat")
        assert c.layers
        done = Path(place.root, "overlay2", c.layers.mount_id, "diff/done")
        await until(done.exists)
        await until(lambda: not list(Path(place.run, "execs").glob("*")))


async def _first(pieces: Any) -> Any:
    async for piece in pieces:
        yield piece
        return


@pytest.mark.parametrize(("script", "code"), [("sleep 1; exit 7", 7), ("sleep 1; kill -9 $$", 137), ("sleep 1", 0)])
async def test_an_exit_that_no_engine_saw_is_recorded_with_its_code(spawn_engine: SpawnEngine, script: str, code: int) -> None:
    place = await spawn_engine()
    async with place.client() as client:
        # As process 1 it would be deaf to its own signal.
        body = {"Image": "busybox", "Cmd": ["sh", "-c", f"sh -c '{script}'; exit $?"]}
        await run(client, "short", body)
        await run(client, "going", {**body, "HostConfig": {"AutoRemove": True}})
        pid = (await client.inspect("short")).state.pid
    await place.kill9()
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    await place.start()
    async with place.client() as client:
        await ended(client, "short", Status.EXITED)
        c = await client.inspect("short")
        assert c.state.exit_code == code and not c.state.error
        async with asyncio.timeout(20):
            while "going" in [row.name for row in await client.containers()]:
                await asyncio.sleep(0.01)


async def test_without_live_restore_containers_end_with_the_engine(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine("--live-restore=false")
    async with place.client() as client:
        await run(client, "web", {**POLITE, "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}})
        await run(client, "once")
        pids = [(await client.inspect(name)).state.pid for name in ("web", "once")]
    await place.end()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    await place.start("--live-restore=false")
    async with place.client() as client:
        await ended(client, "web", Status.RUNNING)
        once = await client.inspect("once")
        assert once.status is Status.EXITED and once.state.exit_code == 0 and not once.has_been_manually_stopped
        pid = (await client.inspect("web")).state.pid
    # What it finds running, as after a kill, it stops; the policy starts it anew.
    await place.kill9()
    await place.start("--live-restore=false")
    async with place.client() as client:
        await ended(client, "web", Status.RUNNING)
        assert (await client.inspect("web")).state.pid != pid


async def test_containerd_is_killed_under_the_engine(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    async with place.client() as client, watching(client) as screen:
        await run(client, "web")
        await run(client, "short", {"Image": "busybox", "Cmd": ["sh", "-c", "sleep 1; exit 9"]})
        pid = (await client.inspect("web")).state.pid
        containerd(place).kill()
        await screen.until(lambda: screen.world.engine.trouble)
        await screen.until(lambda: not screen.world.engine.trouble)
        await ended(client, "short", Status.EXITED)
        assert (await client.inspect("short")).state.exit_code == 9
        web = await client.inspect("web")
        assert (web.status, web.state.pid) == (Status.RUNNING, pid)
        await client.do("stop", "web")


def containerd(place: EngineProcess) -> psutil.Process:
    for process in psutil.process_iter(["cmdline"]):
        program, *options = process.info["cmdline"] or ("",)
        if program.endswith("containerd") and place.run in " ".join(options):
            return process
    raise AssertionError("there is no containerd")


def pull_the_plug(place: EngineProcess, switches: dict[str, str]) -> None:
    """What a reboot leaves: disks. No process, mount, interface or table, empty /run, and `switches` as they are at first."""
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if place.run in line and process.pid != os.getpid():
            with suppress(psutil.NoSuchProcess):
                for child in (*process.children(recursive=True), process):
                    child.kill()
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in reversed(mounts):
        if path.startswith((place.root, place.run)):
            subprocess.run(["umount", "--lazy", path], check=True)
    for link in [path.name for path in Path("/sys/class/net", place.bridge, "brif").iterdir()]:
        # A cable goes with its namespace, sooner or later.
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
    subprocess.run(["ip", "link", "delete", place.bridge], check=True)
    subprocess.run(["nft", "delete", "table", "inet", f"longshore-{place.bridge}"], check=True)
    for switch, value in switches.items():
        if Path(switch).exists() and Path(switch).read_text().strip() != value:
            Path(switch).write_text(value)
    shutil.rmtree(place.run)


async def test_after_a_reboot_the_world_is_right(spawn_engine: SpawnEngine) -> None:
    switches = sysctls()
    place = await spawn_engine()
    policy = {"HostConfig": {"RestartPolicy": {"Name": "always"}}}
    async with place.client() as client:
        await run(client, "web", {**POLITE, **policy})
        await run(client, "frozen", {**POLITE, **policy})
        await client.do("pause", "frozen")
        await run(client, "once")
        await run(client, "gone", {**POLITE, "HostConfig": {"AutoRemove": True}})
        await client.do("create", "", {"name": "never", "body": POLITE})
        await run(client, "stopped", {**POLITE, "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}})
        await client.do("stop", "stopped")
    await place.kill9()
    await asyncio.to_thread(pull_the_plug, place, switches)
    await place.start()
    async with place.client() as client, watching(client) as screen:
        for name in ("web", "frozen"):
            await ended(client, name, Status.RUNNING)
        once = await client.inspect("once")
        assert once.status is Status.EXITED and once.state.exit_code == 255 and "not seen" in once.state.error
        assert (await client.inspect("never")).status is Status.CREATED
        assert (await client.inspect("stopped")).status is Status.EXITED
        with pytest.raises(NotFound):
            async with asyncio.timeout(20):
                while await client.inspect("gone"):
                    await asyncio.sleep(0.01)
        await client.do("start", "once")
        await screen.until(lambda: not any(row.missing for row in screen.world.containers.values()))


async def test_a_shim_that_is_killed_is_told_and_the_policy_holds(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    async with place.client() as client:
        await run(client, "web", {**POLITE, "HostConfig": {"RestartPolicy": {"Name": "always"}}})
        await run(client, "once")
        for name in ("web", "once"):
            shim = psutil.Process((await client.inspect(name)).state.pid).parent()
            assert shim and "containerd-shim" in shim.name()
            shim.kill()
        await ended(client, "once", Status.EXITED)
        once = await client.inspect("once")
        assert once.state.exit_code == 137 and "not seen" in once.state.error
        async with asyncio.timeout(30):
            while (await client.inspect("web")).restart_count != 1 or (await client.inspect("web")).status != Status.RUNNING:
                await asyncio.sleep(0.01)
