"""How long an engine answers nobody while a hundred containers start at once."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from statistics import median

from tests.bench.measure import percentile, table
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image

CONTAINERS = 100
AIM = 20.0
"""Milliseconds of the longest stall."""
NETWORK = "crowded"


async def stall(containers: int = CONTAINERS) -> list[str]:
    """A stall is what a ping takes beyond the usual. Our own is that without the time in which others had the processors."""
    async with pair() as engines:
        places = (engines.ours.socket, engines.ours.pid), (engines.peer.socket, engines.peer.pids[-1])
        (own, took), (other, takes) = [await _measure(*place, containers) for place in places]
    mine, theirs = ([ms for ms, _ in pings] for pings in (own, other))
    longest, others = max(mine) - median(mine), max(theirs) - median(theirs)
    ours = max(ms - waited for ms, waited in own) - median(mine)
    rows = [
        ("our own stall", f"{ours:.1f}", "-", ours / others, f"at most {AIM:g} ms", ours <= AIM),
        ("longest stall", *_figures(longest, others), "", True),
        ("99 of 100 pings", *_figures(percentile(mine, 99), percentile(theirs, 99)), "", True),
        ("median ping", *_figures(median(mine), median(theirs)), "", True),
        ("all started", *_figures(took, takes), "", True),
    ]
    return table(f"milliseconds, while {containers} containers start at once", rows)


def _figures(mine: float, theirs: float) -> tuple[str, str, float]:
    return f"{mine:.1f}", f"{theirs:.1f}", mine / theirs


async def _measure(path: str, pid: int, containers: int) -> tuple[list[tuple[float, float]], float]:
    """Milliseconds of each ping, with those waited for a processor, and of all starts together."""
    names = [f"crowd-{number}" for number in range(containers)]
    await asyncio.to_thread(_create, path, names)
    pings: list[tuple[float, float]] = []
    async with _pinging(path, pid, pings):
        began = time.perf_counter()
        await asyncio.to_thread(_all, path, names, "POST", "/containers/{}/start")
        took = (time.perf_counter() - began) * 1000
    await asyncio.to_thread(_all, path, names, "DELETE", "/containers/{}?force=1")
    return pings, took


def _create(path: str, names: list[str]) -> None:
    api = Api(path)
    api.ask("POST", "/images/load?quiet=1", image())
    api.ask("POST", "/networks/create", {"Name": NETWORK})
    for name in names:
        body = {"Image": IMAGE, "Cmd": ["sleep", "1000000"], "HostConfig": {"NetworkMode": NETWORK}}
        api.ask("POST", f"/containers/create?name={name}", body)
    api.close()


def _all(path: str, names: list[str], method: str, url: str) -> None:
    """The same request for every container, all at once."""

    def ask(name: str) -> None:
        api = Api(path)
        api.ask(method, url.format(name))
        api.close()

    with ThreadPoolExecutor(len(names)) as crowd:
        list(crowd.map(ask, names))


@asynccontextmanager
async def _pinging(path: str, pid: int, pings: list[tuple[float, float]]) -> AsyncIterator[None]:
    """All the while. `pings` is filled afterwards."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.pings", path, str(pid)), stdin=pipe, stdout=pipe, limit=1 << 26
    )
    assert process.stdout
    try:
        await process.stdout.readline()
        yield
    finally:
        told, _ = await process.communicate(b"")  # ends its input
        pings += json.loads(told)
