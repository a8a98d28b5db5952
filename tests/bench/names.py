"""How long a container waits for the address of another one: a query to 127.0.0.11 from inside its network namespace."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from statistics import median

import dns.message
import dns.reversename

from engine.host.names.upstream import framed
from engine.host.netns import inside
from tests.bench.measure import percentile, table
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image

TIMES = 2000
WARM = 50
AIM = 1.0
"""Milliseconds, at the median."""
SERVICE = ("127.0.0.11", 53)

Took = dict[str, list[float]]


async def names(times: int = TIMES) -> list[str]:
    async with pair() as engines:
        ours, theirs = [await asyncio.to_thread(_measure, engine.socket, times) for engine in (engines.ours, engines.peer)]
    rows = []
    for what, took in ours.items():
        mine, other = median(took), median(theirs[what])
        rows.append((what, _figure(took), _figure(theirs[what]), mine / other, f"at most {AIM:g} ms", mine <= AIM))
    return table(f"milliseconds of a name lookup inside a container, median of {times} (and 99 of 100 below)", rows)


def _measure(path: str, times: int) -> Took:
    api = Api(path)
    api.ask("POST", "/images/load?quiet=1", image())
    api.ask("POST", "/networks/create", {"Name": "looked-up"})
    for each in ("web", "db"):
        body = {"Image": IMAGE, "Cmd": ["sleep", "1000000"], "HostConfig": {"NetworkMode": "looked-up"}}
        api.ask("POST", f"/containers/create?name={each}", body)
        api.ask("POST", f"/containers/{each}/start")
    namespace = f"/proc/{api.ask('GET', '/containers/web/json')['State']['Pid']}/ns/net"
    address = api.ask("GET", "/containers/db/json")["NetworkSettings"]["Networks"]["looked-up"]["IPAddress"]
    name = dns.message.make_query("db", "A").to_wire()
    reverse = dns.message.make_query(dns.reversename.from_address(address), "PTR").to_wire()
    took = {
        "name by UDP": _repeat(lambda: _by_udp(namespace, name), times),
        "name by TCP": _repeat(lambda: _by_tcp(namespace, name), times),
        "address by UDP": _repeat(lambda: _by_udp(namespace, reverse), times),
    }
    for each in ("web", "db"):
        api.ask("DELETE", f"/containers/{each}?force=1")
    api.ask("DELETE", "/networks/looked-up")
    api.close()
    return took


def _repeat(lookup: Callable[[], float], times: int) -> list[float]:
    return [lookup() * 1000 for _ in range(WARM + times)][WARM:]


def _by_udp(namespace: str, query: bytes) -> float:
    with _socket(namespace, socket.SOCK_DGRAM) as client:
        began = time.perf_counter()
        client.sendto(query, SERVICE)
        _check(client.recv(512))
        return time.perf_counter() - began


def _by_tcp(namespace: str, query: bytes) -> float:
    """With the connection, as resolvers do it."""
    with _socket(namespace, socket.SOCK_STREAM) as client:
        began = time.perf_counter()
        client.connect(SERVICE)
        client.sendall(framed(query))
        _check(client.recv(512)[2:])
        return time.perf_counter() - began


def _socket(namespace: str, kind: int) -> socket.socket:
    """A socket of the container's."""
    client = inside(namespace, lambda: socket.socket(socket.AF_INET, kind))
    client.settimeout(10)
    return client


def _check(answer: bytes) -> None:
    assert dns.message.from_wire(answer).answer, "the name service does not know the name"


def _figure(took: list[float]) -> str:
    return f"{median(took):.2f} ({percentile(took, 99):.2f})"
