"""A machine of the test's own: links, addresses, sysctls, nft and iptables of a fresh network namespace."""

import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.host.netns import THREAD_NS, KernelNetns
from engine.host.syscalls import CLONE_NEWNET, setns, unshare
from engine.host.tools import tell


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's thread moves into a new network namespace, and with it all threads and programs it starts.

    Threads of the shared pool were started before, in the machine's own; so the pool is a new one too.
    """
    home = os.open(THREAD_NS, os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWNET)
    try:
        with ThreadPoolExecutor(max_workers=4) as pool:
            monkeypatch.setattr("engine.host.threads._short", pool)
            yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


@pytest.fixture
async def outside(machine: None, netns: KernelNetns) -> str:
    """Address of a host on the uplink `up0`. It knows no way to containers: only masqueraded packets get an answer."""
    await netns.make("outside")
    place = netns.path("outside")
    await tell("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", place)
    await tell("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
    await tell("ip", "link", "set", "up0", "up")
    await tell("nsenter", f"--net={place}", "ip", "address", "add", "192.0.2.9/24", "dev", "eth0")
    await tell("nsenter", f"--net={place}", "ip", "link", "set", "eth0", "up")
    return "192.0.2.9"


@pytest.fixture
async def netns(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KernelNetns]:
    root = tmp_path_factory.mktemp("exec")
    port = KernelNetns(str(root))
    yield port
    for name in os.listdir(root / "netns") if os.path.isdir(root / "netns") else ():
        await port.drop(name)
