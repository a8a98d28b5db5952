"""Archives between the engine and a file, a pipe, or another command."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from engine.model.errors import HostFailed, Invalid

CHUNK: Final = 1 << 20
STANDARD: Final = "-"


def bytes_of(path: str) -> AsyncIterator[bytes]:
    """A file, or with `-` the standard input, in pieces. Raises `HostFailed`; `Invalid` where it is a terminal."""
    if path != STANDARD:
        try:
            return _pieces(open(path, "rb"))
        except OSError as error:
            raise HostFailed(f"cannot read {path}: {error.strerror}", "give an archive that you may read") from error
    if sys.stdin.isatty():
        raise Invalid("the standard input is a terminal", "give a file, or pipe an archive in")
    return _pieces(sys.stdin.buffer)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        kind = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
            async for chunk in _piped(file):
                yield chunk
        else:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk


async def _piped(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Not with a thread: nobody could interrupt one that waits for a pipe."""
    reader = asyncio.StreamReader(limit=CHUNK)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    try:
        while chunk := await reader.read(CHUNK):
            yield chunk
    finally:
        transport.close()


async def write_to(path: str | None, chunks: AsyncIterator[bytes]) -> None:
    """Write an archive to a file, or to the standard output. There is no such file before it is whole.

    Raises `HostFailed`; `Invalid` for a terminal, which it would leave in disorder.
    """
    if path is None:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    with _whole(Path(path)) as file:
        async for chunk in chunks:
            file.write(chunk)


def refuse_terminal(path: str | None) -> None:
    """Raises `Invalid` where an archive would be written to a terminal."""
    if path is None and sys.stdout.isatty():
        raise Invalid("cowardly refusing to save to a terminal", "use -o, or redirect the standard output")


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    try:
        if path.exists() and not path.is_file():  # a pipe, a device
            with path.open("wb") as file:
                yield file
            return
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            os.rename(partial, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial)
            raise
    except OSError as error:
        raise HostFailed(f"cannot write {path}: {error.strerror}", "give another file with -o") from error
