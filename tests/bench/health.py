"""How late the first probe of a health check begins, and its result comes: both after start and one interval.

What lies between the two is the probe itself, an exec.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from statistics import median

from tests.bench.measure import table
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image

ROUNDS = 10
INTERVAL = 1.0
AIM = 50.0
"""Milliseconds, at the median."""
Late = tuple[float, float]
"""Milliseconds until the probe began, and until its result was told."""
CHECK = {"Test": ["CMD", "true"], "Interval": int(INTERVAL * 1e9), "Timeout": 10**9}


async def health(rounds: int = ROUNDS) -> list[str]:
    async with pair() as engines:
        sockets = engines.ours.socket, engines.peer.socket
        ours, theirs = await asyncio.to_thread(_compare, sockets, rounds)
    rows = []
    for what, mine, other in zip(("begun", "told"), zip(*ours, strict=True), zip(*theirs, strict=True), strict=True):
        aim = f"at most {AIM:g} ms" if what == "begun" else ""
        rows.append((what, _figure(mine), _figure(other), median(mine) / median(other), aim, median(mine) <= AIM))
    return table(f"milliseconds the first probe is late after {INTERVAL:g} s, median of {rounds} (and longest)", rows)


def _compare(sockets: tuple[str, str], rounds: int) -> list[list[Late]]:
    apis = [Api(path) for path in sockets]
    late: list[list[Late]] = [[], []]
    for api in apis:
        api.ask("POST", "/images/load?quiet=1", image())
    for number in range(rounds + 1):
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        for api, path, found in zip(apis, sockets, late, strict=True):
            took = _once(api, path)
            if number:  # the first warms what is cold
                found.append(took)
    print(file=sys.stderr)
    for api in apis:
        api.close()
    return late


def _once(api: Api, path: str) -> Late:
    """The probe's begin is by the engine's own times; its result is when the event has come."""
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000000"], "Healthcheck": CHECK}
    id = api.ask("POST", "/containers/create", body)["Id"]
    filters = json.dumps({"container": [id], "event": ["health_status"]})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(f"GET /events?filters={filters.replace(' ', '')} HTTP/1.1\r\nHost: engine\r\n\r\n".encode())
        events = http.client.HTTPResponse(connection)
        events.begin()
        api.ask("POST", f"/containers/{id}/start")
        began = time.perf_counter()
        event = json.loads(events.readline())
        told = (time.perf_counter() - began - INTERVAL) * 1000
    assert event["status"] == "health_status: healthy", event
    state = api.ask("GET", f"/containers/{id}/json")["State"]
    begun = _seconds(state["Health"]["Log"][0]["Start"]) - _seconds(state["StartedAt"]) - INTERVAL
    api.ask("DELETE", f"/containers/{id}?force=1")
    return begun * 1000, told


def _seconds(stamp: str) -> float:
    """Of RFC 3339 with any number of decimals and any zone."""
    return datetime.fromisoformat(re.sub(r"\.(\d+)", lambda found: f".{found[1]:0<6.6}", stamp)).timestamp()


def _figure(values: Sequence[float]) -> str:
    return f"{median(values):.0f} ({max(values):.0f})"
