"""One container's output on its way from the pipes into the log and to whoever is attached."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from engine.host.stdio.channel import Audience
from engine.host.stdio.logfile import Log
from engine.host.stdio.records import Encoded
from engine.host.stdio.spool import Spool

STREAMS: Final = ("stdout", "stderr")

CURSOR: Final = struct.Struct("=6Q")
"""The last append, noted before it is made: the log's size before and after, then each stream's offset before and after.

Before a rotation an append of nothing is noted, so that the sizes never speak of the next file.
"""


class Copy:
    """Lives in the copier's thread, except for its making."""

    def __init__(
        self,
        directory: str,
        streams: tuple[str, ...],
        log: Log | None,
        audience: Audience,
        on_grown: Callable[[], None],
        buffer: int | None = None,
    ) -> None:
        """Take up where the last copy of this directory stopped, wherever it was killed. Raises `OSError`.

        `log`: None keeps nothing. `buffer`: bytes that wait for a log that cannot be written before output is dropped; None:
        the container waits.
        """
        self.log = log
        self.audience = audience
        self.on_grown = on_grown
        self.buffer = buffer
        self.refused = False
        """The log could not be written, and is to be tried again."""
        self.trouble = ""
        self.finished: Future[None] | None = None
        """Somebody waits for the end of the streams: while something comes every `patience` seconds, never past `give_up`."""
        self.patience = self.give_up = 0.0
        self.closing = False
        """After that end nothing further is copied."""
        self.closed = False
        self.spools: list[Spool] = []
        self._cursor = -1
        try:
            self._cursor = os.open(os.path.join(directory, "cursor"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for name in streams:
                path = os.path.join(directory, name)
                self.spools.append(Spool(name, path, path + ".spool"))
            self._recover()
        except OSError:
            self.close()
            raise

    @property
    def target(self) -> str:
        return self.log.files.path if self.log else "nowhere: its log driver is none"

    def _recover(self) -> None:
        if self.log is None:
            for spool in self.spools:
                spool.at = spool.end
            return
        note = os.pread(self._cursor, CURSOR.size, 0)
        before, after, *offsets = CURSOR.unpack(note) if len(note) == CURSOR.size else (0,) * 6
        torn = self.log.repair(before, after)
        for spool, (old, new) in zip(self.spools, (offsets[:2], offsets[2:]), strict=False):
            spool.at = old if torn else new

    def turn(self, spool: Spool) -> int | None:
        """One turn for one stream. Returns what `Spool.take` does; raises `OSError` when the spool or the log refuses."""
        moved, data = self._take(spool)
        if moved and self.audience.channels:
            self.audience.send(spool.name, data or spool.newest(moved))
        if not self.refused:
            self.write(spool)
        return moved

    def _take(self, spool: Spool) -> tuple[int | None, bytes]:
        if not self.refused or self.buffer is None:
            return spool.take(), b""
        if spool.torn or spool.end - spool.at >= self.buffer:
            return spool.discard()
        try:
            return spool.take(), b""
        except OSError:  # the spool's disk is full as well
            return spool.discard()

    def write(self, spool: Spool, *, last: bool = False) -> None:
        """Append what waits in the spool; of what `OSError` stops nothing is lost."""
        if self.log is None:
            spool.advance(spool.end - spool.at, None)
            return
        while data := spool.waiting():
            all_of_it = len(data) == spool.end - spool.at
            done = self.log.encode(data, spool.name, spool.begun, last=last and all_of_it)
            if not done.used:
                break
            self._append(self.log, spool, done)
            if all_of_it and not self.log.full:
                break

    def _append(self, log: Log, spool: Spool, done: Encoded) -> None:
        if log.full:
            self._note(log.size, log.size, spool, 0)
            log.rotate()
        self._note(log.size, log.size + len(done.records), spool, done.used)
        log.append(done.records)
        spool.advance(done.used, done.begun)
        self.on_grown()

    def _note(self, before: int, after: int, spool: Spool, used: int) -> None:
        offsets = [n for s in self.spools for n in (s.at, s.at + used * (s is spool))]
        os.pwrite(self._cursor, CURSOR.pack(before, after, *offsets, *(0,) * (4 - len(offsets))), 0)

    def take_rest(self) -> None:
        """Copy what the pipes hold at this moment, though their writers have not ended."""
        for spool in self.spools:
            left = spool.in_pipe()
            while left > 0 and (moved := self.turn(spool)):
                left -= moved

    def waiting(self) -> list[int]:
        """Bytes in each pipe; none once it is closed."""
        return [0 if self.closed else spool.in_pipe() for spool in self.spools]

    def close(self) -> None:
        self.closed = True
        for spool in self.spools:
            spool.close()
        if self.log:
            self.log.close()
        if self._cursor >= 0:
            os.close(self._cursor)
