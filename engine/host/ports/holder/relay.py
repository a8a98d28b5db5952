"""What comes to a published port in user space, on its way to the container and back."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from typing import Any

from .loop import EDGE, Loop

PIECE = 1 << 16
"""Bytes read at once, and the most that waits in one direction of a connection; no datagram is larger."""
TURN = 16
"""Pieces or datagrams before it is another's turn."""
RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` without a time, socket(7)."""
IP_PKTINFO = 8
"""ip(7), <linux/in.h>; Python 3.11 has no name for it."""
MULTICAST = 0xFF
"""First byte of an IPv6 address that nobody can answer from."""

Address = tuple[str, int]
Ancillary = tuple[int, int, bytes]
"""Level, type and data of a control message, cmsg(3)."""
Client = tuple[Any, tuple[Ancillary, ...]]
"""Whom a datagram came from, and what sends the answer from where it was sent to."""


def family(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def reset(sock: socket.socket) -> None:
    """When it is closed, the other side is told that it was broken off."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


class Flow:
    """One direction of a connection. What its sink does not take yet waits here, and meanwhile nothing more is read."""

    __slots__ = ("_rest", "_sink", "_source", "ended")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source, self._sink = source, sink
        self._rest = memoryview(b"")
        self.ended = False

    def carry(self) -> bool:
        """Carry until one of the two makes us wait; True: it is only another's turn. Raises `OSError` when one is gone."""
        try:
            for _ in range(TURN):
                while self._rest:
                    self._rest = self._rest[self._sink.send(self._rest) :]
                if self.ended:
                    return False
                self._rest = memoryview(self._source.recv(PIECE))
                if not self._rest:
                    self.ended = True
                    self._sink.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return False
        return True


class Connection:
    """A client of a TCP port, and our connection to the container. Ends and resets are handed on as they come."""

    def __init__(self, loop: Loop, client: socket.socket, address: Address, others: set[Connection]) -> None:
        """`address`: the container's. `others`: where it is found as long as it lasts. Raises `OSError`."""
        self._loop, self._client, self._others = loop, client, others
        self._server = socket.socket(family(address[0]), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Answers first: one may be complete although the container resets what it has not read of the question.
        self._flows = Flow(self._server, client), Flow(client, self._server)
        try:
            client.setblocking(False)
            for sock in (client, self._server):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Or the port that the kernel gives it on this side could not be published meanwhile.
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            code = self._server.connect_ex(address)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            loop.watch(self._server, self._connecting, EDGE)
        except OSError:
            self._server.close()
            raise
        others.add(self)

    def _connecting(self, _: int) -> None:
        """Nothing is read before: shutdown(2) would break off what is not connected yet."""
        try:
            self._server.getpeername()
            self._loop.change(self._server, lambda _: self._carry(), EDGE)
            self._loop.watch(self._client, self._client_ready, EDGE)
        except OSError as error:
            if error.errno != errno.ENOTCONN or self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.end()

    def _client_ready(self, events: int) -> None:
        if events & select.EPOLLERR and self._client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            # There is nobody to hear, and what the container does not read would wait for ever.
            self.end()
        else:
            self._carry()

    def _carry(self) -> None:
        try:
            more = [flow.carry() for flow in self._flows]
        except OSError:
            self.end()
            return
        if all(flow.ended for flow in self._flows):
            self._close()
        elif any(more):
            self._loop.again(self._carry)

    def end(self) -> None:
        """Break it off."""
        for sock in (self._client, self._server):
            reset(sock)
        self._close()

    def _close(self) -> None:
        for sock in (self._client, self._server):
            self._loop.close(sock)
        self._loop.not_again(self._carry)
        self._others.discard(self)


class Exchange:
    """A client of a UDP port, and a socket of its own towards the container, by which the answers find back to it."""

    def __init__(
        self, loop: Loop, port: socket.socket, client: Client, address: Address, others: dict[Client, Exchange]
    ) -> None:
        """`port`: the published one, which all its clients share. Raises `OSError`."""
        self._loop, self._port, self._client, self._others = loop, port, client, others
        self._server = socket.socket(family(address[0]), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._server.connect(address)
            loop.watch(self._server, self._receive)
        except OSError:
            self._server.close()
            raise
        others[client] = self

    def send(self, data: bytes) -> None:
        """Raises `OSError`: it may be lost."""
        self._loop.heard(self, self.end)
        try:
            self._server.send(data)
        except ConnectionRefusedError:  # that was the one before: udp(7)
            self._server.send(data)

    def _receive(self, _: int) -> None:
        self._loop.heard(self, self.end)
        try:
            for _ in range(TURN):
                sender, local = self._client
                self._port.sendmsg([self._server.recv(PIECE)], local, 0, sender)
        except OSError:
            return  # there is no more, or one could not be sent; datagrams may be lost

    def end(self) -> None:
        self._loop.close(self._server)
        self._loop.forget(self)
        self._others.pop(self._client, None)


def answer_from(ancillary: list[Ancillary]) -> tuple[Ancillary, ...]:
    """What came with a datagram, turned into what sends the answer from the address it was sent to: ip(7), ipv6(7)."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return ((level, kind, struct.pack("@i4s4s", 0, data[4:8], bytes(4))),)
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and data[0] != MULTICAST:
            return ((level, kind, data[:16] + bytes(4)),)
    return ()
