"""The messages of netlink(7): asking, dumping, attributes. Blocking calls of microseconds, for a thread."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
Attributes = dict[int, bytes]

# <linux/netlink.h>
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_DUMP_INTR = 0x10
NLM_F_REQUEST, NLM_F_REQUEST_ACK, NLM_F_REQUEST_DUMP = 0x1, 0x5, 0x301
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLA_F_NESTED = 0x8000
HEADER = struct.Struct("=IHHII")

RECEIVE = 1 << 18
"""Bytes of one read. The kernel fills at most 32 KiB of a dump into one message."""


def ask(kind: int, payload: bytes, flags: int = NLM_F_REQUEST, protocol: int = socket.NETLINK_ROUTE) -> list[bytes]:
    """Ask once; the messages of the answer. Raises `OSError` with the kernel's number."""
    with _kernel(protocol) as kernel:
        kernel.send(HEADER.pack(HEADER.size + len(payload), kind, flags, 1, 0) + payload)
        answers = []
        for got, _, data in messages(kernel.recv(RECEIVE)):
            if got == NLMSG_ERROR:
                check(data)
            answers.append(data)
        return answers


def order(kind: int, payload: bytes, flags: int = 0, protocol: int = socket.NETLINK_ROUTE) -> None:
    """Ask for one change and wait until it is made. Raises `OSError` with the kernel's number."""
    ask(kind, payload, NLM_F_REQUEST_ACK | flags, protocol)


def dump(kind: int, payload: bytes, parse: Callable[[bytes], T], protocol: int = socket.NETLINK_ROUTE) -> list[T]:
    """One table. Asked again while the kernel says that it changed under the dump, at most a few times."""
    for _ in range(5):
        found, whole = _dump_once(kind, payload, parse, protocol)
        if whole:
            break
    return found


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and payload of each message of one datagram."""
    at = 0
    while at < len(data):
        length, kind, flags, _, _ = HEADER.unpack_from(data, at)
        yield kind, flags, data[at + HEADER.size : at + length]
        at += aligned(length)


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data.ljust(aligned(len(data)), b"\0")


def nested(kind: int, *inner: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(inner))


def attributes(data: bytes, at: int = 0) -> Attributes:
    """The attributes that follow a message's fixed part of `at` bytes."""
    found: Attributes = {}
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]  # without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER
        at += aligned(length)
    return found


def aligned(length: int) -> int:
    return (length + 3) & ~3


def number(found: Attributes, kind: int) -> int:
    return int(struct.unpack_from("=i", found[kind])[0]) if kind in found else 0


def text(found: Attributes, kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def _kernel(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)


def check(data: bytes) -> None:
    """struct nlmsgerr: a negative errno, or 0 for an acknowledgement."""
    refusal = -struct.unpack_from("=i", data)[0]
    if refusal:
        raise OSError(refusal, os.strerror(refusal))


def _dump_once(kind: int, payload: bytes, parse: Callable[[bytes], T], protocol: int) -> tuple[list[T], bool]:
    found: list[T] = []
    whole = True
    with _kernel(protocol) as kernel:
        kernel.send(HEADER.pack(HEADER.size + len(payload), kind, NLM_F_REQUEST_DUMP, 1, 0) + payload)
        while True:
            for got, flags, data in messages(kernel.recv(RECEIVE)):
                whole = whole and not flags & NLM_F_DUMP_INTR
                if got == NLMSG_DONE:
                    return found, whole
                if got == NLMSG_ERROR:
                    check(data)
                found.append(parse(data))
