"""A host outside, of our own making: a nameless network namespace at the end of a cable, for one attempt.

Nothing else shows what happens to a packet that comes in from outside: what the host sends itself is not forwarded. The
namespace goes with its descriptor, and the cable with it, however the engine ends.
"""

from __future__ import annotations

import errno
import os
import secrets
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from engine.host import rtnetlink
from engine.host.forwarding import write
from engine.host.netns import THREAD_NS, configure, in_new_thread, inside
from engine.host.rtnetlink import Address
from engine.host.syscalls import CLONE_NEWNET, unshare

INTERFACE = "eth0"
MTU = 1500


class Stranger(Struct, frozen=True):
    netns: str
    """A path by which the namespace can be entered."""
    fd: int
    cable: str
    """The host's end."""
    gateway: str
    """The host's address, as it is known there."""


def make(family: int) -> Stranger:
    """`family`: 4 or 6. Blocks for some milliseconds. Raises `OSError`."""
    fd = in_new_thread(_new_namespace)
    gateway, address, prefix = _addresses(family)
    made = Stranger(f"/proc/self/fd/{fd}", fd, f"why{secrets.token_hex(4)}", gateway)
    try:
        macs = (f"02:{secrets.token_bytes(5).hex(':')}", f"02:{secrets.token_bytes(5).hex(':')}")
        rtnetlink.add_veth(made.cable, 0, INTERFACE, made.fd, macs=macs, mtu=MTU)
        _bring_up(made.cable, gateway, prefix)
        write(made.cable if family == 4 else f"6:{made.cable}", "1")
        inside(made.netns, lambda: rtnetlink.set_default(gateway, _bring_up(INTERFACE, address, prefix)))
    except OSError:
        drop(made)
        raise
    return made


def drop(made: Stranger) -> None:
    link = rtnetlink.link(made.cable)
    if link:
        rtnetlink.delete_link(link.index)
    os.close(made.fd)


def _new_namespace() -> int:
    unshare(CLONE_NEWNET)
    return os.open(THREAD_NS, os.O_RDONLY | os.O_CLOEXEC)


def _addresses(family: int) -> tuple[str, str, int]:
    """The host's, the stranger's, and the length of their prefix: of the range for tests (RFC 2544), or local (RFC 4193)."""
    if family == 4:
        low = 0xC6120000 + (secrets.randbelow(1 << 16) << 1)  # 198.18.0.0/15
        return str(IPv4Address(low)), str(IPv4Address(low + 1)), 31
    low = (0xFD << 120) + (secrets.randbits(40) << 80) + 2
    return str(IPv6Address(low)), str(IPv6Address(low + 1)), 127


def _bring_up(name: str, address: str, prefix: int) -> int:
    link = rtnetlink.link(name)
    if link is None:
        raise OSError(errno.ENODEV, f"there is no link {name}")
    if ":" in address:
        configure("ipv6", name, "disable_ipv6", 0)
    rtnetlink.switch(link.index, on=True)
    rtnetlink.add_address(Address(link.index, address, prefix))
    return link.index
