"""A terminal, a pipe and a file joined to a stream, and given back as they were."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import signal
import sys
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.wire import frame
from engine.model.errors import Invalid
from tests.tui.terminals import PATIENCE, Terminal, terminal
from tui.talk import detach_sequence

TALKER = (sys.executable, "-m", "tests.tui.talker")
ENDED, DETACHED, UNREAD = 0, 3, 5


class Far(NamedTuple):
    """The other end of the stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def says(self, data: bytes) -> None:
        self.writer.write(data)

    async def hears(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def hears_all(self) -> bytes:
        """Until the end of the input."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()


class Line:
    """A socket at which a talker calls."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.calls: asyncio.Queue[Far] = asyncio.Queue()

    def called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls.put_nowait(Far(reader, writer))

    async def call(self) -> Far:
        async with asyncio.timeout(PATIENCE):
            return await self.calls.get()


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    line = Line(str(tmp_path / "s"))
    server = await asyncio.start_unix_server(line.called, line.path)
    async with server:
        yield line


@asynccontextmanager
async def ending(process: Process) -> AsyncIterator[Process]:
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def code(process: Process) -> int:
    async with asyncio.timeout(PATIENCE):
        return await process.wait()


async def test_a_terminal_is_raw_meanwhile_and_then_as_it_was(line: Line) -> None:
    async with terminal() as screen:
        before, blocking = screen.attributes, fcntl.fcntl(screen.inner, fcntl.F_GETFL)
        async with ending(await screen.run(*TALKER, line.path, "tty", "stdin")) as talker:
            far = await line.call()
            assert await far.hears(7) == b"<80x24>", "the size, though it was not taken at first"
            assert screen.raw
            assert fcntl.fcntl(screen.inner, fcntl.F_GETFL) == blocking, "nobody else's reads are made to fail"
            screen.type(b"\x03\x1a\x1c\r\xff")
            assert await far.hears(5) == b"\x03\x1a\x1c\r\xff", "keys are the process's, signals too"
            screen.size(100, 30)
            assert await far.hears(8) == b"<100x30>"
            far.says(b"\x1b[1mbold\r\n")
            await screen.shows("\x1b[1mbold\n")
            far.writer.close()
            assert await code(talker) == ENDED
        assert screen.attributes == before


async def test_the_detach_keys_leave_and_no_later_key_is_taken(line: Line) -> None:
    async with terminal() as screen:
        before = screen.attributes
        async with ending(await screen.run(*TALKER, line.path, "tty", "stdin", "line")) as talker:
            far = await line.call()
            await far.hears(7)
            screen.type(b"\x10x")
            assert await far.hears(2) == b"\x10x", "half of the keys is nothing"
            screen.type(b"a\x10")
            assert await far.hears(2) == b"a\x10"
            screen.type(b"\x11")
            assert await far.hears_all() == b"\x11"
            await screen.until(lambda: screen.attributes == before)
            screen.type("for the next\n")
            await screen.shows("then: 'for the next\\n'")
            assert await code(talker) == DETACHED


async def test_detach_keys_of_ones_own(line: Line) -> None:
    async with terminal() as screen, ending(await screen.run(*TALKER, line.path, "tty", "stdin", "keys=a,a,b")) as talker:
        far = await line.call()
        await far.hears(7)
        screen.type("\x10\x11aaabrest")
        assert await far.hears_all() == b"\x10\x11aaab"
        assert await code(talker) == DETACHED


async def test_without_a_terminal_nothing_detaches_and_the_end_is_passed_on(line: Line) -> None:
    process = await asyncio.create_subprocess_exec(*TALKER, line.path, "stdin", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    async with ending(process) as talker:
        far = await line.call()
        sent = bytes(range(256)) * 4096
        assert talker.stdin and talker.stdout and talker.stderr
        talker.stdin.write(sent)
        talker.stdin.close()
        assert await far.hears_all() == sent, "binary, whatever is in it"
        far.says(frame(1, sent) + frame(2, b"apart") + frame(1, b"end"))
        far.writer.close()
        out, err = await asyncio.wait_for(asyncio.gather(talker.stdout.read(), talker.stderr.read()), PATIENCE)
        assert (out, err) == (sent + b"end", b"apart")
        assert await code(talker) == ENDED


@pytest.mark.parametrize("stdin", ["/dev/null", __file__])
async def test_the_input_may_be_a_file(line: Line, stdin: str) -> None:
    with open(stdin, "rb") as file:
        async with ending(await asyncio.create_subprocess_exec(*TALKER, line.path, "stdin", stdin=file)) as talker:
            far = await line.call()
            assert await far.hears_all() == Path(stdin).read_bytes()
            far.writer.close()
            assert await code(talker) == ENDED


async def test_a_slow_reader_does_not_keep_the_input_back(line: Line) -> None:
    read, write = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(*TALKER, line.path, "stdin", stdin=PIPE, stdout=write)
        async with ending(process) as talker:
            far = await line.call()
            far.says(frame(1, bytes(1 << 20)))
            pipe_full = fcntl.fcntl(read, fcntl.F_GETPIPE_SZ)
            async with asyncio.timeout(PATIENCE):
                while waiting(read) < pipe_full:
                    await asyncio.sleep(0.005)
            assert talker.stdin
            talker.stdin.write(b"still here")
            assert await far.hears(10) == b"still here"
    finally:
        os.close(read)
        os.close(write)


def waiting(fd: int) -> int:
    """Bytes in a pipe (FIONREAD, pipe(7))."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


async def test_nobody_reads_any_more(line: Line) -> None:
    read, write = os.pipe()
    async with ending(await asyncio.create_subprocess_exec(*TALKER, line.path, stdout=write)) as talker:
        far = await line.call()
        os.close(read)
        os.close(write)
        far.says(frame(1, b"for nobody"))
        assert await code(talker) == UNREAD


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
async def test_a_signal_ends_it_and_the_terminal_is_as_it_was(line: Line, number: signal.Signals) -> None:
    async with terminal() as screen:
        before = screen.attributes
        async with ending(await screen.run(*TALKER, line.path, "tty", "stdin")) as talker:
            await (await line.call()).hears(7)
            assert screen.raw
            talker.send_signal(number)
            assert await code(talker) == -number
        assert screen.attributes == before


async def test_the_stream_breaks_and_the_terminal_is_as_it_was(line: Line) -> None:
    async with terminal() as screen:
        before = screen.attributes
        async with ending(await screen.run(*TALKER, line.path, "stdin", "tty")) as talker:
            far = await line.call()
            await far.hears(7)
            screen.type("never read")
            far.writer.transport.abort()
            assert await code(talker) in (ENDED, 1)
        assert screen.attributes == before


async def test_a_terminal_that_goes_away_is_the_end_of_the_input(line: Line) -> None:
    screen = Terminal()
    async with ending(await screen.run(*TALKER, line.path, "tty", "stdin")) as talker:
        far = await line.call()
        await far.hears(7)
        screen.close()
        await far.hears_all()
        far.writer.close()
        assert await code(talker) in (ENDED, -signal.SIGHUP), "the kernel sends SIGHUP too"


def test_detach_keys() -> None:
    assert detach_sequence("") == detach_sequence("ctrl-p,ctrl-q") == b"\x10\x11"
    assert detach_sequence("ctrl-a,d") == b"\x01d"
    assert detach_sequence("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,Z") == b"\x00\x1b\x1c\x1d\x1e\x1fZ"
    for text in ("ctrl-", "ctrl-A", "ctrl-1", "ab", "a,,b", "alt-x", "ä", ","):
        with pytest.raises(Invalid, match="to detach with"):
            detach_sequence(text)


@given(st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1))
def test_a_letter_with_control_is_its_number(letters: list[str]) -> None:
    assert list(detach_sequence(",".join(f"ctrl-{letter}" for letter in letters))) == [ord(x) - 96 for x in letters]
