"""What networks cost: wiring one container, a thousand published ports, and how fast packets go, beside dockerd's."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.measure import percentile, table
from tests.bench.pair import pair
from tests.bench.peer import Missing, Namespace
from tests.bench.wire import IMAGE, Api, image

NETWORK = "measured"
SLEEP = ["sleep", "1000000"]

STEPS = (
    *("MakeNetworkNamespace", "PlugVeth", "GiveAddress", "SetDefaultRoute"),
    *("TakePorts", "ForwardPorts", "AnswerNames"),
)
ROUNDS = 30
WIRED = 15.0
"""Milliseconds that the steps of one container may take together, at the median."""

PORTS = 1000
LED = 50.0
"""Milliseconds of the transaction that leads all of them."""

SECONDS = 3
TURNS = 5
CLOSE = 0.95
"""The least part of dockerd's throughput that ours may have."""
IPERF = 5201


async def wiring(rounds: int = ROUNDS) -> list[str]:
    """On a network with a name service, with one published port. dockerd does not tell of its parts."""
    async with pair() as engines:
        took = await asyncio.to_thread(_wire, engines.ours.socket, rounds)
    together = [sum(each) for each in zip(*took.values(), strict=True)]
    lines = [f"milliseconds to wire one container, median of {rounds} (and nine of ten below), by longshore's own steps"]
    lines += [f"{step:<22}{_figure(ms):>16}" for step, ms in took.items()]
    return [*lines, f"{'together':<22}{_figure(together):>16}   {_verdict(median(together), WIRED)}"]


async def ports(count: int = PORTS) -> list[str]:
    async with pair() as engines:
        took = await asyncio.to_thread(_publish, engines.ours.socket, count)
    lines = [f"milliseconds for {count} published ports of one container, median of {len(took['ForwardPorts'])}"]
    for step, ms in took.items():
        verdict = _verdict(median(ms), LED) if step == "ForwardPorts" else ""
        lines.append(f"{step:<22}{median(ms):>16.1f}   {verdict}".rstrip())
    return lines


def _wire(socket: str, rounds: int) -> dict[str, list[float]]:
    api = Api(socket)
    api.ask("POST", "/images/load?quiet=1", image())
    api.ask("POST", "/networks/create", {"Name": NETWORK})
    took = [_started(api, {"80/tcp": [{"HostPort": "8080"}]}) for _ in range(rounds + 1)][1:]
    api.ask("DELETE", f"/networks/{NETWORK}")
    api.close()
    return {step: [each[step] for each in took] for step in STEPS}


def _publish(socket: str, count: int) -> dict[str, list[float]]:
    api = Api(socket)
    api.ask("POST", "/images/load?quiet=1", image())
    api.ask("POST", "/networks/create", {"Name": NETWORK})
    wanted = {f"{1000 + number}/tcp": [{"HostPort": str(10000 + number)}] for number in range(count)}
    took = [_started(api, wanted) for _ in range(6)][1:]
    api.ask("DELETE", f"/networks/{NETWORK}")
    api.close()
    return {step: [each[step] for each in took] for step in ("TakePorts", "ForwardPorts")}


