"""The streams of execs: any bytes, of any size, unchanged; and nothing left."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Callable

import pytest

from engine.host import ExecStreams
from engine.host.stdio import KernelStdio
from tests.engine.host.stdio.ports import ID, Make

EXEC = "ba5eba11"
MANY = 100_000_000


async def opened(stdio: KernelStdio, *, stdin: bool = False, terminal: bool = False) -> ExecStreams:
    return await stdio.open_exec(ID, EXEC, stdin=stdin, terminal=terminal)


def files(stdio: KernelStdio) -> list[str]:
    return [os.path.join(path, name) for path, _, names in os.walk(stdio._exec_dir) for name in names]


async def process(command: str, streams: ExecStreams) -> asyncio.subprocess.Process:
    """A program on the FIFOs, as the shim would run it."""
    pipes = streams.pipes
    said = (
        f"> {pipes.stdout}"
        + (f" 2> {pipes.stderr}" if pipes.stderr else " 2>&1")
        + (f" < {pipes.stdin}" if pipes.stdin else "")
    )
    return await asyncio.create_subprocess_exec("/bin/sh", "-c", f"{{ {command}; }} {said}")


async def heard(streams: ExecStreams) -> dict[str, bytes]:
    said = {"stdout": b"", "stderr": b""}
    async for stream, data in streams.read():
        said[stream] += data
    return said


async def test_both_streams_apart_to_their_ends_and_then_nothing_is_left(make: Make) -> None:
    stdio = make()
    streams = await opened(stdio)
    assert await stdio.execs() == [(ID, EXEC)]
    child = await process("echo out; echo err >&2; printf '\\0end'", streams)
    assert await heard(streams) == {"stdout": b"out\n\0end", "stderr": b"err\n"}
    assert await child.wait() == 0
    await streams.finish()
    await streams.finish()
    assert (files(stdio), await stdio.execs()) == ([], [])


async def test_a_hundred_megabytes_pass_unchanged(make: Make) -> None:
    streams = await opened(make(), stdin=True)
    child = await process("exec cat", streams)
    piece = random.Random(3).randbytes(1_000_000)

    async def write() -> None:
        for _ in range(MANY // len(piece)):
            await streams.write(piece)
        await streams.close_stdin()

    writing = asyncio.create_task(write())
    got, size = hashlib.sha256(), 0
    async for stream, data in streams.read():
        assert stream == "stdout"
        got.update(data)
        size += len(data)
    await writing
    assert await child.wait() == 0
    assert size == MANY
    assert got.digest() == hashlib.sha256(piece * (MANY // len(piece))).digest()
    await streams.finish()


async def test_a_terminal_has_one_stream(make: Make) -> None:
    streams = await opened(make(), terminal=True)
    assert (streams.pipes.stderr, streams.pipes.terminal) == ("", True)
    child = await process("read word; echo $word; echo err >&2", streams)
    await streams.write(b"word\n")
    assert await heard(streams) == {"stdout": b"word\nerr\n", "stderr": b""}
    await child.wait()
    await streams.finish()


async def test_a_reader_that_sleeps_makes_the_process_wait_and_loses_nothing(make: Make) -> None:
    streams = await opened(make())
    child = await process("seq 1 200000", streams)
    await asyncio.sleep(0.05)
    assert child.returncode is None, "its output went somewhere"
    assert (await heard(streams))["stdout"] == b"".join(b"%d\n" % n for n in range(1, 200_001))
    await child.wait()
    await streams.finish()


@pytest.mark.parametrize("reading", [True, False])
async def test_when_its_client_goes_the_process_runs_to_its_end(make: Make, reading: bool) -> None:
    stdio = make()
    streams = await opened(stdio)
    child = await process("seq 1 200000; seq 1 200000 >&2", streams)
    client = asyncio.create_task(heard(streams)) if reading else None
    await asyncio.sleep(0)
    await streams.close()
    assert await child.wait() == 0
    if client:
        await client
    await streams.finish()
    assert files(stdio) == []


async def test_a_cancelled_reader_and_then_another(make: Make) -> None:
    streams = await opened(make())
    first = asyncio.create_task(heard(streams))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    child = await process("echo out", streams)
    assert (await heard(streams))["stdout"] == b"out\n"
    await child.wait()
    await streams.finish()


async def test_what_waits_when_it_is_finished_is_still_read(make: Make) -> None:
    """A child of the process has inherited its output and goes on holding it."""
    streams = await opened(make())
    held = os.open(streams.pipes.stdout, os.O_WRONLY)
    try:
        os.write(held, b"last words")
        reading = asyncio.create_task(heard(streams))
        await streams.finish()
        assert await reading == {"stdout": b"last words", "stderr": b""}
    finally:
        os.close(held)


async def test_the_next_engine_takes_up_what_is_left(make: Make) -> None:
    first = make()
    streams = await opened(first, stdin=True)
    shim = [os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in (streams.pipes.stdout, streams.pipes.stderr)]
    try:
        os.write(shim[0], b"said to nobody")
        await first.close()
        second = make()
        assert await second.execs() == [(ID, EXEC)]
        again = await opened(second, stdin=True)
        assert await anext(again.read()) == ("stdout", b"said to nobody")
        await again.finish()
        assert await second.execs() == []
    finally:
        for fd in shim:
            os.close(fd)


async def test_a_removal_killed_half_way_is_seen_and_ended(make: Make) -> None:
    stdio = make()
    streams = await opened(stdio)
    directory = os.path.dirname(streams.pipes.stdout)
    await streams.finish()
    os.makedirs(directory + "-removing/left")
    assert await stdio.execs() == [(ID, EXEC)]
    await (await opened(stdio)).finish()
    assert os.listdir(stdio._exec_dir) == []


@pytest.mark.parametrize("end", [lambda streams: streams.finish(), lambda streams: streams.close()])
async def test_a_reader_and_a_writer_that_wait_are_freed_by_the_end(make: Make, end: Callable[[ExecStreams], object]) -> None:
    streams = await opened(make(), stdin=True)
    reading = asyncio.create_task(heard(streams))
    writing = asyncio.create_task(streams.write(b"x" * 200_000))
    await asyncio.sleep(0)
    await end(streams)  # type: ignore[misc]
    await asyncio.gather(reading, writing)
    await streams.finish()


async def test_thousands_leak_nothing(make: Make) -> None:
    stdio = make()

    async def one(number: int) -> None:
        streams = await stdio.open_exec(ID, f"e{number}", stdin=True, terminal=False)
        await streams.write(b"x")
        await streams.finish()

    await one(0)
    before = len(os.listdir("/proc/self/fd"))
    for start in range(0, 1000, 100):
        await asyncio.gather(*(one(start + n) for n in range(100)))
    assert len(os.listdir("/proc/self/fd")) <= before
    assert os.listdir(stdio._exec_dir) == []
