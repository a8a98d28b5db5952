"""Debian's dockerd and our engine on one machine, both with real containers: neither takes the other's packets or rules.

dockerd switches the machine's forwarding on and lets FORWARD drop what it does not know; on bridges iptables is called too.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.monitor.samples import FIREWALL_EVERY
from tests.bench.peer import UNPACKED, Dockerd
from tests.bench.wire import IMAGE, Api, image
from tests.engines import EngineProcess
from tests.real.machine import ADDRESS, OUTSIDE, WEB, Machine, fetch, machine, path, run

SERVE = "busybox mkdir -p /www; echo $NAME > /www/index.html; exec busybox httpd -f -p 80 -h /www"
PUBLISHED, OURS_PUBLISHED = 8081, 8082
CLOSED = 1.0
"""Seconds after which no answer is taken for none."""
AGAIN = 10.0 + FIREWALL_EVERY
"""Seconds in which our chain must be there: a round of looking, and time for a busy machine."""


@dataclass
class Peer:
    """One container of either engine."""

    netns: str
    address: str


@dataclass
class Beside:
    """Both engines' machine, and what runs on it."""

    here: Machine
    engine: EngineProcess
    dockerd: Dockerd
    ours: list[Peer] = field(default_factory=list)
    dockers: list[Peer] = field(default_factory=list)

    def rules(self) -> list[str]:
        return [*self.here.shown("iptables", "-S").splitlines(), *self.here.shown("iptables", "-t", "nat", "-S").splitlines()]

    def others_rules(self) -> list[str]:
        return [rule for rule in self.rules() if "LONGSHORE" not in rule]

    async def start_ours(self) -> None:
        """Two containers of ours; the first one's port 80 is published."""
        async with self.engine.client() as client:
            self.ours = [await _start_ours(client, name) for name in OURS]

    async def start_dockers(self) -> None:
        self.dockers = await asyncio.to_thread(_start_dockers, self.dockerd.socket)
        # A host outside that knows the way to both: what is not published stays closed to it.
        for to in (self.engine.subnet, "172.17.0.0/16"):
            run(*self.here.outside.enter, "ip", "route", "replace", to, "via", ADDRESS)

    async def find_dockers(self) -> None:
        """Their processes are new ones after a restart of dockerd."""
        self.dockers = await asyncio.to_thread(_find_dockers, self.dockerd.socket)

    async def traffic_of_ours(self) -> None:
        one, two = self.ours
        await _assert_all(
            {
                "out": (fetch(one.netns, OUTSIDE, WEB), ADDRESS),
                "to the neighbour": (fetch(one.netns, two.address, 80), "ours-2"),
                "from outside, published": (fetch(path(self.here.outside), ADDRESS, OURS_PUBLISHED), "ours-1"),
                "from outside, not published": (fetch(path(self.here.outside), one.address, 80, CLOSED), None),
                "from itself, published": (fetch(one.netns, ADDRESS, OURS_PUBLISHED), "ours-1"),
                "over loopback": (fetch(path(self.here.own), "127.0.0.1", OURS_PUBLISHED), "ours-1"),
            }
        )

    async def traffic_of_dockers(self) -> None:
        one, two = self.dockers
        outside = path(self.here.outside)
        await _assert_all(
            {
                "out": (fetch(one.netns, OUTSIDE, WEB), ADDRESS),
                "to the neighbour": (fetch(two.netns, one.address, 80), "dockers-1"),
                "from outside, published": (fetch(outside, ADDRESS, PUBLISHED), "dockers-1"),
                "from outside, not published": (fetch(outside, two.address, 80, CLOSED), None),
            }
        )

    async def traffic_between(self) -> None:
        """By what Docker publishes, and by nothing else."""
        ours, one, two = self.ours[0], *self.dockers
        await _assert_all(
            {
                "ours to Docker's, published": (fetch(ours.netns, ADDRESS, PUBLISHED), "dockers-1"),
                "ours to Docker's, not published": (fetch(ours.netns, two.address, 80, CLOSED), None),
                "Docker's to ours, published": (fetch(one.netns, ADDRESS, OURS_PUBLISHED), "ours-1"),
                "Docker's to ours, not published": (fetch(one.netns, ours.address, 80, CLOSED), None),
            }
        )

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        """One of ours asks the world outside again and again meanwhile; every question must be answered."""
        heard: list[str | None] = []

        async def talk() -> None:
            while True:
                heard.append(await fetch(self.ours[0].netns, OUTSIDE, WEB))
                await asyncio.sleep(0.02)

        talker = asyncio.create_task(talk())
        try:
            yield
        finally:
            talker.cancel()
            await asyncio.gather(talker, return_exceptions=True)
        assert set(heard) == {ADDRESS}, heard


async def _assert_all(expected: dict[str, tuple[Any, str | None]]) -> None:
    got = await asyncio.gather(*(asked for asked, _ in expected.values()))
    said = dict(zip(expected, got, strict=True))
    assert said == {what: answer for what, (_, answer) in expected.items()}


