"""The copier: one thread with one epoll that moves what every container writes into its log.

It sleeps while nobody writes. Whoever writes gets one turn of 16 KiB, then the next who has something gets one.
What the log cannot take stays in the spool and in the pipe, and the container waits; it is said, and tried again every second.
A container also waits while one of its attached clients does not read. Others are not slowed by either.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from engine.host.stdio.channel import LAST, LIMIT
from engine.host.stdio.copying import Copy
from engine.host.stdio.spool import Spool
from engine.host.threads import short
from engine.model.errors import HostFailed, Unavailable

T = TypeVar("T")

RETRY: Final = 1.0
"""Seconds between two tries of a log that cannot be written."""
LONGEST: Final = 30.0
"""Seconds to copy what still comes after a container's end: somebody may have left a process that never falls silent."""


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

    async def drain(self, copy: Copy, patience: float, *, close: bool = False) -> None:
        """Copy until both streams have ended, or nothing has come for `patience` seconds; `close`: then go no further.

        After `HostFailed` the copy goes on.
        """
        await asyncio.wrap_future(await self.ask(lambda: self._drain(copy, patience, close)))

    async def close(self) -> None:
        """Stop. What is not copied stays where it is, for the next engine."""
        if self._thread.is_alive():
            await self.ask(self._stop)
            await short(self._thread.join)
        if self._wake >= 0:
            os.close(self._wake)  # in the thread that writes to it: by then the number may be another file's
            self._wake = -1

    async def ask(self, call: Callable[[], T]) -> T:
        """Run a short call in the copier's thread, where the copies live."""
        if not self._thread.is_alive():
            raise Unavailable("cannot copy the containers' output: the copier has ended", "restart the engine")
        return await asyncio.wrap_future(self._post(call))

    def _post(self, call: Callable[[], T]) -> Future[T]:
        answer: Future[T] = Future()
        self._jobs.append((answer, call))
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)
        return answer

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
        if copy.audience.full(LAST if copy.finished else LIMIT):
            self._hold(copy)
        elif not copy.finished:
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
            self._wait_longer(copy)

    def _hold(self, copy: Copy) -> None:
        """A client is slow: take no more from the container until there is room, or, at its end, only what is left."""
        if copy.finished:
            self._end(copy)
            return
        for spool in copy.spools:
            self._unwatch(spool)
        copy.audience.wait_for(partial(self._post, partial(self._go_on, copy)))

    def _go_on(self, copy: Copy) -> None:
        if not copy.closed and copy not in self._due:
            self._watch_all(copy)

    def _refused(self, copy: Copy, error: OSError) -> None:
        """The log or the spool could not be written: leave all where it is and try again later."""
        copy.refused = True
        if copy.buffer is None:
            self._wait_for_log(copy, error)
            return
        self._due.setdefault(copy, time.monotonic() + RETRY)
        self._say(copy, f"cannot copy output to {copy.target}: {error.strerror}; what does not fit into its buffer is lost")

    def _wait_for_log(self, copy: Copy, error: OSError) -> None:
        for spool in copy.spools:
            self._unwatch(spool)
        sentence = f"cannot copy output to {copy.target}: {error.strerror}; the container waits until it can"
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
            if copy.buffer is None:
                return False
        else:
            copy.refused = False
            self._say(copy, "")
        if not copy.audience.waited_for:
            self._watch_all(copy)
        return True

    def _watch_all(self, copy: Copy) -> None:
        for spool in copy.spools:
            if spool.fifo not in self._streams:
                self._watch(copy, spool)

    def _keep_dates(self) -> None:
        now = time.monotonic()
        for copy in [copy for copy, at in self._due.items() if at <= now]:
            if copy.finished:
                self._end(copy)
            else:
                self._retry(copy)

    def _drain(self, copy: Copy, patience: float, close: bool) -> Future[None]:
        finished = copy.finished = Future()
        copy.closing, copy.patience, copy.give_up = close, patience, time.monotonic() + max(patience, LONGEST)
        if self._retry(copy):
            self._watch_all(copy)
            self._wait_longer(copy)
            self._again.update(spool.fifo for spool in copy.spools)
        return finished

    def _wait_longer(self, copy: Copy) -> None:
        self._due[copy] = min(time.monotonic() + copy.patience, copy.give_up)

    def _end(self, copy: Copy) -> None:
        try:
            copy.take_rest()
            for spool in copy.spools:
                copy.write(spool, last=True)
        except OSError as error:
            if copy.buffer is None:
                self._refused(copy, error)
                return
        for spool in copy.spools:
            self._unwatch(spool)
        self._due.pop(copy, None)
        finished, copy.finished = copy.finished, None
        if copy.closing:
            self._copies.discard(copy)
            copy.close()
        else:
            self._watch_all(copy)
        if finished:
            finished.set_result(None)

    def _stop(self) -> None:
        self._stopping = True
