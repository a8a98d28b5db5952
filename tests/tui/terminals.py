"""A terminal of a test's own, and what runs in it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PATIENCE = 30.0


class Terminal:
    """The master's side of a pseudo-terminal: what a person types and sees."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.fd, self.inner = pty.openpty()
        self.seen = bytearray()
        self._changed = asyncio.Event()
        self.size(columns, rows)
        asyncio.get_running_loop().add_reader(self.fd, self._read)

    def _read(self) -> None:
        try:
            self.seen += os.read(self.fd, 65536)
        except OSError:  # EIO: the last one who had the terminal open is gone
            asyncio.get_running_loop().remove_reader(self.fd)
        self._changed.set()

    def size(self, columns: int, rows: int) -> None:
        """Set its size; who has it as the controlling terminal gets SIGWINCH."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str | bytes) -> None:
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    @property
    def text(self) -> str:
        return self.seen.decode(errors="replace").replace("\r\n", "\n")

    @property
    def attributes(self) -> list[object]:
        return termios.tcgetattr(self.inner)

    @property
    def raw(self) -> bool:
        lflag = termios.tcgetattr(self.inner)[3]
        return not lflag & (termios.ICANON | termios.ECHO | termios.ISIG)

    async def shows(self, text: str) -> None:
        """Wait until this is seen."""
        await self.until(lambda: text in self.text)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for what may be seen, or may be told by nothing."""
        async with asyncio.timeout(PATIENCE):
            while not true():
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), 0.02)
                except TimeoutError:
                    continue

    async def run(self, *command: str, env: dict[str, str] | None = None) -> asyncio.subprocess.Process:
        """A program with this as its controlling terminal."""
        return await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", *command), stdin=self.inner, stdout=self.inner, stderr=self.inner, env=env
        )

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)
        os.close(self.inner)


@asynccontextmanager
async def terminal(columns: int = 80, rows: int = 24) -> AsyncIterator[Terminal]:
    made = Terminal(columns, rows)
    try:
        yield made
    finally:
        made.close()
