"""A small world for packets: this namespace is a host with bridges and an uplink, others are containers and a host outside."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from engine.host.netns import KernelNetns, inside
from engine.host.tools import tell
from engine.model.network import Network, Target

HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
OUTSIDE = {4: "192.0.2.9", 6: "2001:db8::9"}
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
CLOSED = 0.25
"""Seconds after which no answer is taken for none; an answer takes one millisecond."""
PATIENCE = 5.0
IPV6_AT_ONCE = (
    "cd /proc/sys/net/ipv6/conf; echo 0 | tee all/disable_ipv6 default/disable_ipv6 default/accept_dad > default/dad_transmits"
)
"""No second of waiting whether somebody else has the link's address (RFC 4862, 5.4)."""


@dataclass
class Peer:
    """Somebody with a network stack of its own."""

    name: str
    netns: str
    """Path of its namespace; empty: the host itself."""
    address: dict[int, str]
    bridge: str = ""

    @property
    def target(self) -> Target:
        return Target(bridge=self.bridge, address=self.address[4], address6=self.address[6])

    def socket(self, family: int, kind: int) -> socket.socket:
        return inside(self.netns, lambda: socket.socket(family, kind)) if self.netns else socket.socket(family, kind)

    async def run(self, *command: str) -> str:
        return await tell("nsenter", f"--net={self.netns}", *command)


@dataclass
class World:
    netns: KernelNetns
    host: Peer
    outside: Peer
    peers: dict[str, Peer] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def bridge(self, network: Network) -> None:
        """As the engine makes one, with what published loopback addresses need."""
        name = network.bridge
        lines = [f"link add {name} type bridge", f"link set {name} up"]
        for subnet in filter(None, (network.ipv4, network.ipv6)):
            lines.append(f"address add {subnet.gateway}/{subnet.subnet.partition('/')[2]} dev {name} nodad")
        await tell("ip", "-batch", "-", stdin="\n".join(lines))
        Path(f"/proc/sys/net/ipv4/conf/{name}/route_localnet").write_text("1")
        Path(f"/proc/sys/net/ipv4/conf/{name}/forwarding").write_text("1")

    async def container(self, name: str, network: Network, number: int) -> Peer:
        """With the address <number> of both ranges, and servers of TCP and UDP on port 80 that tell name and asker."""
        await self.netns.make(name)
        assert network.ipv4 and network.ipv6
        path = self.netns.path(name)
        address = {4: network.ipv4.gateway[:-1] + str(number), 6: network.ipv6.gateway[:-1] + str(number)}
        peer = self.peers[name] = Peer(name, path, address, network.bridge)
        veth = f"v{name}"
        outer = [
            f"link add {veth} type veth peer name eth0 netns {path}",
            f"link set {veth} master {network.bridge}",
            f"link set {veth} type bridge_slave hairpin on isolated {'off' if network.icc else 'on'}",
            f"link set {veth} up",
        ]
        inner = [
            "link set eth0 up",
            f"address add {address[4]}/16 dev eth0",
            f"address add {address[6]}/64 dev eth0 nodad",
            f"route add default via {network.ipv4.gateway}",
            f"route add default via {network.ipv6.gateway}",
        ]
        await peer.run("sh", "-c", IPV6_AT_ONCE)
        await tell("ip", "-batch", "-", stdin="\n".join(outer))
        await tell("nsenter", f"--net={path}", "ip", "-batch", "-", stdin="\n".join(inner))
        await self.serve(peer, 80)
        return peer

    async def serve(self, peer: Peer, port: int, address: str = "::") -> None:
        for serving in (_serve_tcp, _serve_udp):
            await self.stack.enter_async_context(serving(peer, address, port))


async def said(asker: Peer, address: str, port: int, protocol: str = "tcp", *, timeout: float = PATIENCE) -> str | None:
    """What the server at an address says; None when nothing comes, or a refusal."""
    loop = asyncio.get_running_loop()
    with asker.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[protocol]) as client:
        client.setblocking(False)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout):
                await loop.sock_connect(client, (address, port))
                await loop.sock_sendall(client, b"who?")
                return (await loop.sock_recv(client, 200)).decode()
    return None


async def silent(asker: Peer, address: str, port: int, protocol: str = "tcp") -> bool:
    return await said(asker, address, port, protocol, timeout=CLOSED) is None


@asynccontextmanager
async def _serve_tcp(peer: Peer, address: str, port: int) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_answer(peer, writer.get_extra_info("peername")))
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    with _bound(peer, socket.SOCK_STREAM, address, port) as listener:
        async with await asyncio.start_server(answer, sock=listener):
            yield


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(_answer(self.peer, address), address)


@asynccontextmanager
async def _serve_udp(peer: Peer, address: str, port: int) -> AsyncIterator[None]:
    with _bound(peer, socket.SOCK_DGRAM, address, port) as server:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Udp(peer), sock=server)
        yield
        transport.close()


@contextmanager
def _bound(peer: Peer, kind: int, address: str, port: int) -> Iterator[socket.socket]:
    """On both families, where the address is `::`."""
    with peer.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        yield made


def _answer(peer: Peer, asker: tuple[str, int]) -> bytes:
    return f"{peer.name} to {asker[0].removeprefix('::ffff:')}".encode()


@asynccontextmanager
async def world(netns: KernelNetns) -> AsyncIterator[World]:
    """The host and the one outside, which knows the way to containers: it is no masquerading that keeps it away."""
    await netns.make("outside")
    path = netns.path("outside")
    outside = Peer("outside", path, OUTSIDE)
    made = World(netns, Peer("host", "", HOST), outside)
    for enter in (), ("nsenter", f"--net={path}"):
        await tell(*enter, "sh", "-c", IPV6_AT_ONCE)
    await tell("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", path)
    for enter, link, address in ((), "up0", HOST), (("nsenter", f"--net={path}"), "eth0", OUTSIDE):
        lines = [
            f"link set {link} up",
            f"address add {address[4]}/24 dev {link}",
            f"address add {address[6]}/64 dev {link} nodad",
        ]
        await tell(*enter, "ip", "-batch", "-", stdin="\n".join(lines))
    routes = [f"route add 172.16.0.0/12 via {HOST[4]}", f"route add fd00::/16 via {HOST[6]}"]
    await tell("nsenter", f"--net={path}", "ip", "-batch", "-", stdin="\n".join(routes))
    await tell("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/conf/up0/forwarding").write_text("1")
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    async with made.stack:
        await made.serve(outside, 80)
        yield made
