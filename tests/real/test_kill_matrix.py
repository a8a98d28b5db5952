"""`kill -9` of a real engine at every step of every verb, on the real kernel; then a new engine, and a look.

The cases come from the transition table and the verbs' steps: after each call that changes the world, when its effect is
there and nothing that follows knows of it. Afterwards the container is either before or after, its neighbour is
untouched, and nothing in the kernel is without an owner.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.client import Client
from engine.model.container import Container
from engine.model.errors import NotFound
from engine.model.status import FORCED, NetworkVerb, Status, Verb, after
from tests.engine import worlds
from tests.engine.worlds import cases
from tests.engines import EngineProcess

pytestmark = pytest.mark.timeout(600)

BODY = {"Image": "busybox", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]}
WIRED = BODY | {"HostConfig": {"NetworkMode": "back", "PortBindings": {"80/tcp": [{"HostPort": ""}]}}}
"""On a network of its own, with a published port."""
WIRING = (Verb.START, Verb.CONNECT, Verb.DISCONNECT)
FROM: dict[Verb, tuple[Status, ...]] = {
    Verb.START: (Status.CREATED,),
    Verb.STOP: (Status.RUNNING, Status.PAUSED),
    Verb.REMOVE: (Status.CREATED, Status.RUNNING),
    Verb.AGAIN: (Status.RESTARTING,),
    Verb.UNPAUSE: (Status.PAUSED,),
}
"""Where a verb is killed here, if not while running: where it walks over other steps. The simulated matrix has all statuses."""
JOINED = {(Verb.RESTART, Status.RUNNING), (Verb.REMOVE, Status.RUNNING), (Verb.STOP, Status.PAUSED)}
"""Made of other verbs' steps: every third change."""
CASES = [(verb, status) for verb, status in cases() if status is None or status in FROM.get(verb, (Status.RUNNING,))]
PARAMS = {**worlds.PARAMS, Verb.UPDATE: {"body": {"PidsLimit": 50, "RestartPolicy": {"Name": "no"}}}}
FAILS_ONCE = {
    "Image": "busybox",
    "Cmd": ["sh", "-c", "trap 'exit 0' TERM; [ -e /ran ] || { touch /ran; exit 1; }; sleep 1000 & wait"],
    "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
}
LONG, SHORT = "3600", "0.5"
"""Seconds of back-off: it stands between two starts, or is soon started."""


def test_every_verb_has_its_cases() -> None:
    assert {verb for verb, _ in CASES} == set(Verb)


class StandingEngine:
    """An engine process that can be told where to stand."""

    def __init__(self, place: EngineProcess) -> None:
        self.place = place
        self.stand = place.directory / "stand"
        self.there = self.stand.with_suffix(".there")

    async def start(self) -> None:
        self.stand.unlink(missing_ok=True)
        self.there.unlink(missing_ok=True)
        self.place.program = (sys.executable, "-m", "tests.real.standing", str(self.stand))
        await self.place.start()

    async def stands(self, work: asyncio.Task[None]) -> bool:
        """True when the engine stands where it was told to; False when the verb ended before."""
        while not self.there.exists():
            if work.done():
                work.result()
                return False
            await asyncio.sleep(0.005)
        return True


async def reach(client: Client, status: Status | None, body: dict[str, Any] = BODY) -> None:
    if status is None:
        return
    body = FAILS_ONCE if status is Status.RESTARTING else body
    await client.do("create", "", {"name": "web", "body": body})
    if status is Status.CREATED:
        return
    await client.do("start", "web")
    if status is Status.RESTARTING:
        await until(client, status)
    elif status is Status.PAUSED:
        await client.do("pause", "web")
    elif status is Status.EXITED:
        await client.do("kill", "web")


async def until(client: Client, *wanted: Status) -> None:
    async with asyncio.timeout(30):
        while True:
            c = await client.inspect("web")
            if c.status in wanted and not (c.run and c.run.moving):
                return
            await asyncio.sleep(0.01)


async def act(client: Client, verb: Verb) -> None:
    match verb:
        case Verb.CREATE:
            await client.do("create", "", {"name": "web", "body": BODY})
        case Verb.EXITED:
            c = await client.inspect("web")
            thawed = c.status is not Status.PAUSED
            os.kill(c.state.pid, signal.SIGKILL)
            if not thawed:
                # A frozen process dies when it thaws: the freezer is opened from outside, as an admin would.
                for path in Path("/sys/fs/cgroup/freezer").glob(f"longshore-test-*/{c.id}/freezer.state"):
                    path.write_text("THAWED")
            while (await client.steps("web")).verb != Verb.EXITED or (await client.steps("web")).running:
                await asyncio.sleep(0.01)
        case Verb.AGAIN:
            await until(client, Status.RUNNING)
        case _:
            await client.do(verb, "web", PARAMS.get(verb, {}))


async def status_of(client: Client, name: str) -> Status | None:
    try:
        c = await client.inspect(name)
    except NotFound:
        return None
    assert not (c.run and c.run.open), f"{c.run} is still open"
    return c.status


