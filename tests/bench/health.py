"""How late the first result of a health check is: from the answer to the start, over the interval, to the event."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import sys
import time
from statistics import median

from tests.bench.measure import table
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image

ROUNDS = 10
INTERVAL = 1.0
AIM = 50.0
"""Milliseconds, at the median."""
CHECK = {"Test": ["CMD", "true"], "Interval": int(INTERVAL * 1e9), "Timeout": 10**9}


async def health(rounds: int = ROUNDS) -> list[str]:
    async with pair() as engines:
        sockets = engines.ours.socket, engines.peer.socket
        ours, theirs = await asyncio.to_thread(_compare, sockets, rounds)
    mine = median(ours)
    row = ("first result", _figure(ours), _figure(theirs), mine / median(theirs), f"at most {AIM:g} ms", mine <= AIM)
    return table(f"milliseconds after {INTERVAL:g} s that the first result comes at, median of {rounds} (and longest)", [row])


def _compare(sockets: tuple[str, str], rounds: int) -> list[list[float]]:
    apis = [Api(path) for path in sockets]
    late: list[list[float]] = [[], []]
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


def _once(api: Api, path: str) -> float:
    """Milliseconds too late."""
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
        late = (time.perf_counter() - began - INTERVAL) * 1000
    assert event["status"] == "health_status: healthy", event
    api.ask("DELETE", f"/containers/{id}?force=1")
    return late


def _figure(values: list[float]) -> str:
    return f"{median(values):.0f} ({max(values):.0f})"
