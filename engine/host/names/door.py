"""Sockets of another network namespace, for the event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple

from engine.host.netns import inside
from engine.host.threads import short

AT_ONCE = 8
"""Sockets of one visit. Whoever waits for them goes on in the same turn of the event loop."""


class Wanted(NamedTuple):
    family: int
    kind: int
    made: asyncio.Future[socket.socket]


class Door:
    """The way into one namespace. One thread at a time goes in, and brings all sockets that are wanted by then.

    With a thread for each, a container that asks 200 questions at once keeps the event loop and the other threads for 50 ms.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._wanted: list[Wanted] = []
        self._going: asyncio.Task[None] | None = None

    async def socket(self, family: int, kind: int) -> socket.socket:
        """A new socket that does not block. Raises `OSError`."""
        wanted = Wanted(family, kind, asyncio.get_running_loop().create_future())
        self._wanted.append(wanted)
        if self._going is None:
            self._going = asyncio.create_task(self._go())
        return await wanted.made

    async def _go(self) -> None:
        while batch := self._wanted[:AT_ONCE]:
            del self._wanted[:AT_ONCE]
            for wanted, made in zip(batch, await short(_fetch, self.namespace, batch), strict=True):
                if isinstance(made, OSError):
                    _tell(wanted.made, made)
                elif wanted.made.done():  # nobody waits for it any more
                    made.close()
                else:
                    wanted.made.set_result(made)
        self._going = None


def _tell(made: asyncio.Future[socket.socket], error: OSError) -> None:
    if not made.done():
        made.set_exception(error)


def _fetch(namespace: str, batch: list[Wanted]) -> list[socket.socket | OSError]:
    try:
        return inside(namespace, lambda: [_make(wanted) for wanted in batch])
    except OSError as error:  # there is no such namespace
        return [error for _ in batch]


def _make(wanted: Wanted) -> socket.socket | OSError:
    try:
        return socket.socket(wanted.family, wanted.kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        return error