async def _start_ours(client: Client, name: str) -> Peer:
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", SERVE],
        "Env": [f"NAME={name}"],
        "StopSignal": "KILL",
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": str(OURS_PUBLISHED)}]} if name == OURS[0] else {}},
    }
    await client.do("create", "", {"name": name, "body": body})
    await client.do("start", name)
    c = await client.inspect(name)
    assert c.endpoints
    return await _serving(Peer(f"/proc/{c.state.pid}/ns/net", c.endpoints[0].address))


async def _serving(peer: Peer) -> Peer:
    while await fetch(peer.netns, "127.0.0.1", 80) is None:
        await asyncio.sleep(0.02)
    return peer


NAMES, OURS = ("dockers-1", "dockers-2"), ("ours-1", "ours-2")


def _start_dockers(socket: str) -> list[Peer]:
    """Two containers of Docker's; the first one's port 80 is published."""
    api = Api(socket)
    api.ask("POST", "/images/load?quiet=1", image())
    for name in NAMES:
        body = {
            "Image": IMAGE,
            "Cmd": ["sh", "-c", SERVE],
            "Env": [f"NAME={name}", "PATH=/bin"],
            "StopSignal": "KILL",
            "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {
                "RestartPolicy": {"Name": "always"},
                "PortBindings": {"80/tcp": [{"HostPort": str(PUBLISHED)}]} if name == NAMES[0] else {},
            },
        }
        api.ask("POST", f"/containers/create?name={name}", body)
        api.ask("POST", f"/containers/{name}/start")
    api.close()
    return _find_dockers(socket)


def _find_dockers(socket: str) -> list[Peer]:
    api, found = Api(socket), []
    for name in NAMES:
        seen = api.ask("GET", f"/containers/{name}/json")
        found.append(Peer(f"/proc/{seen['State']['Pid']}/ns/net", seen["NetworkSettings"]["IPAddress"]))
    api.close()
    return found


@pytest.fixture
async def here() -> AsyncIterator[Machine]:
    async with machine(secrets.token_hex(3)) as made:
        yield made


@pytest.fixture
async def beside(here: Machine, place_engine: Callable[[], EngineProcess]) -> AsyncIterator[Beside]:
    if not UNPACKED.exists():
        run(str(Path(__file__).parents[2] / ".ci/unpack"), "docker.io", "libdevmapper1.02.1")
    dockerd = Dockerd(Path(tempfile.gettempdir(), f"longshore-pe{secrets.token_hex(3)}"), here.own)
    engine = place_engine()
    engine.prefix = here.own.enter
    try:
        yield Beside(here, engine, dockerd)
    finally:
        await dockerd.end()


def bridges_call_iptables(here: Machine) -> None:
    """On a kernel that can: dockerd has loaded the module by now."""
    here.shown("sysctl", "-e", "-q", "-w", "net.bridge.bridge-nf-call-iptables=1")


async def test_dockerd_first(beside: Beside) -> None:
    here, engine, dockerd = beside.here, beside.engine, beside.dockerd
    await dockerd.start()
    bridges_call_iptables(here)
    await beside.start_dockers()
    await beside.traffic_of_dockers()
    before = beside.rules()
    assert "-P FORWARD DROP" in before

    await engine.start()
    await beside.start_ours()
    await beside.traffic_of_ours()
    await beside.traffic_of_dockers()
    await beside.traffic_between()
    assert beside.others_rules() == before
    assert beside.rules() != before

    async with beside.talking():
        await engine.kill9()
        await engine.start()
        await dockerd.restart()
        await beside.find_dockers()
    await beside.traffic_of_ours()
    await beside.traffic_of_dockers()
    assert sum(rule.startswith("-A FORWARD") and "LONGSHORE" in rule for rule in beside.rules()) == 1

    with_both = beside.others_rules()
    await engine.shutdown()
    assert beside.rules() == with_both
    await beside.traffic_of_dockers()


async def test_engine_first(beside: Beside) -> None:
    here, engine, dockerd = beside.here, beside.engine, beside.dockerd
    await engine.start()
    await beside.start_ours()
    await beside.traffic_of_ours()
    assert "LONGSHORE" not in here.shown("nft", "list", "ruleset")

    await dockerd.start()
    bridges_call_iptables(here)
    # Our forwarding did not weaken it.
    assert "-P FORWARD DROP" in beside.rules()
    async with asyncio.timeout(AGAIN):
        while await fetch(beside.ours[0].netns, OUTSIDE, WEB, CLOSED) is None:
            await asyncio.sleep(0.1)
    assert any("LONGSHORE" in rule for rule in beside.rules())
    await beside.traffic_of_ours()
    await beside.start_dockers()
    await beside.traffic_of_dockers()
    await beside.traffic_between()

    with_both = beside.others_rules()
    await engine.shutdown()
    assert beside.rules() == with_both
    assert "net.ipv4.ip_forward = 1" in here.kernel()["forwarding"]
    await beside.traffic_of_dockers()
