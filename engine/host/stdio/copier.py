"""The copier: one thread with one epoll that moves what every container writes into its log.

It sleeps while nobody writes. Whoever writes gets one turn of 16 KiB, then the next who has something gets one.
What the log cannot take stays in the spool and in the pipe, and the container waits; it is said, and tried again every second.
"""

from __future__ import annotations

import asyncio
import os
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from engine.host.stdio import jsonlog
from engine.host.stdio.spool import Spool
from engine.host.threads import short
from engine.model.errors import HostFailed, Unavailable

T = TypeVar("T")

STREAMS: Final = ("stdout", "stderr")

RETRY: Final = 1.0
"""Seconds between two tries of a log that cannot be written."""

CURSOR: Final = struct.Struct("=6Q")
"""The last append, noted before it is made: the log's size before and after, then each stream's offset before and after."""


class Copy:
    """One container's output. Lives in the copier's thread, except for its making."""

    def __init__(self, directory: str, log_path: str, on_grown: Callable[[], None]) -> None:
        """Take up where the last copy of this directory stopped, wherever it was killed. Raises `OSError`."""
        self.log_path = log_path
        self.on_grown = on_grown
        self.trouble = ""
        self.finished: Future[None] | None = None
        self._log = self._cursor = -1
        self.closed = False
        self.spools: list[Spool] = []
        try:
            self._log = os.open(log_path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._cursor = os.open(os.path.join(directory, "cursor"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for name in STREAMS:
                path = os.path.join(directory, name)
                self.spools.append(Spool(name, path, path + ".spool"))
            self._recover()
        except OSError:
            self.close()
            raise

    def _recover(self) -> None:
        note = os.pread(self._cursor, CURSOR.size, 0)
        before, after, *offsets = CURSOR.unpack(note) if len(note) == CURSOR.size else (0,) * 6
        torn = before <= os.fstat(self._log).st_size < after
        if torn:
            os.ftruncate(self._log, before)
        for spool, (old, new) in zip(self.spools, (offsets[:2], offsets[2:]), strict=True):
            spool.at = old if torn else new
        whole = jsonlog.tail_offset(self._log, 0)  # half a record is left only by a power loss, and so is zeroed space
        if whole < os.fstat(self._log).st_size:
            os.ftruncate(self._log, whole)

    def turn(self, spool: Spool) -> int | None:
        """One turn for one stream. Returns what `Spool.take` does; raises `OSError` when the spool or the log refuses."""
        moved = spool.take()
        self.write(spool)
        return moved

    def write(self, spool: Spool, *, last: bool = False) -> None:
        """Append what waits in the spool: all of it, or nothing and `OSError`."""
        done = jsonlog.encode(spool.waiting(), spool.name, datetime.now(UTC), begun=spool.begun, last=last)
        if not done.used:
            return
        size = os.fstat(self._log).st_size
        offsets = [n for s in self.spools for n in (s.at, s.at + done.used * (s is spool))]
        os.pwrite(self._cursor, CURSOR.pack(size, size + len(done.records), *offsets), 0)
        self._append(done.records, size)
        spool.advance(done.used, done.begun)
        self.on_grown()

    def _append(self, records: bytes, size: int) -> None:
        rest = memoryview(records)
        try:
            while rest:
                rest = rest[os.write(self._log, rest) :]
        except OSError:
            os.ftruncate(self._log, size)
            raise

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
        for fd in (self._log, self._cursor):
            if fd >= 0:
                os.close(fd)


class Copier:
    """The thread. Its methods are called from the event loop and answered by the thread."""

    def __init__(self, on_trouble: Callable[[], None]) -> None:
        """Made in the event loop's thread, where `on_trouble` is called when some copy's `trouble` has changed."""
        self._loop = asyncio.get_running_loop()
        self._on_trouble = on_trouble
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._streams: dict[int, tuple[Copy, Spool]] = {}
        self._copies: set[Copy] = set()
        self._again: set[int] = set()
        """Ended containers' streams that epoll need not report: what they hold may come without a further event."""
        self._due: dict[Copy, float] = {}
        """When to try a log again, or to wait no longer for the end of a stream."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="copier", daemon=True)
        self._thread.start()

    async def add(self, copy: Copy) -> None:
        """Copy from now on."""
        await self.ask(lambda: self._add(copy))

    async def finish(self, copy: Copy, patience: float) -> None:
        """Copy until both streams have ended, at most `patience` seconds, then close. After `HostFailed` the copy goes on."""
        await asyncio.wrap_future(await self.ask(lambda: self._finish(copy, patience)))

    async def close(self) -> None:
        """Stop. What is not copied stays where it is, for the next engine."""
        if self._thread.is_alive():
            await self.ask(self._stop)
            await short(self._thread.join)

    async def ask(self, call: Callable[[], T]) -> T:
        """Run a short call in the copier's thread, where the copies live."""
        if not self._thread.is_alive():
            raise Unavailable("cannot copy the containers' output: the copier has ended", "restart the engine")
        answer: Future[T] = Future()
        self._jobs.append((answer, call))
        os.eventfd_write(self._wake, 1)
        return await asyncio.wrap_future(answer)

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            while not self._stopping:
                for fd, _ in self._epoll.poll(self._pause()):
                    if fd == self._wake:
                        self._run_jobs()
                    else:
                        self._turn(fd)
                for fd in tuple(self._again):
                    self._turn(fd)
                self._keep_dates()
        finally:
            ended = Unavailable("cannot copy the containers' output: the copier has ended", "restart the engine")
            for waiting in [answer for answer, _ in self._jobs] + [copy.finished for copy in self._copies if copy.finished]:
                waiting.set_exception(ended)
            for copy in self._copies:
                copy.close()
            self._epoll.close()
            os.close(self._wake)

    def _pause(self) -> float:
        if self._again:
            return 0
        return max(0.0, min(self._due.values()) - time.monotonic()) if self._due else -1

    def _run_jobs(self) -> None:
        os.eventfd_read(self._wake)
        while self._jobs:
            answer, call = self._jobs.popleft()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(call())
            except OSError as error:
                answer.set_exception(error)

    def _add(self, copy: Copy) -> None:
        self._copies.add(copy)
        self._retry(copy)

    def _watch(self, copy: Copy, spool: Spool) -> None:
        self._streams[spool.fifo] = (copy, spool)
        self._epoll.register(spool.fifo, select.EPOLLIN)

    def _unwatch(self, spool: Spool) -> None:
        self._again.discard(spool.fifo)
        if self._streams.pop(spool.fifo, None):
            self._epoll.unregister(spool.fifo)

    def _turn(self, fd: int) -> None:
        copy, spool = self._streams.get(fd, (None, None))
        if copy is None or spool is None:
            return
        try:
            moved = copy.turn(spool)
        except OSError as error:
            self._refused(copy, error)
            return
        if not copy.finished:
            if moved == 0:
                self._unwatch(spool)
                spool.reopen()
                self._watch(copy, spool)
        elif moved == 0:
            self._unwatch(spool)
            if not any(s.fifo in self._streams for s in copy.spools):
                self._end(copy)
        elif moved is None:
            self._again.discard(fd)
        else:
            self._again.add(fd)

    def _refused(self, copy: Copy, error: OSError) -> None:
        """The log or the spool could not be written: leave all where it is and try again later."""
        for spool in copy.spools:
            self._unwatch(spool)
        sentence = f"cannot copy output to {copy.log_path}: {error.strerror}; the container waits until it can"
        if finished := copy.finished:
            copy.finished = None
            finished.set_exception(HostFailed(sentence, errno=error.errno or 0))
        self._due[copy] = time.monotonic() + RETRY
        self._say(copy, sentence)

    def _say(self, copy: Copy, sentence: str) -> None:
        if copy.trouble != sentence:
            copy.trouble = sentence
            self._loop.call_soon_threadsafe(self._on_trouble)

    def _retry(self, copy: Copy) -> bool:
        """Write what waits in the spools and, when that went well, watch the pipes."""
        self._due.pop(copy, None)
        try:
            for spool in copy.spools:
                copy.write(spool)
        except OSError as error:
            self._refused(copy, error)
            return False
        self._say(copy, "")
        for spool in copy.spools:
            if spool.fifo not in self._streams:
                self._watch(copy, spool)
        return True

    def _keep_dates(self) -> None:
        now = time.monotonic()
        for copy in [copy for copy, at in self._due.items() if at <= now]:
            if copy.finished:
                self._end(copy)
            else:
                self._retry(copy)

    def _finish(self, copy: Copy, patience: float) -> Future[None]:
        finished = copy.finished = Future()
        if self._retry(copy):
            self._due[copy] = time.monotonic() + patience
            self._again.update(spool.fifo for spool in copy.spools)
        return finished

    def _end(self, copy: Copy) -> None:
        try:
            copy.take_rest()
            for spool in copy.spools:
                copy.write(spool, last=True)
        except OSError as error:
            self._refused(copy, error)
            return
        for spool in copy.spools:
            self._unwatch(spool)
        self._due.pop(copy, None)
        self._copies.discard(copy)
        copy.close()
        if copy.finished:
            copy.finished.set_result(None)

    def _stop(self) -> None:
        self._stopping = True
