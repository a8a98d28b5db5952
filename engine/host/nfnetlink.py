"""Messages to netfilter, in the calling thread's network namespace (<linux/netfilter/nfnetlink.h>). Blocking calls."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable

from engine.host import netlink
from engine.host.bell import NETLINK_NETFILTER
from engine.host.netlink import (
    HEADER,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    RECEIVE,
    Attributes,
    aligned,
    attribute,
    attributes,
    messages,
)

NFPROTO_IPV4 = 2
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_NFTABLES = 1, 10
NFGENMSG = struct.Struct(">BBH")

SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>


def message(kind: int, payload: bytes, flags: int = 0, family: int = NFPROTO_IPV4, resource: int = 0) -> bytes:
    """`kind`: a subsystem and its message, `subsystem << 8 | number`."""
    content = NFGENMSG.pack(family, 0, resource) + payload
    return HEADER.pack(HEADER.size + len(content), kind, NLM_F_REQUEST | flags, 0, 0) + content


def transact(changes: Iterable[bytes]) -> None:
    """All of these changes of nftables or none. Raises `OSError` with the kernel's number."""
    batch = b"".join((_bracket(NFNL_MSG_BATCH_BEGIN), *changes, _bracket(NFNL_MSG_BATCH_END)))
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    try:
        kernel.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, len(batch))
        kernel.send(batch)
        _check(kernel)
    finally:
        # The kernel keeps whoever closes this socket until all that was deleted is freed: 10 to 20 ms.
        threading.Thread(target=kernel.close, name="nft").start()


def ask(kind: int, payload: bytes) -> bool:
    """Ask for one thing, or to delete it. False: there is no such thing. Raises `OSError` for all else."""
    try:
        netlink.order(kind, _head() + payload, protocol=NETLINK_NETFILTER)
    except FileNotFoundError:
        return False
    return True


def dump(kind: int, payload: bytes = b"") -> list[Attributes]:
    """The attributes of each thing of a kind. Raises `OSError` with the kernel's number."""
    return netlink.dump(kind, _head() + payload, lambda data: attributes(data, NFGENMSG.size), NETLINK_NETFILTER)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """netfilter's numbers are in network byte order."""
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF))


def elements(data: bytes) -> list[bytes]:
    """The contents of attributes that are all of one kind: a list."""
    found, at = [], 0
    while at + 4 <= len(data):
        length = max(4, struct.unpack_from("=H", data, at)[0])
        found.append(data[at + 4 : at + length])
        at += aligned(length)
    return found


def _head() -> bytes:
    return NFGENMSG.pack(NFPROTO_IPV4, 0, 0)


def _bracket(kind: int) -> bytes:
    return message(kind, b"", family=socket.AF_UNSPEC, resource=NFNL_SUBSYS_NFTABLES)


def _check(kernel: socket.socket) -> None:
    """Raise what the kernel did not like. Whatever it has to say it has said before `send` returns."""
    kernel.setblocking(False)
    try:
        answers = kernel.recv(RECEIVE)
    except BlockingIOError:  # of a transaction only what fails is answered
        return
    for kind, _, data in messages(answers):
        if kind == NLMSG_ERROR:
            netlink.check(data)
