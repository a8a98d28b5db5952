"""Messages to netfilter, in the calling thread's network namespace (<linux/netfilter/nfnetlink.h>). Blocking calls."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterable

from engine.host.bell import NETLINK_NETFILTER
from engine.host.netlink import HEADER, NLMSG_DONE, NLMSG_ERROR, Attributes, attribute, attributes, messages

# <linux/netlink.h>
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_CREATE, NLM_F_APPEND = 0x400, 0x800

NFPROTO_IPV4 = 2
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_NFTABLES = 1, 10
NFGENMSG = struct.Struct(">BBH")

RECEIVE = 1 << 17
SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>


def message(kind: int, payload: bytes, flags: int = 0, family: int = NFPROTO_IPV4, resource: int = 0) -> bytes:
    """`kind`: a subsystem and its message, `subsystem << 8 | number`."""
    content = NFGENMSG.pack(family, 0, resource) + payload
    return HEADER.pack(HEADER.size + len(content), kind, NLM_F_REQUEST | flags, 0, 0) + content


def transact(changes: Iterable[bytes]) -> None:
    """All of these changes of nftables or none. Raises `OSError` with the kernel's number."""
    batch = b"".join((_bracket(NFNL_MSG_BATCH_BEGIN), *changes, _bracket(NFNL_MSG_BATCH_END)))
    kernel = _kernel()
    try:
        kernel.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, len(batch) + RECEIVE)
        kernel.send(batch)
        _check(kernel)
    finally:
        # The kernel keeps whoever closes this socket until all that was deleted is freed: 10 to 20 ms.
        threading.Thread(target=kernel.close, name="nft").start()


def ask(kind: int, payload: bytes) -> bool:
    """Ask for one thing, or to delete it. False: there is no such thing. Raises `OSError` for all else."""
    with _kernel() as kernel:
        kernel.send(message(kind, payload, NLM_F_ACK))
        try:
            _check(kernel)
        except FileNotFoundError:
            return False
    return True


def dump(kind: int, payload: bytes = b"") -> list[Attributes]:
    """The attributes of each thing of a kind. Raises `OSError` with the kernel's number."""
    found: list[Attributes] = []
    with _kernel() as kernel:
        kernel.send(message(kind, payload, NLM_F_DUMP))
        while True:
            for got, _, data in messages(kernel.recv(RECEIVE)):
                if got == NLMSG_DONE:
                    return found
                _refused(got, data)
                found.append(attributes(data, NFGENMSG.size))


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
        at += length + -length % 4
    return found


def _bracket(kind: int) -> bytes:
    return message(kind, b"", family=socket.AF_UNSPEC, resource=NFNL_SUBSYS_NFTABLES)


def _kernel() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)


def _check(kernel: socket.socket) -> None:
    """Raise what the kernel did not like. Whatever it has to say it has said before `send` returns."""
    kernel.setblocking(False)
    try:
        answers = kernel.recv(RECEIVE)
    except BlockingIOError:  # of a transaction only what fails is answered
        return
    for kind, _, data in messages(answers):
        _refused(kind, data)


def _refused(kind: int, data: bytes) -> None:
    """struct nlmsgerr: a negative errno, or 0 for an acknowledgement."""
    refusal = -struct.unpack_from("=i", data)[0] if kind == NLMSG_ERROR else 0
    if refusal:
        raise OSError(refusal, os.strerror(refusal))