async def name_of(client: Client, before: Container | None) -> str:
    """What it is called now: a rename may have come through."""
    rows = await client.containers()
    return next((row.name for row in rows if before and row.id == before.id), "web")


def kernel(place: EngineProcess, c: Container | None) -> dict[str, bool]:
    """What the kernel has of a container, looked up without the engine."""
    if c is None or c.layers is None:
        return {}
    cgroups = [Path(d, place.cgroup_parent.strip("/"), c.id) for d in Path("/sys/fs/cgroup").iterdir()]
    return {
        "mount": f"{c.layers.mount_id}/merged" in Path("/proc/mounts").read_text(),
        "namespace": f"netns/{c.sandbox}" in Path("/proc/mounts").read_text(),
        "veth": any(Path("/sys/class/net", e.veth).exists() for e in c.endpoints),
        "ports": any(_held(p.host_port) for p in c.ports),
        "cgroup": any(path.exists() for path in cgroups),
        "pipes": Path(place.run, "stdio", c.id).exists(),
    }


def check(place: EngineProcess, c: Container | None, status: Status | None) -> None:
    """All of it while alive, none of it else; and no layer, record or namespace without an owner."""
    alive = status is not None and status.alive
    found = kernel(place, c)
    if c and not c.ports:
        del found["ports"]  # it asks for none, or has given them back
    if alive and c and not c.networks:
        assert not found.pop("veth")
    assert all(there is alive for there in found.values()), (status, found)


def owners(place: EngineProcess, records: list[Container]) -> None:
    """Every directory, mount, namespace and cable belongs to a container that is there."""
    root = Path(place.root)
    layers = {layer for c in records if c.layers for layer in (c.layers.mount_id, c.layers.init_id, *c.layers.lower)}
    assert {p.name for p in (root / "overlay2").iterdir()} - {"l"} <= layers | _read_only(root)
    assert {p.name for p in (root / "containers").iterdir()} == {c.id for c in records}
    assert {p.name for p in Path(place.run, "netns").glob("*")} <= {c.sandbox for c in records if c.status.alive}
    bridges = Path("/sys/class/net").glob(f"{place.bridge}*")
    alive = [c for c in records if c.status.alive]
    assert {p.name for bridge in bridges for p in (bridge / "brif").iterdir()} == {e.veth for c in alive for e in c.plugged}
    assert _forwarded(place) == {c.id for c in alive if c.ports}


def _held(port: int) -> bool:
    """Does anybody listen on this port of the host?"""
    return any(c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in psutil.net_connections("tcp"))


def _forwarded(place: EngineProcess) -> set[str]:
    """Whose ports lead somewhere, as nft has it: an element's comment names its owner."""
    return set(re.findall(r'comment "([0-9a-f]{64})"', _rules(place)))


def _rules(place: EngineProcess) -> str:
    table = ("nft", "list", "table", "inet", f"longshore-{place.bridge}")
    return subprocess.run(table, capture_output=True, check=True, text=True).stdout


def _read_only(root: Path) -> set[str]:
    return {p.read_text() for p in (root / "image/overlay2/layerdb/sha256").glob("*/cache-id")}


async def strike(engine: StandingEngine, verb: Verb, status: Status | None, at: int, more: Callable[[], None]) -> bool:
    """One case. False when the verb makes fewer changes than that: all have been tried."""
    async with engine.place.client() as client:
        await reach(client, status, WIRED if verb in WIRING else BODY)
        before = await client.inspect("web") if status else None
        neighbour = await client.inspect("neighbour")
        engine.stand.write_text(str(at))
        work = asyncio.create_task(act(client, verb))
        stood = await engine.stands(work)
        if stood:
            await engine.place.kill9()
            more()
        engine.stand.unlink(missing_ok=True)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    if stood:
        await engine.start()
    async with engine.place.client() as client:
        if stood and verb is Verb.AGAIN:
            await until(client, Status.RUNNING)  # its date is in the record, and the next engine keeps it
        name = await name_of(client, before)
        now = await status_of(client, name)
        allowed = {status, after(verb, status) if status else Status.CREATED}
        if verb is Verb.REMOVE and status in FORCED:
            allowed.add(Status.EXITED)
        assert now in allowed, f"{verb} from {status}, killed after change {at}: {now}"
        left = await client.inspect(name) if now else before
        check(engine.place, left, now)
        assert await client.inspect("neighbour") == neighbour
        check(engine.place, neighbour, Status.RUNNING)
        assert psutil.Process(neighbour.state.pid).status() != psutil.STATUS_ZOMBIE
        owners(engine.place, [neighbour, *([left] if now and left else [])])
        if now:
            await client.do("remove", name, {"force": True})
    return stood


