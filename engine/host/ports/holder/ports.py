"""Which ports of the host are held, for whom, and how a free one is found."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from itertools import chain

from .loop import Loop
from .relay import IP_PKTINFO, PIECE, TURN, Address, Client, Connection, Exchange, answer_from, family, reset

WILDCARDS = ("0.0.0.0", "::")
LOCAL_PORTS = "/proc/sys/net/ipv4/ip_local_port_range"
BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`."""
FALLBACK = 49153, 65535
"""Where free ports are found when the kernel does not say."""

Key = tuple[str, str, int]
"""Protocol, address, number."""
Binding = tuple[str, int, str, int, int]
"""Protocol, the container's port, address or nothing, first and last number."""
Target = tuple[str, str]
"""The container's addresses, IPv4 and, or nothing, IPv6."""


class Refused(Exception):
    """A port, or any of several, that cannot be had. `owner`: whose it is, if one of ours."""

    def __init__(self, code: int, protocol: str, ip: str, first: int, last: int, owner: str = "") -> None:
        super().__init__(os.strerror(code))
        self.code, self.protocol, self.ip, self.first, self.last, self.owner = code, protocol, ip, first, last, owner


class Port:
    """One port of the host, held. SCTP, for which kernels have no sockets, is only written down."""

    def __init__(self, loop: Loop, owner: str, key: Key, port: int, target: Target) -> None:
        """Raises `OSError`."""
        self.owner, self.key, self.port = owner, key, port
        self._loop, self._target = loop, target
        self._connections: set[Connection] = set()
        self._exchanges: dict[Client, Exchange] = {}
        if key[0] != "sctp":
            self._sock = bound(*key)
            loop.watch(self._sock, self._accept if key[0] == "tcp" else self._receive)

    def lead(self, port: int, target: Target) -> None:
        """To another port or address of the container from now on. What goes to the former one ends."""
        if (port, target) != (self.port, self._target):
            self.port, self._target = port, target
            self._end_relayed()

    def close(self) -> None:
        self._end_relayed()
        if self.key[0] != "sctp":
            self._loop.close(self._sock)

    def _address(self) -> Address:
        """Of the same family if it has one; otherwise the relay carries over from one family to the other."""
        address, address6 = self._target
        six = family(self.key[1]) == socket.AF_INET6
        return (address6 if six else address) or address or address6, self.port

    def _end_relayed(self) -> None:
        for connection in tuple(self._connections):
            connection.end()
        for exchange in tuple(self._exchanges.values()):
            exchange.end()

    def _accept(self, _: int) -> None:
        for _ in range(TURN):
            client = self._loop.accept(self._sock)
            if client is None:
                return
            try:
                if client.fileno() >= self._loop.room:
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                Connection(self._loop, client, self._address(), self._connections)
            except OSError:
                reset(client)
                client.close()

    def _receive(self, _: int) -> None:
        try:
            for _ in range(TURN):
                data, ancillary, _, sender = self._sock.recvmsg(PIECE, 128)
                client = sender, answer_from(ancillary)
                known = self._exchanges.get(client)
                exchange = known or Exchange(self._loop, self._sock, client, self._address(), self._exchanges)
                exchange.send(data)
        except OSError:
            return  # there is no more, or one could not be sent; datagrams may be lost


class Ports:
    """All that is held."""

    def __init__(self, loop: Loop) -> None:
        self.owners: dict[str, dict[Key, Port]] = {}
        self.last: dict[str, int] = {}
        """The free number that was handed out last, by protocol."""
        self._loop = loop
        self._held: dict[tuple[str, int], list[Port]] = {}
        """By protocol and number."""

    def take(self, owner: str, bindings: list[Binding], target: Target) -> None:
        """The owner has what is asked for and nothing else afterwards, or else what it had before. Raises `Refused`."""
        claim = Claim(self, owner, target)
        try:
            for binding in bindings:
                claim.add(*binding)
        except BaseException:
            claim.undo()
            raise
        claim.settle()

    def give(self, owner: str) -> None:
        for port in self.owners.pop(owner, {}).values():
            self.close(port)

    def open(self, owner: str, key: Key, port: int, target: Target) -> Port:
        """Raises `Refused`."""
        protocol, ip, number = key
        for other in self._held.get((protocol, number), ()):
            if overlap(ip, other.key[1]):
                raise Refused(errno.EADDRINUSE, protocol, ip, number, number, other.owner)
        try:
            opened = Port(self._loop, owner, key, port, target)
        except OSError as error:
            raise Refused(error.errno or 0, protocol, ip, number, number) from error
        self._held.setdefault((protocol, number), []).append(opened)
        return opened

    def close(self, port: Port) -> None:
        port.close()
        others = self._held[port.key[0], port.key[2]]
        others.remove(port)
        if not others:
            del self._held[port.key[0], port.key[2]]


