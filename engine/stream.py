"""A process's standard streams over the engine's socket: the client's side of the takeover (Engine API, `attach`).

The request asks for `Upgrade: tcp`. After the answer `101 UPGRADED` the connection is no HTTP any more: what is sent is the
process's standard input as it is, what is received is its output, raw from a terminal, else in frames that name the stream:

    1 byte   stream: 1 standard output, 2 standard error, 3 an error of the engine
    3 bytes  zero
    4 bytes  length of what follows, big-endian
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from struct import Struct as Layout

import msgspec
from msgspec import Struct

from engine.model.errors import EngineError, Unavailable, by_status

MULTIPLEXED = "application/vnd.docker.multiplexed-stream"

HEADER = Layout(">B3xI")
NAMES = {1: "stdout", 2: "stderr"}
ERROR = 3

PIECE = 64 * 1024
"""Bytes read at once, and of a slow reader's backlog about twice that; then the engine waits."""


class _Error(Struct):
    message: str = ""
    status: int = 0


def refusal(status: int, body: bytes) -> EngineError:
    """The error that an answer which is no success stands for."""
    try:
        told = msgspec.json.decode(body, type=_Error)
    except msgspec.MsgspecError:
        told = _Error(message=body.decode(errors="replace").strip())
    return by_status(told.status or status, told.message or f"the engine answered {status} without a word")


class Stream:
    """The streams of one process. Close it: the process goes on, and so does an exec."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, framed: bool) -> None:
        self._reader, self._writer, self._framed = reader, writer, framed
        writer.transport.set_write_buffer_limits(0)  # what `write` has taken the kernel has

    async def read(self) -> AsyncGenerator[tuple[str, bytes], None]:
        """Pieces of `stdout` and `stderr`, from a terminal all `stdout`, until the output ends.

        Raises `Unavailable` when the engine goes away, `EngineError` when it cannot go on.
        """
        try:
            if not self._framed:
                while data := await self._reader.read(PIECE):
                    yield "stdout", data
                return
            while header := await self._header():
                kind, left = header
                if kind == ERROR:
                    raise EngineError((await self._reader.readexactly(left)).decode(errors="replace").strip())
                if kind not in NAMES:
                    raise EngineError(
                        f"cannot understand the engine: it sent a frame of stream {kind}", "is it of the same version?"
                    )
                while left:
                    data = await self._reader.read(min(left, PIECE))
                    if not data:
                        raise _gone("it has ended in the middle")
                    left -= len(data)
                    yield NAMES[kind], data
        except (OSError, asyncio.IncompleteReadError) as error:
            raise _gone(str(error)) from error

    async def _header(self) -> tuple[int, int] | None:
        try:
            kind, size = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None
        return kind, size

    async def write(self, data: bytes) -> None:
        """To the standard input; waits while the process does not read. Raises `Unavailable` when the session has ended."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise _gone(str(error)) from error

    async def close_stdin(self) -> None:
        """Say that no more input comes. Output still does."""
        try:
            if self._writer.can_write_eof():
                self._writer.write_eof()
        except OSError as error:
            raise _gone(str(error)) from error

    async def close(self) -> None:
        """Leave at once."""
        self._writer.transport.abort()


async def take_over(path: str, url: str, body: bytes = b"") -> Stream:
    """POST to the engine at a socket and take the connection over. Raises `Unavailable`, or what the engine answers instead."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=PIECE)
    except OSError as error:
        raise Unavailable(f"cannot reach the engine at {path}: {error}", "start it with longshored") from error
    try:
        head = f"POST {url} HTTP/1.1\r\nHost: longshore\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        kind = "Content-Type: application/json\r\n" if body else ""
        writer.write(f"{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, headers = await _answer(reader)
        if status not in (101, 200):
            length = int(headers.get("content-length", "-1"))
            raise refusal(status, await (reader.read() if length < 0 else reader.readexactly(length)))
        return Stream(reader, writer, framed=headers.get("content-type") == MULTIPLEXED)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.transport.abort()
        raise _gone(str(error)) from error
    except BaseException:
        writer.transport.abort()
        raise


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers of an HTTP answer. Raises `ValueError` for what is none."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    protocol, _, rest = first.partition(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError(f"it does not answer in HTTP but with {first[:40]!r}")
    pairs = (line.partition(":") for line in lines if line)
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _gone(why: str) -> Unavailable:
    return Unavailable(f"the connection to the engine is broken: {why}", "look whether longshored still runs")