@pytest.mark.parametrize(("verb", "status"), CASES, ids=[f"{v}-from-{s}" for v, s in CASES])
async def test_killed(place_engine: Callable[[], EngineProcess], verb: Verb, status: Status | None) -> None:
    place = place_engine()
    place.directory.mkdir()
    place.environment = {"BACKOFF": SHORT if verb is Verb.AGAIN else LONG}
    engine = StandingEngine(place)
    await engine.start()
    async with place.client() as client:
        await client.do("create", "", {"name": "neighbour", "body": BODY})
        await client.do("start", "neighbour")
        if verb in WIRING:
            for name in ("back", "front"):
                options = {"com.docker.network.bridge.name": f"{place.bridge}{name[0]}"}
                await client.do("create_network", "", {"body": {"Name": name, "Options": options}})
    at, step = 0, 3 if (verb, status) in JOINED else 1
    while await strike(engine, verb, status, at, lambda: None):
        at += step
    least = 1 if verb is Verb.RENAME or status is Status.RESTARTING else 2
    assert at >= least, f"{verb} from {status} was killed only {at} times"


@pytest.mark.parametrize(("verb", "status"), [(Verb.START, Status.CREATED), (Verb.STOP, Status.RUNNING)])
async def test_killed_with_containerd_and_shims(place_engine: Callable[[], EngineProcess], verb: Verb, status: Status) -> None:
    """All at once: the engine, containerd, every shim and with them every process. Nothing is left without an owner."""
    place = place_engine()
    place.directory.mkdir()
    engine = StandingEngine(place)
    await engine.start()

    def everything() -> None:
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if place.run in line and ("containerd" in line or "shim" in line):
                process.kill()

    for at in range(0, 40, 3):
        async with place.client() as client:
            await reach(client, status)
            before = await client.inspect("web")
            engine.stand.write_text(str(at))
            work = asyncio.create_task(act(client, verb))
            stood = await engine.stands(work)
            if stood:
                await place.kill9()
                everything()
            engine.stand.unlink(missing_ok=True)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if not stood:
            break
        await engine.start()
        async with place.client() as client:
            now = await status_of(client, "web")
            assert now in (Status.CREATED, Status.EXITED), f"killed at {at}: {now}"
            check(place, before, now)
            await client.do("remove", "web", {"force": True})
            owners(place, [])
    assert at >= 3


def execs(place: EngineProcess) -> list[Path]:
    """What commands inside have left, or still need."""
    return list(Path(place.run, "execs").glob("*"))


async def command(place: EngineProcess, client: Client) -> None:
    """A command run inside, to its end, and until nothing of it is left: that comes after its last word."""
    exec_id = await client.exec_create("web", {"Cmd": ["sh", "-c", "echo ahoy; sleep 0.2"], "AttachStdout": True})
    stream = await client.exec_start(exec_id)
    assert stream
    try:
        async for _ in stream.read():
            pass
    finally:
        await stream.close()
    while execs(place):
        await asyncio.sleep(0.01)


async def test_killed_while_a_command_runs_inside(place_engine: Callable[[], EngineProcess]) -> None:
    """The container does not notice; the command comes to its end, and nothing of it is left."""
    place = place_engine()
    place.directory.mkdir()
    engine = StandingEngine(place)
    await engine.start()
    async with place.client() as client:
        await reach(client, Status.RUNNING)
        before = await client.inspect("web")
    at = 0
    while True:
        async with place.client() as client:
            engine.stand.write_text(str(at))
            work = asyncio.create_task(command(place, client))
            stood = await engine.stands(work)
            if stood:
                await place.kill9()
            engine.stand.unlink(missing_ok=True)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if not stood:
            break
        await engine.start()
        async with place.client() as client:
            assert await client.inspect("web") == before
            async with asyncio.timeout(30):
                while execs(place) or len((await client.top("web")).processes) != 2:
                    await asyncio.sleep(0.05)
            await command(place, client)
        at += 1
    assert at >= 3, f"killed only {at} times"


async def _done(deed: Awaitable[object]) -> None:
    await deed


@pytest.mark.parametrize("verb", list(NetworkVerb))
async def test_killed_while_a_network_comes_or_goes(place_engine: Callable[[], EngineProcess], verb: NetworkVerb) -> None:
    """It is there with its bridge and its rules, or nothing of it is."""
    place = place_engine()
    place.directory.mkdir()
    engine = StandingEngine(place)
    await engine.start()
    bridge = f"{place.bridge}f"
    body = {"body": {"Name": "front", "Options": {"com.docker.network.bridge.name": bridge}}}
    at, stood = 0, True
    while stood:
        async with place.client() as client:
            if verb is NetworkVerb.REMOVE:
                await client.do(NetworkVerb.CREATE, "", body)
            engine.stand.write_text(str(at))
            target, params = ("", body) if verb is NetworkVerb.CREATE else ("front", {})
            work = asyncio.create_task(_done(client.do(verb, target, params)))
            stood = await engine.stands(work)
            if stood:
                await place.kill9()
            engine.stand.unlink(missing_ok=True)
            await asyncio.gather(work, return_exceptions=True)
        if stood:
            await engine.start()
        async with place.client() as client:
            there = "front" in [n["Name"] for n in await client.networks_json()]
            assert Path("/sys/class/net", bridge).exists() is there is (f'"{bridge}"' in _rules(place)), f"killed at {at}"
            if there:
                await client.do(NetworkVerb.REMOVE, "front")
        at += 1
    assert at >= 4, f"killed only {at} times"
