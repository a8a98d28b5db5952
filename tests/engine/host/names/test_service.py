"""The service in a namespace of the real kernel: opened, asked, taken over, closed."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import dns.message
import pytest
from dns.rcode import Rcode

from engine.host.names import NameServers, rules, serving
from engine.host.names.upstream import framed
from engine.host.netns import KernelNetns, inside
from engine.host.tools import tell
from engine.model.errors import HostFailed
from tests.engine.host.names.conftest import DIRECTORY, new_engine
from tests.engine.host.names.kit import Upstream, answering, ask, exchange, nslookup, question, receive, said, sock


async def table(netns: KernelNetns, name: str = "web") -> str:
    return await tell("nsenter", f"--net={netns.path(name)}", "nft", "list", "ruleset")


async def test_opened_asked_and_closed_twice(names: NameServers, netns: KernelNetns) -> None:
    assert await names.look("web") is None
    await names.close("web")
    await names.open("web", ())
    seen = await names.look("web")
    assert seen and seen.startswith("127.0.0.11:53 -> udp ")
    await names.open("web", ())
    assert await names.look("web") == seen
    assert said(await ask(netns.path("web"), "db")) == {"172.30.0.2", "172.30.0.3"}
    assert said(await ask(netns.path("web"), "db", "AAAA", tcp=True)) == {"fd00::2"}
    await names.close("web")
    assert await names.look("web") is None
    assert await table(netns) == ""
    with pytest.raises(ConnectionRefusedError):
        await ask(netns.path("web"), "db")
    await names.close("web")


async def test_busybox_finds_names_and_addresses(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    assert "Address: 172.30.0.9" in await nslookup(netns, "web", "old")
    assert "db.backend" in await nslookup(netns, "web", "172.30.0.2")


async def test_nft_lists_the_rules_as_the_module_says(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    led = inside(netns.path("web"), rules.led)
    listed = [line.strip() for line in (await table(netns)).splitlines() if " to " in line]
    udp, tcp = led[socket.IPPROTO_UDP], led[socket.IPPROTO_TCP]
    assert listed == [
        f"ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:{udp}",
        f"ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:{tcp}",
        f"ip saddr 127.0.0.11 udp sport {udp} snat to :53",
        f"ip saddr 127.0.0.11 tcp sport {tcp} snat to :53",
    ]


async def test_every_namespace_has_answers_of_its_own(names: NameServers, netns: KernelNetns) -> None:
    await netns.make("stranger")
    for sandbox in ("web", "stranger"):
        await names.open(sandbox, ())
    assert said(await ask(netns.path("web"), "old")) == {"172.30.0.9"}
    assert (await ask(netns.path("stranger"), "old")).rcode() == Rcode.SERVFAIL


@pytest.mark.parametrize("before", [True, False])
async def test_a_name_server_of_the_containers_own_is_left_alone(names: NameServers, netns: KernelNetns, before: bool) -> None:
    place = netns.path("web")
    if not before:
        await names.open("web", ())
    own = Upstream(place, "0.0.0.0", answering("198.51.100.1"))
    try:
        await names.open("web", ())
        for tcp in (False, True):
            assert said(await ask(place, "old", server="127.0.0.1", tcp=tcp)) == {"198.51.100.1"}
            assert said(await ask(place, "old", tcp=tcp)) == {"172.30.0.9"}
    finally:
        await own.close()


async def test_many_questions_on_one_connection_in_pieces_or_at_once(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    loop = asyncio.get_running_loop()
    asked = [question(name) for name in ("db", "old", "many")] * 20
    with sock(netns.path("web"), tcp=True) as client:
        await loop.sock_connect(client, ("127.0.0.11", 53))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(asked[0]):
            await loop.sock_sendall(client, bytes((byte,)))
        await loop.sock_sendall(client, b"".join(map(framed, asked[1:])))
        found = [dns.message.from_wire(await receive(client)) for _ in asked]
    assert {answer.id for answer in found} == {int.from_bytes(wire[:2]) for wire in asked}
    assert {address for answer in found for address in said(answer)} >= set(DIRECTORY["many"])


async def test_a_client_that_does_not_read_is_not_asked_for_more(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    loop = asyncio.get_running_loop()
    times = 3000  # answers of some 5 MB: more than the kernel's buffers
    with sock(netns.path("web"), tcp=True) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(client, ("127.0.0.11", 53))
        sending = asyncio.create_task(loop.sock_sendall(client, framed(question("many")) * times))
        for _ in range(200):
            await ask(netns.path("web"), "old")  # others are answered meanwhile
        (connection,) = names._services["web"].connections
        assert connection.get_write_buffer_size() < 200_000
        lengths = [len(await receive(client)) for _ in range(times)]
        await sending
    assert len(set(lengths)) == 1


async def test_a_connection_too_many_is_ended(names: NameServers, netns: KernelNetns, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving.MOST_CONNECTIONS == 256
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 2)
    await names.open("web", ())
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        clients = [stack.enter_context(sock(netns.path("web"), tcp=True)) for _ in range(3)]
        for client in clients:
            await loop.sock_connect(client, ("127.0.0.11", 53))
        with pytest.raises((EOFError, ConnectionResetError)):
            await asyncio.wait_for(receive(clients[2]), 5)
        for client in clients[:2]:
            await loop.sock_sendall(client, framed(question("old")))
            assert said(dns.message.from_wire(await receive(client))) == {"172.30.0.9"}


async def test_a_silent_connection_is_ended(names: NameServers, netns: KernelNetns, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving.IDLE == 15.0
    monkeypatch.setattr(serving, "IDLE", 0.1)
    await names.open("web", ())
    with sock(netns.path("web"), tcp=True) as client:
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.11", 53))
        with pytest.raises((EOFError, ConnectionResetError)):
            await asyncio.wait_for(receive(client), 5)


async def test_rubbish_is_nothing_to_write_about(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    place, loop = netns.path("web"), asyncio.get_running_loop()
    with complaints() as found:
        with sock(place) as client:
            await loop.sock_connect(client, ("127.0.0.11", 53))
            for rubbish in (b"", b"\0", os.urandom(12), b"\xab\xcd\1" + bytes(9), question("db")[:-3], os.urandom(2000)):
                await loop.sock_sendall(client, rubbish)
        for rubbish in (b"\0\0\0\0", framed(b"x"), framed(os.urandom(100)), b"\xff\xff" + os.urandom(10)):
            with sock(place, tcp=True) as client:
                await loop.sock_connect(client, ("127.0.0.11", 53))
                await loop.sock_sendall(client, rubbish)
        assert said(await ask(place, "old")) == {"172.30.0.9"}
        assert said(await ask(place, "old", tcp=True)) == {"172.30.0.9"}
        reply = await exchange(place, b"\xab\xcd\1\0" + bytes(8))
    assert dns.message.from_wire(reply).rcode() == Rcode.FORMERR
    assert found == []


@contextmanager
def complaints() -> Iterator[list[dict[str, Any]]]:
    """What the event loop would write into the log."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


