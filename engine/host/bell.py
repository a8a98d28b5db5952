"""Has the kernel changed something since we last looked? Its netlink multicast groups tell, so that nobody has to look."""

from __future__ import annotations

import asyncio
import errno
import socket

# <linux/rtnetlink.h>: group n is bit n - 1.
LINKS = 1 << 0
ADDRESSES = 1 << 4 | 1 << 8
ROUTES = 1 << 6 | 1 << 10
FORWARDING = 1 << 23 | 1 << 24
"""Of both families."""
NETLINK_NETFILTER = 12
RULES = 1 << 6
"""NFNLGRP_NFTABLES, <linux/netfilter/nfnetlink.h>: every change of a table, a chain or a rule, whichever program made it."""


class Bell:
    """Rings for every change the kernel tells some groups of (netlink(7)). It costs nothing until it is asked.

    The kernel tells before it answers whoever made the change, so what was changed by then is never missed.
    """

    def __init__(self, protocol: int, groups: int) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._kernel = socket.socket(socket.AF_NETLINK, kind, protocol)
        self._kernel.bind((0, groups))
        self._rings = 0

    def rings(self) -> int:
        """A number that rises with every change. Ask *before* you look; what you saw holds for as long as it stays."""
        while self._rang():
            self._rings += 1
        return self._rings

    async def ring(self) -> None:
        """Wait until it rings, or return at once when it has since `rings` was asked. One may wait at a time."""
        loop = asyncio.get_running_loop()
        rung = asyncio.Event()
        loop.add_reader(self._kernel, rung.set)
        try:
            await rung.wait()
        finally:
            loop.remove_reader(self._kernel)

    def _rang(self) -> bool:
        try:
            self._kernel.recv(1)  # the rest of the message is dropped
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # there was more than the socket holds
                raise
        return True
