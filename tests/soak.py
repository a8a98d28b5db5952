"""A hundred containers that talk, others that come and go, and `kill -9` of whatever there is, for ten minutes: `make soak`.

python -m tests.soak [SECONDS [CONTAINERS]]. Containers, shims, the engine and containerd are killed at random. At the end
every container with a restart policy runs, every line that was written is in its log once and in order, and nothing is
left in the kernel or on disk. Prints what was done; fails when anything is lost or left.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from engine.client import Client
from engine.host.tools import ask
from engine.model.errors import AlreadySo, Conflict, EngineError, Forbidden, NotFound, Unavailable
from engine.model.status import Status
from tests.engines import EngineProcess
from tests.leftovers import MARK

SECONDS, CONTAINERS = 600.0, 100
WORKERS = 3
SETTLED = 180.0
"""Seconds after the last kill until all must run again: the longest back-off, and a busy machine."""
TALK = """
trap 'exit 0' TERM
run=$(cat /proc/sys/kernel/random/uuid)
n=0
while :; do echo $run $n; n=$((n+1)); sleep 1 & wait $!; done
"""
TALKER: dict[str, Any] = {
    "Image": "busybox",
    "Cmd": ["sh", "-c", TALK],
    "HostConfig": {"RestartPolicy": {"Name": "always"}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 20 * 10**9},
}
NETWORK = "passage"
PASSING: dict[str, Any] = {
    "Image": "busybox",
    "Cmd": ["sh", "-c", "echo ahoy; trap 'exit 0' TERM; sleep 1000 & wait"],
    "ExposedPorts": {"80/tcp": {}},
    "HostConfig": {"NetworkMode": NETWORK, "PortBindings": {"80/tcp": [{"HostPort": ""}]}},
}
HAD = {"unpause": "not paused", "disconnect": "not connected"}
"""What is said where it is so already, with Docker's status of 500."""
LIFE: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("start", {}), ("connect", {"network": "bridge"}), ("pause", {}), ("unpause", {}), ("restart", {"t": 1})),
    *(("disconnect", {"network": NETWORK}), ("stop", {"t": 1})),
)


