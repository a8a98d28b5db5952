"""What every test stands on: root, a machine that is left as it was, and engines of the test's own."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.engines import EngineProcess
from tests.leftovers import MARK, alone, changed, settle, sysctls, things

UNPACKED = Path(__file__).parents[1] / "build/docker.io/usr/bin"
"""Debian's docker command, for hosts that have none (`make test` puts it there)."""

SpawnEngine = Callable[..., Awaitable[EngineProcess]]


def pytest_sessionstart(session: pytest.Session) -> None:
    if os.geteuid() != 0:
        pytest.exit("cannot test: the tests use the real kernel and need root; run them as root: sudo make test", 1)
    # Hundreds of engines are started: each would compile itself where Python is told to keep nothing, half a second long.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ[MARK] = secrets.token_hex(8)
    os.environ["PATH"] += f":/usr/local/sbin:/usr/sbin:/sbin:{UNPACKED}"


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The whole suite leaves the machine as it was. The first fixture of all, so the last to look.

    While another session runs beside it, only what is surely ours is looked at: our engines and our directory.
    """
    directory, mark = str(tmp_path_factory.getbasetemp()), os.environ[MARK]
    before, switches, was_alone = things(directory, mark), sysctls(), alone(mark)

    def look() -> set[str]:
        found = things(directory, mark) - before
        if was_alone and alone(mark):
            return found | changed(switches)
        return {line for line in found if mark[:4] in line or directory in line or line.startswith("process ")}

    yield
    found = settle(look)
    assert not found, "the tests left behind:\n" + "\n".join(found)


@pytest.fixture
async def place_engine() -> AsyncIterator[Callable[[], EngineProcess]]:
    """Makes places for engines, not started yet. Each is shut down, and proved to have left nothing, after the test."""
    places: list[EngineProcess] = []

    def place() -> EngineProcess:
        places.append(EngineProcess(Path(tempfile.gettempdir(), f"longshore-{os.environ[MARK][:4]}{secrets.token_hex(2)}")))
        return places[-1]

    yield place
    errors = []
    for each in places:
        try:
            await each.clean()
        except (AssertionError, OSError, TimeoutError) as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("engines left something behind", errors)


@pytest.fixture
async def spawn_engine(place_engine: Callable[[], EngineProcess]) -> SpawnEngine:
    """Starts a real `longshored`, and another with each call; options as on its command line."""

    async def spawn(*options: str) -> EngineProcess:
        engine = place_engine()
        await engine.start(*options)
        return engine

    return spawn
