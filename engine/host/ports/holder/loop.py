"""Who is called when a socket has something to say."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

SPARE = 64
"""File descriptors that relaying leaves for whoever asks for ports."""

EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
"""For a handler that goes on until the kernel would make it wait."""

Call = Callable[[int], None]
"""Is given epoll's events."""


class Loop:
    """One epoll, turns for those who are not done yet, and an end for those who are silent for too long."""

    def __init__(self, idle: float, most: int = 1024) -> None:
        """`idle`: seconds of silence. `most`: file descriptors that this process may have."""
        self.room = most - SPARE
        self.most_timed = most // 4
        self._idle = idle
        self._now = time.monotonic()
        self._poll = select.epoll()
        self._calls: dict[int, Call] = {}
        self._again: set[Callable[[], None]] = set()
        self._timed: OrderedDict[Hashable, tuple[float, Callable[[], None]]] = OrderedDict()

    def watch(self, sock: socket.socket, call: Call, events: int = select.EPOLLIN) -> None:
        self._poll.register(sock, events)
        self._calls[sock.fileno()] = call

    def change(self, sock: socket.socket, call: Call, events: int = select.EPOLLIN) -> None:
        self._poll.modify(sock, events)
        self._calls[sock.fileno()] = call

    def close(self, sock: socket.socket) -> None:
        """Closed already is fine."""
        self._calls.pop(sock.fileno(), None)
        sock.close()

    def accept(self, listener: socket.socket) -> socket.socket | None:
        """Who waits to be accepted; None: nobody does, or the host is short of something."""
        try:
            return listener.accept()[0]
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                time.sleep(0.01)  # files or memory: they will be as short in a moment, and epoll would call at once
            return None

    def again(self, call: Callable[[], None]) -> None:
        """It has more to do, but it is another's turn."""
        self._again.add(call)

    def not_again(self, call: Callable[[], None]) -> None:
        self._again.discard(call)

    def heard(self, key: Hashable, end: Callable[[], None]) -> None:
        """Call `end` when nothing is heard of it for too long, or when there are too many, the most silent one first."""
        self._timed[key] = self._now, end
        self._timed.move_to_end(key)
        if len(self._timed) > self.most_timed:
            self._end_oldest()

    def forget(self, key: Hashable) -> None:
        self._timed.pop(key, None)

    def turn(self, longest: float | None = None) -> None:
        """Wait for something, at most so many seconds (None: for ever), and serve everybody once."""
        ready = self._poll.poll(self._wait(longest))
        self._now = time.monotonic()
        again, self._again = self._again, set()
        for call in again:
            call()
        for fd, events in ready:
            if handler := self._calls.get(fd):
                handler(events)
        while self._timed and self._silent_until() <= self._now:
            self._end_oldest()

    def _wait(self, longest: float | None) -> float | None:
        if self._again:
            return 0
        if not self._timed:
            return longest
        silent = max(0.0, self._silent_until() - time.monotonic())
        return silent if longest is None else min(longest, silent)

    def _silent_until(self) -> float:
        last, _ = next(iter(self._timed.values()))
        return last + self._idle

    def _end_oldest(self) -> None:
        _, (_, end) = self._timed.popitem(last=False)
        end()
