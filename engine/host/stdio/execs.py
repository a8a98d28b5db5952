"""The streams of an exec: FIFOs below `<exec root>/execs/<container>-<exec>/`, read by whoever asked for it, kept by nobody.

The pipes are the only buffer: nothing is taken from them before the client wants more. When no engine lives, the shim holds
both ends, so the process waits and nothing is lost.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from engine.host.stdio import place
from engine.host.stdio.stdin import Stdin
from engine.host.things import Pipes
from engine.host.threads import short
from engine.host.tools import doing

PIECE: Final = 64 * 1024
"""Bytes: all that a pipe holds."""


class Exec:
    """The port's `ExecStreams`."""

    def __init__(self, directory: str, pipes: Pipes) -> None:
        """Open FIFOs that are there, in the event loop. Raises `OSError`."""
        self.pipes = pipes
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._stdin = Stdin()
        self._wake = asyncio.Event()
        self._outputs: dict[str, int] = {}
        """Descriptors of the streams that have not ended, by name."""
        self._spoken: set[str] = set()
        """Streams that have or had a writer. Of the others an empty read is not the end: the shim has still to come."""
        self._rest: deque[tuple[str, bytes]] = deque()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        try:
            for name, path in (("stdout", pipes.stdout), ("stderr", pipes.stderr)):
                if path:
                    self._outputs[name] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            if pipes.stdin:
                self._stdin.open(pipes.stdin)
            else:
                self._stdin.close()
        except OSError:
            self.let_go()
            raise

    async def read(self) -> AsyncGenerator[tuple[str, bytes], None]:
        while not self._gone.done():
            self._wake.clear()
            if self._rest:
                yield self._rest.popleft()
            elif taken := [(name, data) for name in tuple(self._outputs) if (data := self._take(name))]:
                for piece in taken:
                    yield piece
                await asyncio.sleep(0)  # others have a turn, too
            elif self._outputs:
                await self._readable()
            else:
                return

    async def write(self, data: bytes) -> None:
        await self._stdin.write(data, self._gone)

    async def close_stdin(self) -> None:
        self._stdin.close()

    async def close(self) -> None:
        """From now on what the process says is taken and dropped, so that it never waits for a reader."""
        if not self._gone.done():
            self._gone.set_result(None)
            self._wake.set()
            self._rest.clear()
            for name, fd in self._outputs.items():
                self._loop.add_reader(fd, self._take, name)

    async def finish(self) -> None:
        self._stdin.close()
        for name in tuple(self._outputs):
            # No more than a pipe holds, or one that has left its output to others would keep us here.
            if (piece := self._take(name)) and not self._gone.done():
                self._rest.append((name, piece))
        self.let_go()
        self._wake.set()
        with doing(f"remove the pipes {self._directory}"):
            await short(place.remove, self._directory)

    def let_go(self) -> None:
        """Close the pipes, and leave them to the next engine."""
        self._stdin.close()
        for name in tuple(self._outputs):
            self._end(name)
        self._wake.set()

    def _take(self, name: str) -> bytes:
        """What is in a pipe. Empty: nothing now, or it has ended."""
        try:
            piece = os.read(self._outputs[name], PIECE)
        except BlockingIOError:
            piece = b""
        else:
            if not piece and name in self._spoken:
                self._end(name)
        if piece:
            self._spoken.add(name)
        return piece

    def _end(self, name: str) -> None:
        fd = self._outputs.pop(name)
        self._loop.remove_reader(fd)
        os.close(fd)

    async def _readable(self) -> None:
        """Wait until a pipe has something, or its last writer has gone, or there is nothing to wait for any more."""
        for name, fd in self._outputs.items():
            self._loop.add_reader(fd, self._speaks, name)
        try:
            await self._wake.wait()
        finally:
            if not self._gone.done():
                for fd in self._outputs.values():
                    self._loop.remove_reader(fd)

    def _speaks(self, name: str) -> None:
        self._spoken.add(name)
        self._wake.set()
