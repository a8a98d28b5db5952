"""The port `Names`: a name service in every namespace that wants one."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from socket import IPPROTO_TCP, IPPROTO_UDP

from engine.host.disk import read_text
from engine.host.names import rules
from engine.host.names.serving import Asked, Service
from engine.host.names.upstream import Server, Upstream
from engine.host.netns import inode, inside
from engine.host.network import Answer
from engine.host.threads import short
from engine.host.tools import doing
from engine.spec.resolution import values

RESOLV_CONF = "/etc/resolv.conf"
RESOLVED = "/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved(8) keeps the real servers behind its stub."""
STUBS = ("127.0.0.53", "127.0.0.54")
KINDS = {IPPROTO_UDP: socket.SOCK_DGRAM, IPPROTO_TCP: socket.SOCK_STREAM}
SIOCGSKNS = 0x894C
"""<linux/sockios.h>, since Linux 4.10: a file descriptor of a socket's network namespace."""

Sockets = tuple[socket.socket, socket.socket]
"""UDP and TCP, as in `KINDS`."""


class NameServers:
    """The port `Names` on the real kernel. The rules stay in the kernel; the sockets are this process's.

    A new engine opens its namespaces again, on the ports of the one before where they are free.
    """

    directory: Answer

    def __init__(self, exec_root: str, resolv_conf: str = RESOLV_CONF, resolved: str = RESOLVED) -> None:
        self._namespaces = os.path.join(exec_root, "netns")
        self._files = resolv_conf, resolved
        self._services: dict[str, Service] = {}
        self._asked: Asked = set()
        self.directory = lambda sandbox, name: None

    async def open(self, sandbox: str, servers: tuple[str, ...]) -> None:
        """Answer in this namespace. Where that is so already, only the servers are taken over."""
        upstream = Upstream(self._path(sandbox), await self._reachable(servers))
        if await self.look(sandbox):
            self._services[sandbox].upstream = upstream
            return
        broken = self._services.get(sandbox)
        kept = _ports((broken.udp, broken.tcp)) if broken else {}
        self._leave(sandbox)
        with doing(f"answer names in the network namespace {sandbox}"):
            udp, tcp = await short(inside, self._path(sandbox), lambda: _listen(kept))
            service = Service(udp, tcp, lambda name: self.directory(sandbox, name), upstream, self._asked)
            self._services[sandbox] = service
            await service.start()

    async def close(self, sandbox: str) -> None:
        """No sockets, no rules. A namespace that is gone has none."""
        self._leave(sandbox)
        with doing(f"end the name service in the network namespace {sandbox}"):
            await short(_clear, self._path(sandbox))

    async def look(self, sandbox: str) -> str | None:
        """`127.0.0.11:53 -> udp 40321, tcp 35411`: where the kernel's rules lead to, when our sockets listen just there."""
        service = self._services.get(sandbox)
        if service is None:
            return None
        with doing(f"look at the name service in the network namespace {sandbox}"):
            ports = await short(_look, self._path(sandbox), (service.udp, service.tcp))
        return f"{rules.ADDRESS}:{rules.PORT} -> udp {ports[IPPROTO_UDP]}, tcp {ports[IPPROTO_TCP]}" if ports else None

    async def host_servers(self) -> tuple[str, ...]:
        """The name servers of the host's resolv.conf; behind systemd's stub, the real ones."""
        return await short(_servers, *self._files)

    def leave(self) -> None:
        """The engine ends: sockets away. The rules stay, and the next engine finds the ports in them."""
        for sandbox in tuple(self._services):
            self._leave(sandbox)

    def _leave(self, sandbox: str) -> None:
        if service := self._services.pop(sandbox, None):
            service.close()

    def _path(self, sandbox: str) -> str:
        return os.path.join(self._namespaces, sandbox)

    async def _reachable(self, servers: tuple[str, ...]) -> list[Server]:
        """The host's own loopback servers are asked on the host; a person's `--dns 127.0.0.1` is the container's loopback."""
        of_host = {server for server in await self.host_servers() if ip_address(server).is_loopback}
        # Asking ourselves from inside would never end.
        asked = [server for server in servers if _is_address(server) and (server in of_host or server != rules.ADDRESS)]
        return [Server(server, server in of_host) for server in asked]


def _listen(kept: rules.Ports) -> Sockets:
    """Both sockets, and the rules that lead to them; in the calling thread's namespace. `kept`: former ports without rules."""
    led = rules.led()
    former = led or kept
    with ExitStack() as stack:
        udp, tcp = (stack.enter_context(_bound(kind, former.get(protocol, 0))) for protocol, kind in KINDS.items())
        tcp.listen()
        if (ports := _ports((udp, tcp))) != led:
            rules.lead(ports, former)
        stack.pop_all()
    return udp, tcp


def _clear(namespace: str) -> None:
    if inode(namespace) is not None:
        inside(namespace, rules.clear)


def _look(namespace: str, sockets: Sockets) -> rules.Ports | None:
    """The ports that the rules lead to; None when that is not to these sockets in this namespace."""
    number = inode(namespace)
    if number is None or any(_namespace(held) != number for held in sockets):
        return None
    ports = _ports(sockets)
    return ports if inside(namespace, rules.led) == ports else None


def _namespace(held: socket.socket) -> int:
    """Inode number of the network namespace that a socket belongs to."""
    fd = fcntl.ioctl(held, SIOCGSKNS)
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def _ports(sockets: Sockets) -> rules.Ports:
    return {protocol: held.getsockname()[1] for protocol, held in zip(KINDS, sockets, strict=True)}


def _bound(kind: int, former: int) -> socket.socket:
    """A socket on the former port, so that no client notices; on any free one when the container has taken it meanwhile."""
    held = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if kind == socket.SOCK_STREAM:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections to the former one may still be ending
    try:
        held.bind((rules.ADDRESS, former))
    except OSError:
        held.bind((rules.ADDRESS, 0))
    return held


def _servers(resolv_conf: str, resolved: str) -> tuple[str, ...]:
    named = values(read_text(resolv_conf) or "", "nameserver")
    if named and set(named) <= set(STUBS):
        named = values(read_text(resolved) or "", "nameserver") or named
    return tuple(filter(_is_address, named))


def _is_address(server: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(server))
    return False
