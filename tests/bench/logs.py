"""A container that writes as fast as it can into the log it gets by default, and that log read back over the API."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

from tests.bench.measure import table
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image

SECONDS = 5
LINE = "2026-01-01T00:00:00.000Z INFO shop: order 4711 of customer 42 shipped"
"""What a service writes, about as long."""
MEGABYTE = 1_000_000

Speed = dict[str, tuple[float, float]]
"""Lines, and megabytes of what the container has written, in a second."""


async def logs(seconds: int = SECONDS) -> list[str]:
    async with pair() as engines:
        ours, theirs = [await asyncio.to_thread(_measure, engine.socket, seconds) for engine in (engines.ours, engines.peer)]
    rows = []
    for what, speed in ours.items():
        ratio = speed[0] / theirs[what][0]
        rows.append((what, _figure(speed), _figure(theirs[what]), ratio, "at least 1x", ratio >= 1))
    return table(f"lines a second (and MB/s) of a container that writes for {seconds} s as fast as it can", rows)


def _measure(path: str, seconds: int) -> Speed:
    api = Api(path)
    api.ask("POST", "/images/load?quiet=1", image())
    body = {"Image": IMAGE, "Cmd": ["sh", "-c", f"timeout {seconds} yes '{LINE}'; exit 0"]}
    id = api.ask("POST", "/containers/create", body)["Id"]
    api.ask("POST", f"/containers/{id}/start")
    began = time.perf_counter()
    api.ask("POST", f"/containers/{id}/wait")
    took = time.perf_counter() - began
    lines = _count(api.ask("GET", f"/containers/{id}/json")["LogPath"])
    speed = {"written": _speed(lines, took)}
    began = time.perf_counter()
    _read_all(path, f"/containers/{id}/logs?stdout=1")
    speed["read back"] = _speed(lines, time.perf_counter() - began)
    api.ask("DELETE", f"/containers/{id}")
    api.close()
    return speed


def _count(path: str) -> int:
    with Path(path).open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _read_all(path: str, url: str) -> None:
    """HTTP/1.0: the answer ends with the connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(f"GET {url} HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
        assert connection.recv(1 << 20).startswith(b"HTTP/1.0 200")
        while connection.recv(1 << 20):
            pass


def _speed(lines: int, seconds: float) -> tuple[float, float]:
    return lines / seconds, lines * (len(LINE) + 1) / seconds / MEGABYTE


def _figure(speed: tuple[float, float]) -> str:
    return f"{speed[0]:,.0f} ({speed[1]:.1f})"
