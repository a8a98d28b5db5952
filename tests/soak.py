"""Live through many containers and look for what grows; then the same with `kill -9` in between: `make soak`.

python -m tests.soak [LIVES]. Fails when an error comes up, when descriptors or threads have grown, or when anything is left.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from engine.client import Client
from engine.model.errors import NotFound, Unavailable
from engine.model.status import Status
from tests.engines import EngineProcess
from tests.leftovers import MARK

LIVES = 1000
WORKERS = 4
WARM = 50
"""Lives until caches and pools are full: growth counts from there."""
KILLS = 25
BODY: dict[str, Any] = {
    "Image": "busybox",
    "Cmd": ["sh", "-c", "echo ahoy; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"],
}


async def live(engine: Client, name: str) -> None:
    """One life; `NotFound` and the like are errors here."""
    await engine.do("create", "", {"name": name, "body": BODY})
    await engine.do("start", name)
    await engine.do("pause", name)
    await engine.do("unpause", name)
    await engine.do("stop", name)
    await engine.do("remove", name)


async def many(place: EngineProcess, lives: int, label: str) -> None:
    """So many lives, some side by side."""
    waiting = iter(range(lives))

    async def work() -> None:
        async with place.client() as engine:
            for number in waiting:
                await live(engine, f"{label}-{number}")
                print(f"\r{label}: {number + 1} of {lives}", end="", file=sys.stderr, flush=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    print(file=sys.stderr)


def figures(pid: int) -> dict[str, float]:
    process = psutil.Process(pid)
    return {"descriptors": process.num_fds(), "threads": process.num_threads(), "MB": process.memory_info().rss / 1e6}


async def violence(place: EngineProcess) -> None:
    """Kill the engine at any moment of a life, start it again, and find every container before or after, then removable."""
    for number in range(KILLS):
        name = f"killed-{number}"
        async with place.client() as engine:
            life = asyncio.create_task(live(engine, name))
            await asyncio.sleep(random.uniform(0, 0.4))
            await place.kill9()
            with suppress(Unavailable):
                await life
        await place.start()
        async with place.client() as engine:
            rows = {row.name: row for row in await engine.containers()}
            broken = [row.name for row in rows.values() if row.status is Status.DEAD or row.missing]
            assert not broken, f"neither before nor after: {broken}\n{place.said()}"
            with suppress(NotFound):
                await engine.do("remove", name, {"force": True})
        print(f"\rkill -9: {number + 1} of {KILLS}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


async def main(lives: int) -> None:
    os.environ[MARK] = secrets.token_hex(8)
    place = EngineProcess(Path(tempfile.gettempdir(), f"longshore-{secrets.token_hex(4)}"))
    try:
        await place.start()
        await many(place, WARM, "warm")
        before = figures(place.pid)
        await many(place, lives, "life")
        after = figures(place.pid)
        await violence(place)
    finally:
        await place.clean()
    for what, then in before.items():
        print(f"{what:<12}{then:>10.1f} after {WARM} lives{after[what]:>10.1f} after {WARM + lives}")
    grown = [what for what in ("descriptors", "threads") if after[what] > before[what] + WORKERS]
    if grown:
        sys.exit(f"grown: {', '.join(grown)}")
    print("Nothing has grown, nothing is left.")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else LIVES))
