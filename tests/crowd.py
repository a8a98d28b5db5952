"""A crowd comes and goes, and nothing of it stays: `python -m tests.crowd [CONTAINERS]`, 300 if not said.

All are created and started at once, on a machine of its own: a third on the default bridge, a third on a network of our
own, a third on two of them, every second one with a published port. Each port is asked from a host outside, then all are
removed at once. Links, addresses, routes, firewall rules, address leases, namespace files, sockets, mounts, cgroups,
processes and the engine's descriptors must then be what they were before. Prints what was counted; fails when it differs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

import psutil

from engine.client import Client
from engine.model.container import Container
from tests.engines import EngineProcess
from tests.leftovers import MARK, PATIENCE
from tests.real.machine import ADDRESS, Machine, fetch, machine, path

CONTAINERS = 300
NETWORKS = ("front", "back")
SERVE = "mkdir -p /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w"
SPARE = 5
"""Descriptors that the engine may have opened meanwhile for something else."""
SERVING = 60.0
"""Seconds until the last one's web server answers."""

Seen = dict[str, list[str]]


def body(number: int) -> dict[str, Any]:
    published = {"PortBindings": {"80/tcp": [{"HostPort": ""}]}} if number % 2 == 0 else {}
    mode = "bridge" if number % 3 == 0 else NETWORKS[0]
    return {
        "Image": "busybox",
        "Cmd": ["sh", "-c", SERVE],
        "Hostname": name(number),
        "StopSignal": "KILL",
        "HostConfig": {"NetworkMode": mode} | published,
    }


def name(number: int) -> str:
    return f"crowd-{number}"


class Crowd:
    def __init__(self, here: Machine, place: EngineProcess, client: Client, size: int) -> None:
        self.here, self.place, self.client, self.numbers = here, place, client, range(size)

    async def come(self, number: int) -> None:
        await self.client.do("create", "", {"name": name(number), "body": body(number)})
        if number % 3 == 2:
            await self.client.do("connect", name(number), {"network": NETWORKS[1]})
        await self.client.do("start", name(number))

    async def go(self, number: int) -> None:
        await self.client.do("remove", name(number), {"force": True})

    async def live(self) -> Seen:
        """Come, be looked at, and go: what there was with all of them."""
        await timed(f"{len(self.numbers)} created and started at once", map(self.come, self.numbers))
        with_all = await asyncio.to_thread(seen, self.here, self.place)
        containers = [await self.client.inspect(name(number)) for number in self.numbers]
        addresses = [(e.network, e.address) for c in containers for e in c.plugged]
        if len(set(addresses)) != len(addresses):
            sys.exit("an address was given twice")
        await timed("every published port answered outside", (self.serves(c) for c in containers if c.ports))
        await timed(f"{len(self.numbers)} removed at once", map(self.go, self.numbers))
        return with_all

    async def serves(self, c: Container) -> None:
        port = c.ports[0].host_port
        async with asyncio.timeout(SERVING):
            while (said := await fetch(path(self.here.outside), ADDRESS, port, 1.0)) is None:
                await asyncio.sleep(0.1)
        if said != c.name:
            sys.exit(f"port {port} is {c.name}'s, and {said} answers")

    async def leases(self) -> Seen:
        """Who is on which network, and which address the next one is given: the lowest that is free."""
        found = {f"on {each}": sorted((await self.client.network_json(each))["Containers"]) for each in ("bridge", *NETWORKS)}
        for number in range(3):
            await self.come(number)
            found[f"next of kind {number}"] = [e.address for e in (await self.client.inspect(name(number))).plugged]
            await self.go(number)
        return found


def seen(here: Machine, place: EngineProcess) -> Seen:
    """All that a container could leave. Blocks."""
    things = place.left()
    return {
        **{what: text.splitlines() for what, text in here.kernel().items()},
        "namespace files": sorted(os.listdir(Path(place.run, "netns"))),
        "sockets": sorted(" ".join(line.split()[:5]) for line in here.shown("ss", "-Hlntu").splitlines()),
        "mounts": sorted(thing for thing in things if thing.startswith("mount ")),
        "cgroups": sorted(str(found) for found in Path("/sys/fs/cgroup").glob(f"*/{place.cgroup_parent}/*/")),
        "processes": sorted(thing for thing in things if thing.startswith("process ")),
        "records": sorted(os.listdir(Path(place.root, "containers"))),
        "layers": sorted(os.listdir(Path(place.root, "overlay2"))),
    }


async def settled(here: Machine, place: EngineProcess, wanted: Seen) -> Seen:
    """What is seen, after time for what ends by itself."""
    deadline = time.monotonic() + PATIENCE
    while (now := await asyncio.to_thread(seen, here, place)) != wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return now


async def timed(what: str, works: Iterable[Coroutine[Any, Any, None]]) -> None:
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
    print(f"{what:<44}{time.monotonic() - began:>8.1f} s")


async def main(size: int) -> None:
    os.environ[MARK] = secrets.token_hex(8)
    tag = secrets.token_hex(4)
    place = EngineProcess(Path(tempfile.gettempdir(), f"longshore-{tag}"))
    place.options = tuple(option.replace(".1/24", ".1/16") for option in place.options)  # room for hundreds
    async with machine(tag[:6]) as here:
        place.prefix = here.own.enter
        try:
            await place.start()
            async with place.client() as client:
                for each in NETWORKS:
                    await client.do("create_network", "", {"body": {"Name": each}})
                leases = await Crowd(here, place, client, size).leases()  # and all is made that is made only once
            before, descriptors = await asyncio.to_thread(seen, here, place), psutil.Process(place.pid).num_fds()
            async with place.client() as client:
                crowd = Crowd(here, place, client, size)
                during = await crowd.live()
                leases_after = await crowd.leases()
            after, descriptors_after = await settled(here, place, before), psutil.Process(place.pid).num_fds()
        finally:
            await place.clean()
    for what in before:
        print(f"{what:<16}{len(before[what]):>6} before{len(during[what]):>6} with all{len(after[what]):>6} after")
    print(f"{'descriptors':<16}{descriptors:>6} before{'':>15}{descriptors_after:>6} after")
    wrong = {what: sorted(set(after[what]) ^ set(before[what])) for what in before if after[what] != before[what]}
    if wrong or leases != leases_after or descriptors_after > descriptors + SPARE:
        sys.exit(f"not as before: {wrong}\nleases before: {leases}\nleases after: {leases_after}")
    print("Nothing of them is left.")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else CONTAINERS))
