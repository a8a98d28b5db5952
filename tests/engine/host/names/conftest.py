"""A namespace `web` with a name service, and a machine beyond its cable where other name servers may stand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from engine.host.names import NameServers
from engine.host.netns import KernelNetns
from engine.host.tools import tell
from tests.engine.host.names.kit import Say, Start, Upstream

DIRECTORY = {
    "db": ("172.30.0.2", "172.30.0.3", "fd00::2"),
    "db.backend": ("172.30.0.2",),
    "old": ("172.30.0.9",),
    "many": tuple(f"172.30.1.{host}" for host in range(100)),
    "172.30.0.2": ("db.backend", "x" * 64 + ".backend"),
    "fd00::2": ("db.backend",),
}


@pytest.fixture
async def names(netns: KernelNetns) -> AsyncIterator[NameServers]:
    """Nothing is open yet. Names are those of `DIRECTORY`, in every namespace but `stranger`."""
    await netns.make("web")
    port = new_engine(netns)
    yield port
    port.leave()


def new_engine(netns: KernelNetns, resolv_conf: str = "/etc/resolv.conf") -> NameServers:
    port = NameServers(os.path.dirname(os.path.dirname(netns.path("web"))), resolv_conf)
    port.directory = lambda sandbox, name: DIRECTORY.get(name) if sandbox != "stranger" else None
    return port


@pytest.fixture
async def upstream(names: NameServers, netns: KernelNetns) -> AsyncIterator[Start]:
    """Starts name servers on a machine that `web` reaches by a cable: 192.0.2.2 and following."""
    await netns.make("beyond")
    web, beyond = netns.path("web"), netns.path("beyond")
    link = ("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", beyond)
    await tell("nsenter", f"--net={web}", *link)
    for place, address in ((web, "192.0.2.1/24"), (beyond, "192.0.2.2/24"), (beyond, "192.0.2.3/24"), (beyond, "192.0.2.4/24")):
        await tell("nsenter", f"--net={place}", "ip", "address", "add", address, "dev", "eth0")
        await tell("nsenter", f"--net={place}", "ip", "link", "set", "eth0", "up")
    started: list[Upstream] = []

    async def start(say: Say, address: str = "192.0.2.2", place: str | None = beyond) -> Upstream:
        started.append(Upstream(place, address, say))
        return started[-1]

    yield start
    for each in started:
        await each.close()