def _started(api: Api, bindings: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of the steps of one start. The container is gone again."""
    host = {"NetworkMode": NETWORK, "PortBindings": bindings}
    body = {"Image": IMAGE, "Cmd": SLEEP, "ExposedPorts": {port: {} for port in bindings}, "HostConfig": host}
    id = api.ask("POST", "/containers/create", body)["Id"]
    api.ask("POST", f"/containers/{id}/start")
    rows = api.ask("GET", f"/longshore/containers/{id}")["Run"]["rows"]
    api.ask("DELETE", f"/containers/{id}?force=1")
    return {row["step"]: row["ms"] for row in rows}


def _verdict(ms: float, aim: float) -> str:
    return f"at most {aim:g} ms: {'reached' if ms <= aim else 'missed'}"


def _figure(ms: list[float]) -> str:
    return f"{median(ms):.1f} ({percentile(ms, 90):.1f})"


# Throughput


@dataclass(frozen=True)
class _Way:
    """From one namespace to an address where the measured server listens."""

    enter: tuple[str, ...]
    address: str
    server: tuple[str, ...]

    def gigabits(self) -> float:
        """Per second, by one TCP connection."""
        with _serving(self.server):
            command = [*self.enter, "iperf3", "--client", self.address, "--time", str(SECONDS), "--omit", "1", "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = json.loads(done.stdout)
        if "error" in told:
            raise RuntimeError(f"iperf3 to {self.address}: {told['error']}")
        return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9


async def throughput(turns: int = TURNS) -> list[str]:
    """Both engines take turns, so that what else goes on meets both. Raises `Missing` without iperf3."""
    if shutil.which("iperf3") is None:
        raise Missing("there is no iperf3 on this host; apt install iperf3")
    async with pair() as engines:
        prefixes = engines.ours.prefix, engines.peer.namespace.enter
        sockets = engines.ours.socket, engines.peer.socket
        own, other = await asyncio.to_thread(_compare, sockets, prefixes, engines.ours.tag, turns)
    rows = []
    for what, mine in own.items():
        ratio = median(mine) / median(other[what])
        figures = (f"{median(mine):.2f}", f"{median(other[what]):.2f}")
        rows.append((what, *figures, ratio, f"at least {CLOSE:g}x", ratio >= CLOSE))
    return table(f"gigabits per second by one TCP connection, median of {turns} times {SECONDS} s", rows)


def _compare(sockets: Sequence[str], prefixes: Sequence[tuple[str, ...]], tag: str, turns: int) -> list[dict[str, list[float]]]:
    found: list[dict[str, list[float]]] = [{}, {}]
    with ExitStack() as stack:
        outsides = [stack.enter_context(Namespace(f"longshore-{number}{tag}")) for number in (1, 2)]
        both = [_ways(*each) for each in zip(sockets, prefixes, outsides, strict=True)]
        for turn in range(turns):
            for which in (0, 1) if turn % 2 else (1, 0):
                for what, way in both[which].items():
                    found[which].setdefault(what, []).append(way.gigabits())
        for socket in sockets:
            _clear(socket)
    return found


def _ways(socket: str, prefix: tuple[str, ...], outside: Namespace) -> dict[str, _Way]:
    """Two containers of one engine, and somebody outside, on the other end of a cable to the engine's machine."""
    for command in (
        (*prefix, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", outside.name),
        (*prefix, "ip", "address", "add", "192.0.2.1/24", "dev", "up0"),
        (*prefix, "ip", "link", "set", "up0", "up"),
        (*outside.enter, "ip", "address", "add", "192.0.2.9/24", "dev", "eth0"),
        (*outside.enter, "ip", "link", "set", "eth0", "up"),
    ):
        subprocess.run(command, check=True)
    api = Api(socket)
    api.ask("POST", "/images/load?quiet=1", image())
    api.ask("POST", "/networks/create", {"Name": NETWORK})
    bindings = {f"{IPERF}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(IPERF)}]}
    for name, published in (("server", bindings), ("client", {})):
        host = {"NetworkMode": NETWORK, "PortBindings": published}
        body = {"Image": IMAGE, "Cmd": SLEEP, "ExposedPorts": {port: {} for port in published}, "HostConfig": host}
        api.ask("POST", f"/containers/create?name={name}", body)
        api.ask("POST", f"/containers/{name}/start")
    server, client = (api.ask("GET", f"/containers/{name}/json") for name in ("server", "client"))
    api.close()
    within, beside = (("nsenter", f"--net=/proc/{each['State']['Pid']}/ns/net") for each in (server, client))
    address = server["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
    return {"over the bridge": _Way(beside, address, within), "published port": _Way(outside.enter, "192.0.2.1", within)}


def _clear(socket: str) -> None:
    api = Api(socket)
    for name in ("server", "client"):
        api.ask("DELETE", f"/containers/{name}?force=1")
    api.ask("DELETE", f"/networks/{NETWORK}")
    api.close()


@contextmanager
def _serving(enter: tuple[str, ...]) -> Iterator[None]:
    """iperf3's server, in a container's network namespace."""
    server = subprocess.Popen([*enter, "iperf3", "--server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while subprocess.run([*enter, "ss", "-Hltn", f"sport = {IPERF}"], capture_output=True, check=True).stdout == b"":
            time.sleep(0.01)
        yield
    finally:
        server.terminate()
        server.wait()
