"""One engine with a few containers and networks, to be asked why one end does not reach another."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.client import Client
from engine.model.container import Container
from engine.model.reach import Verdict
from engine.spec.reach import Reason
from tests.engines import EngineProcess
from tests.leftovers import MARK
from tests.real.machine import Machine, fetch, machine, run

SERVE = "mkdir -p /tmp/www; httpd -p 80 -h /tmp/www; httpd -p 127.0.0.1:81 -h /tmp/www; exec sleep 1000"
SECOND = "192.0.2.2"
"""Another address of the machine's uplink."""


@dataclass
class World:
    """One engine with a few containers, on a machine with an uplink."""

    here: Machine
    engine: EngineProcess
    client: Client

    async def why(self, source: str, target: str, port: int = 0, protocol: str = "", **more: Any) -> Verdict:
        return await self.client.why(source, target, port, protocol, **more)

    async def stops(self, reason: Reason, source: str, target: str, *asked: Any, **more: Any) -> Verdict:
        """The verdict, which must name this reason, with a sentence and a remedy, and nothing before it."""
        verdict = await self.why(source, target, *asked, **more)
        stopped = verdict.stopped
        assert stopped and stopped.reason == reason, shown(verdict)
        assert stopped.why and stopped.remedy and stopped.shown and stopped is verdict.hops[-1]
        assert verdict.reached is False and stopped.why in verdict.sentence
        return verdict

    async def reaches(self, source: str, target: str, *asked: Any, **more: Any) -> Verdict:
        verdict = await self.why(source, target, *asked, **more)
        assert verdict.reached, shown(verdict)
        return verdict

    def shown(self, *command: str) -> str:
        return self.here.shown(*command)

    def enter(self, c: Container) -> str:
        return f"{self.engine.run}/netns/{c.sandbox}"

    def within(self, c: Container, *command: str) -> str:
        return run("nsenter", f"--net={self.enter(c)}", *command)

    async def container(self, name: str, network: str = "open", script: str = SERVE, **host: Any) -> Container:
        await self.create(name, network, script, **host)
        return await self.start(name, script)

    async def create(self, name: str, network: str, script: str, **host: Any) -> None:
        host_config = {"NetworkMode": network, **host}
        body = {"Image": "busybox", "Cmd": ["sh", "-c", script], "StopSignal": "KILL", "HostConfig": host_config}
        await self.client.do("create", "", {"name": name, "body": body})

    async def start(self, name: str, script: str) -> Container:
        """Start it, and wait until what its script serves is there."""
        await self.client.do("start", name)
        c = await self.client.inspect(name)
        while script == SERVE and c.plugged and await fetch(self.enter(c), c.plugged[0].address, 80) is None:
            await asyncio.sleep(0.01)
        return c

    @asynccontextmanager
    async def one(self, network: str = "open", script: str = SERVE, **host: Any) -> AsyncIterator[Container]:
        """A container that a test may spoil."""
        name = f"one-{secrets.token_hex(3)}"
        await self.create(name, network, script, **host)
        try:
            yield await self.start(name, script)
        finally:
            await self.client.do("remove", name, {"force": True})


def shown(verdict: Verdict) -> str:
    return "\n".join([verdict.sentence, *(f"{hop.outcome} {hop.reason}: {hop.title}: {hop.shown}" for hop in verdict.hops)])


def published(*ports: str) -> dict[str, list[dict[str, str]]]:
    """`PortBindings` of `address:host:port`."""
    found: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        address, outer, inner = port.split(":")
        found.setdefault(f"{inner}/tcp", []).append({"HostIp": address, "HostPort": outer})
    return found


@contextmanager
def rule(world: World, program: str, *words: str) -> Iterator[None]:
    world.shown(program, "-I", *words)
    try:
        yield
    finally:
        world.shown(program, "-D", *words)


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    """`web` and `db` on the network `open`, `far` on `other`; `closed` is without icc, `shut` internal, `both` has IPv6."""
    engine = EngineProcess(Path(tempfile.gettempdir(), f"longshore-{os.environ[MARK][:4]}{secrets.token_hex(2)}"))
    async with machine(secrets.token_hex(3)) as here:
        here.shown("ip", "address", "add", f"{SECOND}/24", "dev", "up0")
        engine.prefix = here.own.enter
        try:
            await engine.start()
            async with engine.client() as client:
                made = World(here, engine, client)
                for name, settings in (
                    ("open", {}),
                    ("other", {}),
                    ("closed", {"Options": {"com.docker.network.bridge.enable_icc": "false"}}),
                    ("shut", {"Internal": True}),
                    ("both", {"EnableIPv6": True}),
                ):
                    await client.do("create_network", "", {"body": {"Name": name, **settings}})
                await made.container("web", PortBindings=published(":8080:80"))
                await made.container("db")
                await made.container("far", "other", PortBindings=published("127.0.0.1:8090:80"))
                yield made
        finally:
            await engine.clean()
