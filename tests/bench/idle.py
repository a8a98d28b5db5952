"""What containers that do nothing cost: left alone, watched, and with `docker stats` on every one of them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from tests.bench.measure import related
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image

CONTAINERS = 300
SECONDS = 30.0
CALM = 5.0
"""Seconds before a measurement in which what was just done may come to rest."""
AIMS = {"alone": 0.5, "watched": 10.0}
"""Per cent of one core that our engine may take."""


async def idle(containers: int = CONTAINERS) -> list[str]:
    async with pair() as engines:
        ours, peer = engines.ours, engines.peer
        own = await _measure(ours.socket, [ours.pid], ours.tag, containers, watchable=True)
        other = await _measure(peer.socket, [peer.pids[-1]], peer.tag, containers, watchable=False)
    lines = [
        f"per cent of one core for {containers} sleeping containers, over {SECONDS:g} s; in brackets with containerd and shims",
        f"{'':<16}{'longshore':>18}{'dockerd':>18}   aim",
    ]
    for what, (engine, all_of_it) in own.items():
        theirs = "{:.2f} ({:.1f})".format(*other[what]) if what in other else "-"
        aim = AIMS.get(what)
        verdict = f"at most {aim:g}: {'reached' if engine <= aim else 'missed'}" if aim else ""
        lines.append(f"{what:<16}{f'{engine:.2f} ({all_of_it:.1f})':>18}{theirs:>18}   {verdict}".rstrip())
    return lines


async def _measure(socket: str, engine: list[int], tag: str, count: int, *, watchable: bool) -> dict[str, tuple[float, float]]:
    """Per cent of a core, of the engine itself and of all its processes, in each of the situations."""
    names = [f"idle-{number}" for number in range(count)]
    await asyncio.to_thread(_start, socket, names)
    found = {"alone": await _spent(engine, tag)}
    if watchable:
        async with _reading(socket, ["/longshore/watch"]):
            found["watched"] = await _spent(engine, tag)
    async with _reading(socket, [f"/containers/{name}/stats" for name in names]):
        found["docker stats"] = await _spent(engine, tag)
    await asyncio.to_thread(_remove, socket, names)
    return found


def _start(socket: str, names: list[str]) -> None:
    api = Api(socket)
    api.ask("POST", "/images/load?quiet=1", image())
    for number, name in enumerate(names):
        print(f"\r{number + 1} of {len(names)} started", end="", file=sys.stderr, flush=True)
        api.ask("POST", f"/containers/create?name={name}", {"Image": IMAGE, "Cmd": ["sleep", "1000000"]})
        api.ask("POST", f"/containers/{name}/start")
    print(file=sys.stderr)
    api.close()


def _remove(socket: str, names: list[str]) -> None:
    api = Api(socket)
    for name in names:
        api.ask("DELETE", f"/containers/{name}?force=1")
    api.close()


@asynccontextmanager
async def _reading(socket: str, paths: list[str]) -> AsyncIterator[None]:
    """Endless answers, read and thrown away."""
    async with AsyncExitStack() as stack:
        for path in paths:
            reader, writer = await asyncio.open_unix_connection(socket)
            stack.callback(writer.close)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: engine\r\n\r\n".encode())
            drain = asyncio.create_task(_drain(reader))
            stack.callback(drain.cancel)
        yield


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


async def _spent(engine: list[int], tag: str) -> tuple[float, float]:
    await asyncio.sleep(CALM)
    everybody = [*{*engine, *related(engine[0], tag), *_shims(tag)}]
    began = time.monotonic(), _cpu(engine), _cpu(everybody)
    await asyncio.sleep(SECONDS)
    past = time.monotonic() - began[0]
    return tuple((_cpu(pids) - before) / past * 100 for pids, before in ((engine, began[1]), (everybody, began[2])))  # type: ignore[return-value]


def _shims(tag: str) -> list[int]:
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            if tag in (command := Path(f"/proc/{pid}/cmdline").read_text()) and "containerd-shim" in command:
                found.append(int(pid))
    return found


def _cpu(pids: Collection[int]) -> float:
    """Seconds of processor time of these processes and of the children they have waited for (proc_pid_stat(5))."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
