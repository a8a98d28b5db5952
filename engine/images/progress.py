"""What is told of work on images, as lines of Docker's progress streams, and work that several may wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

TICK: Final = 0.1
"""Seconds between two lines about the same bytes."""


class Bytes(Struct, frozen=True, omit_defaults=True):
    current: int = 0
    total: int = 0


class Line(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One object of a progress stream (Docker Engine API, `ImageCreate`)."""

    status: str = ""
    id: str = ""
    """What it is about: a layer's short digest, a tag."""
    progress_detail: Bytes | None = None
    aux: Any = None


Tell = Callable[[Line], None]


def short(digest: str) -> str:
    """Twelve characters, as Docker shows them."""
    return digest.removeprefix("sha256:")[:12]


class Meter:
    """Tells of bytes as they move: not more often than a person can see, and always of the last."""

    def __init__(self, tell: Tell, status: str, id: str, total: int) -> None:
        self._tell, self._status, self._id, self._total = tell, status, id, total
        self._last = 0.0

    def __call__(self, current: int) -> None:
        now = time.monotonic()
        if now - self._last >= TICK or current == self._total:
            self._last = now
            detail = Bytes(current=current, total=max(current, self._total))
            self._tell(Line(status=self._status, id=self._id, progress_detail=detail))


class _Job(Generic[T]):
    def __init__(self) -> None:
        self.listeners: list[Tell] = []
        self.shown: dict[str, Line] = {}
        """The last line about each thing, for those who come later."""
        self.task: asyncio.Task[T]

    def tell(self, line: Line) -> None:
        self.shown[line.id or line.status] = line
        for listener in self.listeners:
            listener(line)


class Shared(Generic[T]):
    """Work by key: whoever asks for what is under way joins it. It is cancelled when the last of them leaves."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, _Job[T]] = {}

    async def join(self, key: Hashable, work: Callable[[Tell], Awaitable[T]], tell: Tell) -> T:
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _Job()
            job.task = asyncio.create_task(self._do(key, job, work))
        for line in job.shown.values():
            tell(line)
        job.listeners.append(tell)
        try:
            return await asyncio.shield(job.task)
        finally:
            job.listeners.remove(tell)
            if not job.listeners:
                if self._jobs.get(key) is job:
                    del self._jobs[key]
                job.task.cancel()
                await asyncio.wait([job.task])

    async def _do(self, key: Hashable, job: _Job[T], work: Callable[[Tell], Awaitable[T]]) -> T:
        try:
            return await work(job.tell)
        finally:
            if self._jobs.get(key) is job:
                del self._jobs[key]


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group of tasks: the others were only cancelled by it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
