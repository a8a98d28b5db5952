"""Blobs on their way in: `<data root>/tmp/pull/<sha256>.part`, taken up where they were cut, verified to the last byte."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import IO, Any, Final

from engine.host.disk import make_directories, names, remove_file
from engine.host.distribution import Descriptor
from engine.host.tools import doing
from engine.model.errors import Invalid

ENDING: Final = ".part"
CHUNK: Final = 1 << 20
KEPT_SECONDS: Final = 24 * 3600.0
"""How long a part waits for a next pull."""

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="blob")
"""A pool of their own: the long work that waits for these bytes must not keep them waiting."""

Fetch = Callable[["Growing"], Awaitable[None]]
"""Brings what is missing, by `Growing.add`; comes back early when the connection was cut for good."""


async def _work(call: Callable[..., Any], *args: Any) -> Any:
    """Run a call in the pool. A wait that is cancelled waits for the thread all the same: it still has the file."""
    running = asyncio.get_running_loop().run_in_executor(_pool, partial(call, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class Growing:
    """A blob's file while it grows. The digest is made as the bytes come."""

    def __init__(self, path: str, blob: Descriptor, tell: Callable[[int], None]) -> None:
        self.path, self.blob, self._tell = path, blob, tell
        self.have = 0
        self._sum = hashlib.sha256()
        self._file: IO[bytes] | None = None

    async def open(self) -> None:
        """Take up what an earlier pull has left."""
        self.have = await _work(self._take_up)
        self._tell(self.have)

    async def add(self, chunk: bytes) -> None:
        """Raises `Invalid` when it becomes longer than it was said to be."""
        if self.have + len(chunk) > self.blob.size:
            await self.restart()
            raise Invalid(f"the blob {self.blob.digest} is longer than the {self.blob.size} bytes its manifest says")
        with doing(f"keep the blob {self.blob.digest}"):
            await _work(self._append, chunk)
        self.have += len(chunk)
        self._tell(self.have)

    async def restart(self) -> None:
        """Begin again with nothing."""
        await _work(self._empty)
        self.have = 0

    async def close(self) -> None:
        if self._file:
            await _work(self._file.close)

    @property
    def whole(self) -> bool:
        return self.have == self.blob.size

    @property
    def right(self) -> bool:
        return "sha256:" + self._sum.hexdigest() == self.blob.digest

    def _take_up(self) -> int:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(fd, "r+b", buffering=0)
        if os.fstat(fd).st_size > self.blob.size:
            self._file.truncate(0)
        have = 0
        while chunk := self._file.read(CHUNK):
            self._sum.update(chunk)
            have += len(chunk)
        return have

    def _append(self, chunk: bytes) -> None:
        assert self._file
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._sum.update(chunk)

    def _empty(self) -> None:
        assert self._file
        self._file.seek(0)
        self._file.truncate(0)
        self._sum = hashlib.sha256()


class Held:
    """A blob that somebody wants: fetched once for all of them."""

    def __init__(self, path: str, blob: Descriptor) -> None:
        self.path, self.blob = path, blob
        self.holders = 0
        self.spent = False
        self.reports: list[Callable[[int], None]] = []
        self.work: asyncio.Task[None] | None = None
        self.gone: asyncio.Future[None] | None = None
        """While the last holder lets go."""

    def tell(self, have: int) -> None:
        for report in self.reports:
            report(have)

    async def fetch(self, fetch: Fetch) -> None:
        growing = Growing(self.path, self.blob, self.tell)
        with doing(f"keep the blob {self.blob.digest}"):
            try:
                await growing.open()
                taken_up = growing.have
                if not growing.whole:
                    await fetch(growing)
                if taken_up and not growing.right:  # what lay there was not it
                    await growing.restart()
                    await fetch(growing)
                if not growing.right:
                    await growing.restart()
                    raise Invalid(f"filesystem layer verification failed for digest {self.blob.digest}: other bytes came")
            finally:
                await growing.close()

    async def read(self) -> AsyncIterator[bytes]:
        with doing(f"read the blob {self.blob.digest}"):
            file = await _work(open, self.path, "rb", 0)
            try:
                while chunk := await _work(file.read, CHUNK):
                    yield chunk
            finally:
                await _work(file.close)

    def spend(self) -> None:
        self.spent = True


class Parts:
    """All blobs on their way, by digest."""

    def __init__(self, root: str) -> None:
        self._directory = os.path.join(root, "tmp/pull")
        self._held: dict[str, Held] = {}

    @asynccontextmanager
    async def hold(self, blob: Descriptor, fetch: Fetch, report: Callable[[int], None]) -> AsyncIterator[Held]:
        """The blob, whole and verified. Two who want the same share the work; what nobody wants any more is kept as it is."""
        while (held := self._held.get(blob.digest)) and held.gone:
            await asyncio.shield(held.gone)
        if held is None:
            path = os.path.join(self._directory, blob.digest.removeprefix("sha256:") + ENDING)
            held = self._held[blob.digest] = Held(path, blob)
        held.holders += 1
        held.reports.append(report)
        try:
            await _work(self._prepare)
            if held.work is None or (held.work.done() and (held.work.cancelled() or held.work.exception())):
                held.work = asyncio.create_task(held.fetch(fetch))
            await asyncio.shield(held.work)
            yield held
        finally:
            held.reports.remove(report)
            held.holders -= 1
            if not held.holders:
                await self._let_go(held)

    async def _let_go(self, held: Held) -> None:
        """Nobody wants it any more: end the work on it, and remove the file if its content is in the store now."""
        held.gone = asyncio.get_running_loop().create_future()
        try:
            if held.work:
                held.work.cancel()
                await asyncio.wait([held.work])
            if held.spent:
                await _work(remove_file, held.path)
        finally:
            del self._held[held.blob.digest]
            held.gone.set_result(None)

    def _prepare(self) -> None:
        """Make the directory; remove what nobody has come back for."""
        make_directories(os.path.dirname(self._directory), 0o700)
        make_directories(self._directory, 0o700)
        wanted = {os.path.basename(held.path) for held in list(self._held.values())}
        for name in names(self._directory):
            path = os.path.join(self._directory, name)
            with suppress(FileNotFoundError):
                if name.endswith(ENDING) and name not in wanted and time.time() - os.stat(path).st_mtime > KEPT_SECONDS:
                    os.unlink(path)