class Claim:
    """One `take` on its way. What the owner has already is used first; what is new can be undone."""

    def __init__(self, ports: Ports, owner: str, target: Target) -> None:
        """Raises `ValueError` for a target without an address: to connect to none is to connect to this host."""
        if not any(target):
            raise ValueError("the target has no address")
        self._ports, self._owner, self._target = ports, owner, target
        self._mine = ports.owners.get(owner, {})
        self._spare = dict(self._mine)
        self._chosen: dict[Port, int] = {}
        """And the container's port that each leads to."""
        self._wildcards = WILDCARDS if has_ipv6() else WILDCARDS[:1]
        self._span = local_ports()
        self._numbers: dict[tuple[str, str, int], list[int]] = {}
        for (protocol, ip, number), each in self._mine.items():
            self._numbers.setdefault((protocol, ip, each.port), []).append(number)

    def add(self, protocol: str, port: int, ip: str, first: int, last: int) -> None:
        """Choose one number, for both families when there is no `ip`. Raises `Refused`."""
        ips = (ip,) if ip else self._wildcards
        low, high = (first, max(first, last)) if first else self._span
        had = (n for n in self._numbers.get((protocol, ips[0], port), ()) if n in range(low, high + 1))
        for number in chain(had, candidates(low, high, 0 if first else self._ports.last.get(protocol, 0))):
            try:
                chosen = self._together([(protocol, each, number) for each in ips], port)
            except Refused as no:
                if no.code != errno.EADDRINUSE or low == high:
                    raise
            else:
                if not first and chosen[0].key not in self._mine:
                    self._ports.last[protocol] = number
                self._chosen.update(dict.fromkeys(chosen, port))
                return
        raise Refused(errno.EADDRINUSE, protocol, ip, low, high)

    def undo(self) -> None:
        for each in self._chosen:
            self._put_back(each)

    def settle(self) -> None:
        for each in self._spare.values():
            self._ports.close(each)
        for each, port in self._chosen.items():
            each.lead(port, self._target)
        self._ports.owners.pop(self._owner, None)
        if self._chosen:
            self._ports.owners[self._owner] = {each.key: each for each in self._chosen}

    def _together(self, keys: list[Key], port: int) -> list[Port]:
        got: list[Port] = []
        try:
            for key in keys:
                had = key in self._spare
                got.append(self._spare.pop(key) if had else self._ports.open(self._owner, key, port, self._target))
        except BaseException:
            for each in got:
                self._put_back(each)
            raise
        return got

    def _put_back(self, port: Port) -> None:
        if port.key in self._mine:
            self._spare[port.key] = port
        else:
            self._ports.close(port)


def candidates(low: int, high: int, after: int = 0) -> Iterator[int]:
    """Every number from `low` to `high`, once, beginning behind `after`."""
    begin = after + 1 if low <= after < high else low
    return chain(range(begin, high + 1), range(low, begin))


def overlap(one: str, other: str) -> bool:
    """Would the same packets come to both addresses?"""
    return one == other or (family(one) == family(other) and (one in WILDCARDS or other in WILDCARDS))


def local_ports() -> tuple[int, int]:
    """Where the kernel finds free ports: ip(7), `ip_local_port_range`."""
    try:
        with open(LOCAL_PORTS) as file:
            low, high = map(int, file.read().split())
    except (OSError, ValueError):
        return FALLBACK
    return low, high


def has_ipv6() -> bool:
    """Is IPv6 on? With `disable_ipv6` the wildcard address could still be bound, so the loopback one is tried."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def bound(protocol: str, ip: str, number: int) -> socket.socket:
    """A socket that has the port; for TCP it listens. Raises `OSError`."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    six = family(ip) == socket.AF_INET6
    sock = socket.socket(family(ip), kind | socket.SOCK_NONBLOCK)
    try:
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing are no hindrance
        elif six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        if ip in WILDCARDS:
            sock.bind((ip, number))
        else:  # no names; the scope of `fe80::1%eth0` becomes a number
            address, _, *scope = socket.getaddrinfo(ip, None, type=kind, flags=socket.AI_NUMERICHOST)[0][4]
            sock.bind((address, number, *scope))
        if protocol == "tcp":
            sock.listen(BACKLOG)
    except socket.gaierror as error:
        sock.close()
        raise OSError(errno.EINVAL, str(error)) from error
    except BaseException:
        sock.close()
        raise
    return sock
