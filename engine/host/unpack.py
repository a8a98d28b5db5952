"""One layer on its way into its directory: inflated and hashed here, unpacked by a child that locks itself in (`untar.py`)."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from humanize import naturalsize
from msgspec import Struct

from engine.host import tarsplit
from engine.host.disk import write_all
from engine.host.inflate import Inflater
from engine.host.tools import REMEDIES, doing
from engine.host.untar import REFUSED, TOO_MANY
from engine.model.errors import EngineError, HostFailed, Invalid

T = TypeVar("T")

UNTAR: Final = os.path.join(os.path.dirname(__file__), "untar.py")
CHUNK: Final = 1 << 20
RESERVE: Final = 20
"""A twentieth of the disk is not filled with layers: a full disk hurts more than this engine, and an archive may be a bomb."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT)

_threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="unpack")
"""They wait for children and must not keep other long work waiting."""


class Unpacked(Struct, frozen=True):
    digest: str
    """Of the tar."""
    size: int
    """Bytes of the files."""


async def unpack(
    chunks: AsyncIterator[bytes], directory: str, split: str, what: str, report: Callable[[int], None] | None = None
) -> Unpacked:
    """Unpack a layer. `split`: the file that keeps what is no file's content (`tarsplit.py`).

    Raises `Invalid` for what no layer can be, `HostFailed` for what the host refuses. Both name `what`, and the entry.
    """
    reading, writing = os.pipe()
    feed = Feed(writing, what, room(directory))
    try:
        child = await _start(directory, split, reading)
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    said = asyncio.ensure_future(child.communicate())
    try:
        taken = 0
        async for chunk in together(chunks):
            if not await to_the_end(in_thread(feed.push, chunk), partial(_kill, child)):
                break  # the child has given up, and says why itself
            taken += len(chunk)
            if report:
                report(taken)
        digest = await to_the_end(in_thread(feed.end), partial(_kill, child))
        out, err = await asyncio.shield(said)
    except BaseException:
        _kill(child)
        raise
    finally:
        feed.close()
        await to_the_end(_ended(said))
    if child.returncode:
        raise _refusal(what, child, err.decode(errors="replace").strip(), feed)
    return Unpacked(digest, int(out))


def outlive(split: str) -> None:
    """Wait for the unpacker of an engine that was killed: its input has ended, so it does too. Blocks."""
    with suppress(FileNotFoundError), open(split, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


class Feed:
    """The pipe to the child. Everything blocks."""

    def __init__(self, fd: int, what: str, limit: int) -> None:
        self.size = 0
        """Bytes of the tar so far."""
        self.limit = limit
        self._fd = fd
        self._what = what
        self._digest = hashlib.sha256()
        self._inflater = Inflater(what)
        with suppress(OSError):  # a larger pipe is faster; the kernel may grant an unprivileged engine none
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CHUNK)

    def push(self, data: bytes) -> bool:
        """False when the child reads no more."""
        return self._write(self._inflater.feed(data))

    def end(self) -> str:
        self._write(self._inflater.finish())
        self.close()
        return "sha256:" + self._digest.hexdigest()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, pieces: Iterable[bytes]) -> bool:
        for piece in pieces:
            self.size += len(piece)
            if self.size > self.limit:
                raise no_room(self._what, self.size, self.limit)
            self._digest.update(piece)
            try:
                write_all(self._fd, piece)
            except BrokenPipeError:
                return False
        return True


def room(directory: str) -> int:
    """Bytes that may be written to a disk. Raises `OSError`."""
    disk = os.statvfs(directory)
    return max(0, disk.f_bavail - disk.f_blocks // RESERVE) * disk.f_frsize


def no_room(what: str, needed: int, free: int) -> HostFailed:
    takes = (
        f"at least {naturalsize(needed)}" if needed > free else f"more than {naturalsize(needed)}"
    )  # files take whole blocks
    sizes = f"it takes {takes}, and there is room for {naturalsize(free)}"
    sentence = f"cannot unpack {what}: {os.strerror(errno.ENOSPC)}: {sizes}"
    return HostFailed(sentence, REMEDIES[errno.ENOSPC], errno=errno.ENOSPC)


async def together(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in chunks that are worth a thread's while."""
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= CHUNK:
            yield held[0] if len(held) == 1 else b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def streamed(pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """What a blocking iterator yields, in larger chunks."""
    chunks = tarsplit.together(pieces)
    try:
        while chunk := await to_the_end(in_thread(next, chunks, b"")):
            yield chunk
    finally:
        await to_the_end(in_thread(chunks.close))  # what it has open is closed now


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, call, *args)


async def to_the_end(work: Coroutine[Any, Any, T], hurry: Callable[[], None] | None = None) -> T:
    """Wait for work that a cancelled wait does not cancel, but waits out: its threads could not be stopped anyway.

    `hurry` is called then, and makes it end soon.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if hurry:
            hurry()
        await asyncio.wait([task])
        raise


async def _start(directory: str, split: str, reading: int) -> Process:
    with doing("start the unpacker"):
        kept = os.open(split, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        fcntl.flock(kept, fcntl.LOCK_EX)  # the child's, for as long as it lives: see `outlive`
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-X", "utf8", UNTAR, directory, str(kept)),
                stdin=reading,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(kept,),
            )
        finally:
            os.close(kept)


def _kill(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()


async def _ended(said: asyncio.Future[Any]) -> None:
    await asyncio.wait([said])


def _refusal(what: str, child: Process, reason: str, feed: Feed) -> EngineError:
    code = child.returncode or 0
    if code in FULL:
        return no_room(f"{what}: {reason.removesuffix(f': {os.strerror(code)}')}", max(feed.size, feed.limit), feed.limit)
    sentence = f"cannot unpack {what}: {reason or f'the unpacker ended with {code}'}"
    code = errno.ENOSPC if code == TOO_MANY else code
    return Invalid(sentence) if code == REFUSED else HostFailed(sentence, REMEDIES.get(code, ""), errno=max(code, 0))
