"""Small pieces of a long answer on their way together: a write to a socket costs more than making a line to write."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, Self

ENOUGH: Final = 64 * 1024
"""Bytes that wait for a slow reader before the writer waits, too."""


class Answer(Protocol):
    async def write(self, data: bytes) -> None: ...


class Together:
    """Sends what is written in one turn of the event loop at the end of that turn. Leaving it sends the rest."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._waiting = bytearray()
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._sending is None:
            return
        if kind is None:
            await self._sending
        else:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def write(self, data: bytes) -> None:
        """Raises what an earlier piece could not be sent for."""
        self._waiting += data
        if self._sending is None or self._sending.done():
            if self._sending:
                self._sending.result()
            self._sending = asyncio.create_task(self._send())
        elif len(self._waiting) >= ENOUGH:
            await self._sending

    async def _send(self) -> None:
        while self._waiting:
            data = bytes(self._waiting)
            self._waiting.clear()
            await self._answer.write(data)