async def test_the_next_engine_takes_over_on_the_same_ports(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    seen = await names.look("web")
    with sock(netns.path("web"), tcp=True) as client:  # a connection that is still ending must not stand in the way
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.11", 53))
        await asyncio.get_running_loop().sock_sendall(client, framed(question("old")))
        await receive(client)
        names.leave()
    assert await names.look("web") is None
    assert "longshore-names" in await table(netns)
    following = new_engine(netns)
    assert await following.look("web") is None
    await following.open("web", ())
    assert await following.look("web") == seen
    assert said(await ask(netns.path("web"), "old")) == {"172.30.0.9"}
    following.leave()


async def test_a_client_that_keeps_its_socket_follows_to_other_ports(names: NameServers, netns: KernelNetns) -> None:
    """The former engine's ports are taken: here by itself, as it lives on."""
    await names.open("web", ())
    seen = await names.look("web")
    loop = asyncio.get_running_loop()
    following = new_engine(netns)
    following.directory = lambda sandbox, name: ("172.30.0.77",)
    with sock(netns.path("web")) as client:
        await loop.sock_connect(client, ("127.0.0.11", 53))
        for expected, engine in (("172.30.0.9", names), ("172.30.0.77", following)):
            await engine.open("web", ())
            await loop.sock_sendall(client, question("old"))
            answer = dns.message.from_wire(await asyncio.wait_for(loop.sock_recv(client, 512), 5))
            assert said(answer) == {expected}
    assert await names.look("web") is None
    assert await following.look("web") not in (None, seen)
    assert (await table(netns)).count("table ") == 1
    following.leave()


@pytest.mark.parametrize("damage", ["delete table ip longshore-names", "flush chain ip longshore-names postrouting"])
async def test_what_somebody_has_broken_shows_and_is_repaired(names: NameServers, netns: KernelNetns, damage: str) -> None:
    await names.open("web", ())
    seen = await names.look("web")
    await tell("nsenter", f"--net={netns.path('web')}", "nft", *damage.split())
    assert await names.look("web") is None
    await names.open("web", ())
    assert await names.look("web") == seen
    for tcp in (False, True):
        assert said(await ask(netns.path("web"), "old", tcp=tcp)) == {"172.30.0.9"}
    assert (await table(netns)).count("dnat to") == 2


async def test_a_namespace_that_is_another_one_now_is_opened_anew(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    await netns.drop("web")
    assert await names.look("web") is None
    await netns.make("web")
    assert await names.look("web") is None
    await names.open("web", ())
    assert said(await ask(netns.path("web"), "old")) == {"172.30.0.9"}


async def test_a_namespace_that_is_gone_is_fine_to_close_and_wrong_to_open(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    await netns.drop("web")
    await names.close("web")
    with pytest.raises(HostFailed, match="cannot answer names in the network namespace web: No such file"):
        await names.open("web", ())
    assert await names.look("web") is None


async def test_a_hundred_namespaces_at_once_and_every_file_is_closed(names: NameServers, netns: KernelNetns) -> None:
    before = sockets()
    sandboxes = [f"sandbox{number}" for number in range(100)]
    for sandbox in sandboxes:
        await netns.make(sandbox)
    await asyncio.gather(*(names.open(sandbox, ()) for sandbox in sandboxes))
    found = await asyncio.gather(*(ask(netns.path(sandbox), "old") for sandbox in sandboxes))
    assert {frozenset(said(answer)) for answer in found} == {frozenset({"172.30.0.9"})}
    async with asyncio.timeout(10):
        while len(sockets() - before) != 200:  # those of nft are closed by threads of their own
            await asyncio.sleep(0.01)
    await asyncio.gather(*(names.close(sandbox) for sandbox in sandboxes))
    async with asyncio.timeout(10):
        while sockets() - before:
            await asyncio.sleep(0.01)


def sockets() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {each for each in found if each.startswith("socket:")}