class Soak:
    def __init__(self, place: EngineProcess, containers: int) -> None:
        self.place = place
        self.names = [f"talker-{number}" for number in range(containers)]
        self.done: Counter[str] = Counter()
        self.ends = time.monotonic()

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends

    async def insist(self, client: Client, verb: str, name: str, params: dict[str, Any] | None = None) -> None:
        """A verb as somebody asks for it who does not give up while the engine or containerd is away."""
        while True:
            try:
                await client.do(verb, name if verb != "create" else "", params or {})
                return
            except (AlreadySo, NotFound, Conflict, Forbidden):
                return  # an engine that was killed had done it
            except Unavailable:
                self.done["retried while away"] += 1
            except EngineError as error:
                if verb in HAD and HAD[verb] in error.message:
                    return  # it was killed meanwhile, or an engine that was killed had done it
                # A shim or containerd that dies in the middle of it: said in a sentence, and tried again.
                self.done["failed and retried"] += 1
                print(f"\n{verb} {name}: {error}", file=sys.stderr)
            await asyncio.sleep(0.5)

    async def begin(self) -> None:
        async with self.place.client() as client:
            await client.do("create_network", "", {"body": {"Name": NETWORK}})
            for name in self.names:
                await client.do("create", "", {"name": name, "body": TALKER})
                await client.do("start", name)
                print(f"\r{name}", end="", file=sys.stderr, flush=True)

    async def churn(self, worker: int) -> None:
        """Lives, one after the other; each is whole in the end, whatever is killed meanwhile."""
        async with self.place.client() as client:
            while not self.over:
                name = f"passing-{worker}-{self.done['lives']}"
                await self.insist(client, "create", name, {"name": name, "body": PASSING})
                for verb, params in LIFE:
                    await self.insist(client, verb, name, params)
                await self.insist(client, "rename", name, {"name": f"{name}-old"})
                for left in (name, f"{name}-old"):
                    await self.insist(client, "remove", left, {"force": True})
                self.done["lives"] += 1

    async def execs(self) -> None:
        async with self.place.client() as client:
            while not self.over:
                try:
                    exec_id = await client.exec_create(random.choice(self.names), {"Cmd": ["true"]})
                    await client.exec_start(exec_id, detach=True)
                    self.done["execs"] += 1
                except EngineError:
                    self.done["execs refused"] += 1
                await asyncio.sleep(0.2)

    async def violence(self) -> None:
        while not self.over:
            await asyncio.sleep(random.uniform(1, 4))
            what = random.choices(("container", "shim", "engine", "containerd"), (45, 20, 20, 15))[0]
            if what == "engine":
                await self.place.kill9()
                await self.place.start()
            else:
                victims = self.processes(what)
                if victims:
                    with suppress(psutil.NoSuchProcess):
                        random.choice(victims).kill()
            self.done[f"killed: {what}"] += 1
            left = max(0, int(self.ends - time.monotonic()))
            print(f"\r{left:>4} s left, {dict(self.done)}   ", end="", file=sys.stderr, flush=True)

    def processes(self, what: str) -> list[psutil.Process]:
        """Ours: shims and containerd name our directories, a container's init is the child of one of the shims."""
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            line = process.info["cmdline"] or []
            if self.place.run not in " ".join(line):
                continue
            shim = "containerd-shim" in line[0]
            if (what == "containerd" and not shim and line[0].endswith("containerd")) or (shim and what == "shim"):
                found.append(process)
            elif shim and what == "container":
                with suppress(psutil.NoSuchProcess):
                    found += process.children()
        return found

    async def settle(self) -> None:
        """Every talker runs again, and nothing of it is missing."""
        deadline = time.monotonic() + SETTLED
        while True:
            with suppress(Unavailable):
                async with self.place.client() as client:
                    rows = {row.name: row for row in await client.containers()}
                wrong = {name: rows.get(name) for name in self.names if name not in rows or rows[name].status != Status.RUNNING}
                if not wrong and len(rows) == len(self.names):
                    return
            if time.monotonic() > deadline:
                sys.exit(f"after {SETTLED:g} s not as it should be: {wrong or sorted(rows)}\n{self.place.said()[-4000:]}")
            await asyncio.sleep(1)

    async def lines(self) -> None:
        """Each run's lines are in the log once, in order, from the first on."""
        async with self.place.client() as client:
            for name in self.names:
                runs: dict[str, int] = {}
                async for line in client.logs(name):
                    match = re.fullmatch(rb"([0-9a-f-]{36}) (\d+)\n", line.log)
                    if not match:
                        sys.exit(f"{name} never wrote {line.log!r}")
                    run, number = match[1].decode(), int(match[2])
                    if runs.get(run, -1) + 1 != number:
                        sys.exit(f"{name}: after line {runs.get(run, -1)} of {run} comes {number}")
                    runs[run] = number
                    self.done["lines"] += 1
                self.done["runs"] += len(runs)

    async def end(self) -> None:
        async with self.place.client() as client:
            for name in self.names:
                await self.insist(client, "remove", name, {"force": True})
            left = [row.name for row in await client.containers()]
            networks = [network["Id"][:12] for network in await client.networks_json()]
        cables = [str(port) for id in networks for port in Path("/sys/class/net").glob(f"br-{id}/brif/*")]
        rules = await ask("nft", "list", "table", "inet", f"longshore-{self.place.bridge}")
        owners = re.findall(r'comment "[0-9a-f]{64}"', rules[1])
        if left or cables or owners:
            sys.exit(f"not removed: {left}; still plugged: {cables}; rules of nobody: {owners}")


def figures(pid: int) -> dict[str, float]:
    process = psutil.Process(pid)
    return {"descriptors": process.num_fds(), "threads": process.num_threads(), "MB": process.memory_info().rss / 1e6}


async def main(seconds: float, containers: int) -> None:
    os.environ[MARK] = secrets.token_hex(8)
    place = EngineProcess(Path(tempfile.gettempdir(), f"longshore-{secrets.token_hex(4)}"))
    place.ready = SETTLED  # containerd, killed too, may have a hundred shims to find first
    soak = Soak(place, containers)
    try:
        await place.start()
        empty = figures(place.pid)
        await soak.begin()
        soak.ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for worker in range(WORKERS):
                group.create_task(soak.churn(worker))
            group.create_task(soak.execs())
            await soak.violence()
        print(file=sys.stderr)
        await soak.settle()
        full = figures(place.pid)
        await soak.lines()
        await soak.end()
        after = figures(place.pid)
    finally:
        await place.clean()
    for what, count in sorted(soak.done.items()):
        print(f"{what:<24}{count:>8}")
    for what in empty:
        print(f"{what:<12}{empty[what]:>8.1f} empty{full[what]:>8.1f} with {containers}{after[what]:>8.1f} empty again")
    if after["descriptors"] > empty["descriptors"] + 20:
        sys.exit("descriptors have grown")
    print("Nothing is lost, nothing is left.")


if __name__ == "__main__":
    asyncio.run(
        main(
            float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS,
            int(sys.argv[2]) if len(sys.argv) > 2 else CONTAINERS,
        )
    )
