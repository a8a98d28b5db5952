"""A small program beside the engine that outlives it: found by its socket, started when none answers, asked line by line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar, cast

from engine.host.threads import short
from engine.host.tools import doing
from engine.model.errors import HostFailed

T = TypeVar("T")

PAUSES: Final = (0.0, 0.01, 0.05, 0.2, 1.0)
"""Seconds between tries to reach a helper."""


class Helper:
    """One per exec root and program. It answers each line with one, and ends when it is not needed and nobody is connected."""

    def __init__(
        self,
        path: str,
        command: tuple[str, ...],
        name: str,
        needs: Callable[[], Iterable[bytes]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """`path`: its socket. `command`: a Python file and its arguments; it is in the background, and answers, when it exits.
        `needs`: requests a new one is told first; while there are any, one that dies is started again at once.
        `on_trouble`: told when that cannot be done (a sentence) and when it can again (empty)."""
        self.name = name
        self._path = path
        self._command = command
        self._needs = needs
        self._on_trouble = on_trouble
        self._trouble = ""
        self._lock = asyncio.Lock()
        self._line: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._closing = False

    async def ask(self, request: bytes) -> bytes:
        """The answer to a request, both without the end of the line. Raises `OSError`, `HostFailed` when none starts."""
        async with self._lock:
            return await self._patiently(lambda: self._exchange(request))

    async def there(self) -> bool:
        """Is one connected, or a socket to be found? If not, there is nothing to be asked to let go."""
        return self._line is not None or await short(os.path.exists, self._path)

    async def close(self) -> None:
        """Leave it to itself."""
        self._closing = True
        if self._reviving:
            await self._reviving
        if self._line:
            self._line.close()

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try again while a helper that is dying still takes connections. Raises `OSError`, `HostFailed`."""
        for pause in PAUSES:
            try:
                return await call()
            except ConnectionError:  # it died, or was just about to end
                await asyncio.sleep(pause)
        return await call()

    async def _exchange(self, request: bytes) -> bytes:
        """One request and its answer. Raises `ConnectionError` when the helper is gone, `HostFailed` when none starts."""
        line = self._line or await self._connect()
        self._answer = asyncio.get_running_loop().create_future()
        line.write(request + b"\n")
        try:
            answer = await self._answer
        except asyncio.CancelledError:
            line.abort()  # or its answer would be taken for the next one's
            raise
        if not answer:
            raise ConnectionResetError(f"{self.name} is gone")
        return answer

    async def _connect(self) -> asyncio.Transport:
        """Connect, starting a helper when none answers, and tell it what it must know."""
        connect = asyncio.get_running_loop().create_unix_connection
        try:
            await connect(lambda: _Line(self), self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            await self._start()
            await connect(lambda: _Line(self), self._path)
        for request in tuple(self._needs()):
            await self._exchange(request)
        if self._line is None:
            raise ConnectionResetError(f"{self.name} is gone")
        return self._line

    async def _start(self) -> None:
        """Run the program; when this returns it has gone to the background, and answers."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )  # fmt: skip
        _, said = await child.communicate()
        if child.returncode:
            why = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise HostFailed(f"cannot start {self.name}: {why or f'exit code {child.returncode}'}")

    async def _revive(self) -> None:
        """Start it again at once: it is needed when we are killed, and then it is too late."""
        try:
            with doing(f"start {self.name} again"):
                async with self._lock:
                    if self._line is None:
                        await self._patiently(self._connect)
            self._say("")
        except HostFailed as error:
            self._say(str(error))

    def _say(self, sentence: str) -> None:
        if sentence != self._trouble:
            self._trouble = sentence
            self._on_trouble(sentence)

    def connected(self, line: asyncio.Transport) -> None:
        self._line = line

    def answered(self, answer: bytes) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)

    def lost(self) -> None:
        self._line = None
        self.answered(b"")
        if not self._closing and any(True for _ in self._needs()):
            self._reviving = asyncio.get_running_loop().create_task(self._revive())


class _Line(asyncio.Protocol):
    """The connection. A request is answered before the next is made, so what ends a line ends an answer."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._helper.connected(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if data.endswith(b"\n"):
            answer = bytes(self._heard[:-1])
            self._heard.clear()
            self._helper.answered(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._helper.lost()
