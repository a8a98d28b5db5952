"""An engine on a simulated host, served on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from engine.api.server import serving
from engine.client import Client
from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.sessions.execs import Execs
from tests.engine.worlds import BODY, engine_on, settle


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.data)


@dataclass
class Served:
    """A served engine, and a way to ask it as any HTTP client would."""

    engine: Engine
    world: SimulatedWorld
    path: str
    session: aiohttp.ClientSession

    async def ask(self, method: str, url: str, **options: Any) -> Answer:
        async with self.session.request(method, url, **options) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, url: str, **options: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = await self.ask("GET", url, **options)
        assert answer.status == 200, answer.data
        return answer.json

    async def create(self, name: str = "web", **body: Any) -> str:
        return (await self.engine.do("create", "", {"name": name, "body": BODY | body})).id


@asynccontextmanager
async def serve(directory: Path) -> AsyncIterator[Served]:
    world = SimulatedWorld()
    engine = await engine_on(world)
    path = str(directory / "e.sock")
    async with (
        serving(engine, Execs(engine), [path]),
        aiohttp.ClientSession("http://engine", connector=aiohttp.UnixConnector(path)) as session,
    ):
        yield Served(engine, world, path, session)
    await settle(engine)


async def until(true: Callable[[], object]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    async with Client(served.path) as client:
        yield client
