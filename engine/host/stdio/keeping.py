"""The engine's side of the keeper: find it or start it, tell it what to hold, start it again when it died."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

from engine.host.stdio import keeper as program
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.errors import HostFailed

T = TypeVar("T")

PAUSES: Final = (0.0, 0.01, 0.05, 0.2, 1.0)
"""Seconds between tries to reach a keeper."""


class Keeper:
    """One keeper per exec root, found by its socket. `keeper` says what it does and when it ends."""

    def __init__(self, path: str, on_trouble: Callable[[], None]) -> None:
        self.trouble = ""
        self._path = path
        self._on_trouble = on_trouble
        self._held: set[str] = set()
        self._lock = asyncio.Lock()
        self._line: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._reviving: asyncio.Task[None] | None = None

    async def hold(self, path: str) -> None:
        """Keep what is in a FIFO from being lost. Held already is fine. Raises `HostFailed`."""
        self._held.add(path)
        await self._ask("hold", path)

    async def drop(self, path: str) -> None:
        """Hold it no longer. Not held, or no keeper to hold it, is fine."""
        self._held.discard(path)
        if self._line is not None or await short(os.path.exists, self._path):
            await self._ask("drop", path)

    async def close(self) -> None:
        """Leave. The keeper goes on while it holds anything."""
        self._held.clear()
        if self._reviving:
            await self._reviving
        if self._line:
            self._line.close()

    async def _ask(self, verb: str, path: str) -> None:
        with doing(f"{verb} {path}"):
            async with self._lock:
                answer = await self._patiently(lambda: self._exchange(verb, path))
        if answer != b"ok":
            raise HostFailed(f"cannot {verb} {path}: the keeper says: {answer.decode()}")

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try again while a keeper that is dying still takes connections. Raises `OSError`, `HostFailed`."""
        for pause in PAUSES:
            try:
                return await call()
            except ConnectionError:  # it died, or was just about to end
                await asyncio.sleep(pause)
        return await call()

    async def _exchange(self, verb: str, path: str) -> bytes:
        """One request and its answer. Raises `ConnectionError` when the keeper is gone, `HostFailed` when none starts."""
        line = self._line or await self._connect()
        self._answer = asyncio.get_running_loop().create_future()
        line.write(f"{verb} {path}\n".encode())
        try:
            answer = await self._answer
        except asyncio.CancelledError:
            line.abort()  # or its answer would be taken for the next one's
            raise
        if not answer:
            raise ConnectionResetError("the keeper is gone")
        return answer.rstrip(b"\n")

    async def _connect(self) -> asyncio.Transport:
        """Connect, starting a keeper when none answers, and tell it all that is to be held."""
        connect = asyncio.get_running_loop().create_unix_connection
        try:
            await connect(lambda: _Line(self), self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            await self._start()
            await connect(lambda: _Line(self), self._path)
        for path in tuple(self._held):
            await self._exchange("hold", path)
        if self._line is None:
            raise ConnectionResetError("the keeper is gone")
        return self._line

    async def _start(self) -> None:
        """Run the keeper's program; when this returns it has gone to the background, and answers."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", program.__file__, self._path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )  # fmt: skip
        _, said = await child.communicate()
        if child.returncode:
            why = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise HostFailed(f"cannot start the keeper of the containers' output: {why or f'exit code {child.returncode}'}")

    async def _revive(self) -> None:
        """Start it again at once: it is needed when we are killed, and then it is too late."""
        try:
            with doing("start the keeper of the containers' output again"):
                async with self._lock:
                    if self._line is None:
                        await self._patiently(self._connect)
            self._say("")
        except HostFailed as error:
            self._say(f"{error}; if the engine ends now, output that is not copied yet is lost")

    def _say(self, sentence: str) -> None:
        if sentence != self.trouble:
            self.trouble = sentence
            self._on_trouble()

    def connected(self, line: asyncio.Transport) -> None:
        self._line = line

    def answered(self, answer: bytes) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)

    def lost(self) -> None:
        self._line = None
        self.answered(b"")
        if self._held:
            self._reviving = asyncio.get_running_loop().create_task(self._revive())


class _Line(asyncio.Protocol):
    """The connection. A request is answered before the next is made, so every piece that comes is one answer."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._keeper.connected(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._keeper.answered(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper.lost()
