"""One stream of a container: its FIFO, and the file its bytes move into before anyone looks at them.

A reader that reads a pipe and is killed before it has written loses what it read. One that peeks, writes and then consumes
cannot know after a kill whether it had consumed. So the kernel moves the bytes: splice(2) from the pipe into a file of
the exec root takes from the pipe exactly what it has put into the file, also when SIGKILL or a full disk cuts it short.
From then on all is decided on files. (A crash of the kernel loses the pipe, and no exec root is trusted after it.)

Offsets in the spool only grow; what is in the log is punched out of it, so it holds little more than the beginning of a line.
(They shrink where output is dropped, by the rest of a line that will never be whole.)
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import termios
from typing import Final

from engine.host.stdio.records import Begun

TURN: Final = 16 * 1024
"""Bytes moved at one go, so that a container that writes as fast as it can does not starve its neighbours."""

PUNCH: Final = 64 * 1024
"""Bytes already in the log that a spool may keep; a multiple of every block size."""

READ: Final = 256 * 1024
"""Bytes of the spool in memory at one time."""

# <linux/falloc.h>
FALLOC_FL_KEEP_SIZE: Final = 0x1
FALLOC_FL_PUNCH_HOLE: Final = 0x2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Spool:
    """Bytes wait in the spool from `at`, the first that is not in the log, to `end`."""

    def __init__(self, name: str, fifo: str, path: str) -> None:
        self.name = name
        self._path = fifo
        self.begun: Begun | None = None
        """Not kept over a restart: the end of a long line then has a later time."""
        self.torn = False
        """Output was dropped in the middle of a line, whose rest must go too: by `discard`, or by `take` once nothing waits."""
        self.fifo = _open_fifo(fifo)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            os.close(self.fifo)
            raise
        self.at = self._punched = 0
        self.end = os.fstat(self._file).st_size

    def take(self) -> int | None:
        """Move at most `TURN` bytes out of the pipe: how many; 0 when it is empty and has no writer; None: nothing now."""
        try:
            moved = os.splice(self.fifo, self._file, TURN, offset_dst=self.end, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return None
        self.end += moved
        if self.torn and moved:
            newline = self.newest(moved).find(b"\n") + 1
            self.torn = not newline
            self.at = self.end - moved + newline if newline else self.end
        return moved

    def discard(self) -> tuple[int | None, bytes]:
        """Take as much, and keep nothing of it: what `take` returns, and the bytes."""
        try:
            data = os.read(self.fifo, TURN)
        except BlockingIOError:
            return None, b""
        if data:
            if not self.torn:
                self._cut_to_whole_lines()
            self.torn = not data.endswith(b"\n")
        return len(data), data

    def _cut_to_whole_lines(self) -> None:
        end = self.end
        while end > self.at:
            start = max(self.at, end - TURN)
            newline = os.pread(self._file, end - start, start).rfind(b"\n") + 1
            end = start + newline
            if newline:
                break
        os.ftruncate(self._file, end)
        self.end = end

    def newest(self, count: int) -> bytes:
        """The last bytes that were taken."""
        return os.pread(self._file, count, self.end - count)

    def waiting(self) -> bytes:
        """What is not in the log, from its beginning; at most `READ` bytes of it."""
        return os.pread(self._file, min(READ, self.end - self.at), self.at)

    def advance(self, used: int, begun: Begun | None) -> None:
        """So many more bytes are in the log."""
        self.at += used
        self.begun = begun
        whole = self.at - self.at % PUNCH  # a block that is punched in two halves stays
        if whole > self._punched:
            _punch_hole(self._file, self._punched, whole - self._punched)
            self._punched = whole

    def in_pipe(self) -> int:
        """Bytes in the pipe (FIONREAD)."""
        count = array.array("i", [0])
        fcntl.ioctl(self.fifo, termios.FIONREAD, count)
        return count[0]

    def reopen(self) -> None:
        """Forget the hang-up of the last writer, which epoll would report for ever. The pipe is never without a reader."""
        old, self.fifo = self.fifo, _open_fifo(self._path)
        os.close(old)

    def close(self) -> None:
        os.close(self.fifo)
        os.close(self._file)


def _open_fifo(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _punch_hole(fd: int, offset: int, length: int) -> None:
    """fallocate(2): give the blocks back, keep the size."""
    if _libc.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
