"""How long a line takes to `cat` and back, attached to a container and in an exec, with a terminal and without."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from tests.bench.measure import percentile, table
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image, take_over

TIMES = 2000
WARM = 50
AIM = 1.0
"""Milliseconds, at the median."""
LINE = b"x\n"
ANSWERS = {False: b"\1\0\0\0\0\0\0\2x\n", True: b"x\r\nx\r\n"}
"""In a frame; or, by whether there is a terminal, once from that and once from `cat`."""

Took = dict[str, list[float]]


async def echo(times: int = TIMES) -> list[str]:
    async with pair() as engines:
        ours, theirs = [await asyncio.to_thread(_measure, engine.socket, times) for engine in (engines.ours, engines.peer)]
    rows = []
    for what, took in ours.items():
        mine, other = median(took), median(theirs[what])
        rows.append((what, _figure(took), _figure(theirs[what]), mine / other, f"at most {AIM:g} ms", mine <= AIM))
    return table(f"milliseconds for a line to `cat` and back, median of {times} (and 99 of 100 below)", rows)


def _measure(path: str, times: int) -> Took:
    api = Api(path)
    api.ask("POST", "/images/load?quiet=1", image())
    took = {}
    for tty in (False, True):
        with _attached(api, path, tty) as (id, connection):
            suffix = " with tty" if tty else ""
            took["attach" + suffix] = _round_trips(connection, tty, times)
            with _exec(api, path, id, tty) as inside:
                took["exec" + suffix] = _round_trips(inside, tty, times)
    api.close()
    return took


@contextmanager
def _attached(api: Api, path: str, tty: bool) -> Iterator[tuple[str, socket.socket]]:
    body = {"Image": IMAGE, "Cmd": ["cat"], "OpenStdin": True, "Tty": tty, "AttachStdin": True, "AttachStdout": True}
    id = api.ask("POST", "/containers/create", body)["Id"]
    with take_over(path, f"/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1") as connection:
        api.ask("POST", f"/containers/{id}/start")
        yield id, connection
    api.ask("DELETE", f"/containers/{id}?force=1")


def _exec(api: Api, path: str, id: str, tty: bool) -> socket.socket:
    body = {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": tty}
    exec_id = api.ask("POST", f"/containers/{id}/exec", body)["Id"]
    return take_over(path, f"/exec/{exec_id}/start", {"Tty": tty})


def _round_trips(connection: socket.socket, tty: bool, times: int) -> list[float]:
    """Milliseconds of each."""
    took = []
    for number in range(WARM + times):
        began = time.perf_counter()
        connection.sendall(LINE)
        answer = b""
        while len(answer) < len(ANSWERS[tty]):
            said = connection.recv(64)
            assert said, f"the connection broke after {answer!r}"
            answer += said
        if number >= WARM:
            took.append((time.perf_counter() - began) * 1000)
        assert answer == ANSWERS[tty], answer
    return took


def _figure(values: list[float]) -> str:
    return f"{median(values):.2f} ({percentile(values, 99):.2f})"
