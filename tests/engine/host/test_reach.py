"""Looking into network namespaces and trying from inside, on the real kernel."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.host.netns import KernelNetns, inside
from engine.host.reach import KernelReach
from engine.host.reach.sights import read_address
from engine.host.sight import Answer, Listener
from engine.host.tools import ask, tell
from engine.model.errors import HostFailed

HOLD = """
import asyncio
from engine.host.reach import KernelReach
from engine.host.reach.traces import Tracer

async def hold():
    async with KernelReach("none").outside(4), Tracer("none", "192.0.2.1", "192.0.2.9", 80, "tcp").watch(""):
        print("here", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


@given(st.ip_addresses(v=4))
def test_addresses_of_sockets(address: IPv4Address) -> None:
    (word,) = struct.unpack("=I", address.packed)
    assert read_address(f"{word:08X}") == str(address)
    mapped = struct.unpack("=4I", IPv6Address(f"::ffff:{address}").packed)
    assert read_address("".join(f"{word:08X}" for word in mapped)) == str(address)


@given(st.ip_addresses(v=6))
def test_addresses_of_sockets_of_ipv6(address: IPv6Address) -> None:
    assume(not address.ipv4_mapped)
    words = struct.unpack("=4I", address.packed)
    assert IPv6Address(read_address("".join(f"{word:08X}" for word in words))) == address


@pytest.fixture
async def reach(outside: str, netns: KernelNetns) -> KernelReach:
    """In a machine with an uplink, and a namespace `outside` at its other end."""
    return KernelReach("longshore")


async def test_what_a_namespace_has(reach: KernelReach, netns: KernelNetns) -> None:
    there = netns.path("outside")
    with inside(there, socket.socket) as server, inside(there, lambda: socket.socket(type=socket.SOCK_DGRAM)) as datagrams:
        server.bind(("127.0.0.1", 0))
        datagrams.bind(("0.0.0.0", 53))
        server.listen()
        seen = await reach.look(there)
        port = server.getsockname()[1]
    listeners = {Listener(protocol="tcp", address="127.0.0.1", port=port), Listener(protocol="udp", address="0.0.0.0", port=53)}
    assert set(seen.listeners) == listeners and not (await reach.look("")).listeners
    assert seen.interfaces["eth0"].addresses == ("192.0.2.9",) and "192.0.2.1" in (await reach.look("")).addresses
    with pytest.raises(HostFailed):
        await reach.look("/nowhere")


async def test_routes(reach: KernelReach) -> None:
    found = await reach.route("", "192.0.2.9")
    assert found and (found.interface, found.gateway, found.source) == ("up0", "", "192.0.2.1")
    assert await reach.route("", "198.51.100.1") is None
    await tell("ip", "route", "add", "blackhole", "198.51.100.0/24")
    assert await reach.route("", "198.51.100.1") is None
    await tell("ip", "route", "add", "default", "via", "192.0.2.9")
    found = await reach.route("", "203.0.113.1")
    assert found and str(found) == "via 192.0.2.9 dev up0 src 192.0.2.1"


@pytest.mark.parametrize(("protocol", "port"), [("tcp", 7000), ("udp", 7000), ("icmp", 0)])
async def test_attempts(reach: KernelReach, netns: KernelNetns, protocol: str, port: int) -> None:
    there = netns.path("outside")
    if port:
        refused = await reach.connect("", "192.0.2.9", port, protocol, 1.0)
        assert refused.answer is Answer.REFUSED and refused.error == os.strerror(111) and refused.source == "192.0.2.1"
    unreachable = await reach.connect("", "198.51.100.1", port, protocol, 1.0)
    assert unreachable.answer is Answer.UNREACHABLE and "unreachable" in unreachable.error
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with inside(there, lambda: socket.socket(type=kind)) as server:
        server.bind(("0.0.0.0", 7000))
        if protocol == "tcp":
            server.listen()
        tried = await reach.connect("", "192.0.2.9", port, protocol, 0.1)
        assert tried.answer is (Answer.SILENT if protocol == "udp" else Answer.ANSWERED)
    await tell("nsenter", f"--net={there}", "nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }")
    await tell("nsenter", f"--net={there}", "nft", "add rule ip t in drop")
    assert (await reach.connect("", "192.0.2.9", port, protocol, 0.1)).answer is Answer.SILENT
    traced = await reach.connect("", "192.0.2.9", port, protocol, 10.0, (there,))
    assert traced.drop and str(traced.drop) == "ip t in: drop" and traced.drop.netns == there and not traced.drop.ours


async def test_our_own_rules_are_known_as_ours(reach: KernelReach) -> None:
    await tell(
        "nft", "add table inet longshore; add chain inet longshore o { type filter hook output priority 0; policy drop; }"
    )
    drop = (await reach.connect("", "192.0.2.9", 80, "tcp", 10.0, ())).drop
    assert drop and drop.ours and str(drop) == "inet longshore o: policy drop"


async def test_a_host_of_our_own_making_comes_and_goes(reach: KernelReach) -> None:
    before = await ask("ip", "-brief", "address")
    for family in (4, 6):
        async with reach.outside(family) as (stranger, gateway):
            assert (await reach.connect(stranger, gateway, 80, "tcp", 1.0)).answer is Answer.REFUSED
            assert (await reach.connect(stranger, gateway, 0, "icmp", 5.0)).answer is Answer.ANSWERED
            assert gateway in (await reach.look("")).addresses
    assert await ask("ip", "-brief", "address") == before


async def test_an_engine_that_is_killed_meanwhile_leaves_nothing(reach: KernelReach) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3], env=dict(os.environ)
    )
    assert child.stdout
    assert await child.stdout.readline() == b"here\n"
    assert "why" in await tell("ip", "-brief", "link") and "why" in await tell("nft", "list", "tables")
    child.send_signal(signal.SIGKILL)
    await child.wait()
    async with asyncio.timeout(20):
        while "why" in await tell("ip", "-brief", "link") + await tell("nft", "list", "tables"):
            await asyncio.sleep(0.02)
