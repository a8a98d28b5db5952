"""Clients at a container's own process: what they hear, what they write, and what a slow or vanished one costs."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from engine.host import Channel
from engine.host.stdio import KernelStdio
from engine.host.stdio.channel import LIMIT, Attached
from engine.host.things import Output
from tests.engine.host.stdio.ports import ID, Make, fifos, follow_until, logs, make_it, output, shell, write

WITH_STDIN = Output(stdin=True)
PIPE = 64 * 1024
"""Bytes in a pipe (pipe(7))."""


async def heard(channel: Channel) -> dict[str, bytes]:
    """All that comes until the end."""
    said = {"stdout": b"", "stderr": b""}
    async for stream, data in channel.read():
        said[stream] += data
    return said


def open_files() -> list[str]:
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    return sorted(os.readlink(link) for link in links if os.path.lexists(link))


async def test_who_attaches_before_the_start_hears_the_first_and_the_last_byte_as_it_came(make: Make) -> None:
    stdio = make()
    early, second = stdio.attach(ID), stdio.attach(ID)
    hearing = [asyncio.create_task(heard(channel)) for channel in (early, second)]
    await make_it(stdio)
    raw = random.Random(1).randbytes(300_000)
    out, err = fifos(stdio)
    await asyncio.gather(asyncio.to_thread(write, out, raw), asyncio.to_thread(write, err, b"\xff\x00no newline"))
    await stdio.drop(ID)
    assert await asyncio.gather(*hearing) == [{"stdout": raw, "stderr": b"\xff\x00no newline"}] * 2


async def test_who_comes_later_hears_what_is_said_from_then_on(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    await shell(f"echo before > {fifos(stdio)[0]}")
    await follow_until(stdio, b"before\n")
    channel = stdio.attach(ID)
    await shell(f"echo after > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    assert await heard(channel) == {"stdout": b"after\n", "stderr": b""}


async def test_a_piece_without_a_newline_comes_at_once(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    channel = stdio.attach(ID)
    pipe = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    try:
        os.write(pipe, b"login: ")
        assert await anext(channel.read()) == ("stdout", b"login: ")
    finally:
        os.close(pipe)


async def test_a_terminal_has_one_stream_out_and_always_one_in(make: Make) -> None:
    stdio = make()
    output_of_terminal = Output(terminal=True)
    pipes = stdio.pipes(ID, output_of_terminal)
    assert (pipes.stderr, pipes.terminal, pipes.stdin != "") == ("", True, True)
    await stdio.make(ID, output_of_terminal)
    assert set(os.listdir(os.path.dirname(pipes.stdout))) >= {"stdin", "stdout"}
    assert not os.path.exists(os.path.join(os.path.dirname(pipes.stdout), "stderr"))
    channel = stdio.attach(ID)
    await asyncio.to_thread(write, pipes.stdout, b"$ \r\n")
    assert pipes.stdin in (await stdio.look(ID) or "")
    await stdio.drop(ID)
    assert await heard(channel) == {"stdout": b"$ \r\n", "stderr": b""}
    assert await output(stdio) == b"$ \r\n"


# Standard input


async def test_what_clients_write_arrives_whole_however_slowly_it_is_read(make: Make) -> None:
    stdio = make()
    channel = stdio.attach(ID)
    raw = random.Random(2).randbytes(400_000)
    early = asyncio.create_task(channel.write(raw))  # waits for the start
    await stdio.make(ID, WITH_STDIN)
    with open(stdio.pipes(ID, WITH_STDIN).stdin, "rb", buffering=0) as reader:
        got = await asyncio.to_thread(reader.read, 4096)
        assert not early.done()
        while len(got) < len(raw):
            got += await asyncio.to_thread(reader.read, 5000)
        await early
        assert got == raw
        await asyncio.gather(*(stdio.attach(ID).write(word) for word in (b"one", b"two")))
        assert sorted((reader.read(6)[:3], b"two")) == [b"one", b"two"]


async def test_closing_stdin_is_the_end_for_its_reader_and_writing_is_dropped(make: Make) -> None:
    first = make()
    await first.make(ID, WITH_STDIN)
    channel = first.attach(ID)
    await channel.write(b"all")
    path = first.pipes(ID, WITH_STDIN).stdin
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await first.close_stdin(ID)
        await channel.write(b"too late")
        assert os.read(reader, 100) == b"all"
        assert os.read(reader, 100) == b""
        await first.close()
        second = make()
        await second.make(ID, WITH_STDIN)
        assert os.read(reader, 100) == b"", "the next engine has opened it again"
    finally:
        os.close(reader)


async def test_a_writer_that_nobody_reads_is_free_when_it_leaves_and_when_the_process_ends(make: Make) -> None:
    stdio = make()
    await stdio.make(ID, WITH_STDIN)
    leaving, staying = stdio.attach(ID), stdio.attach(ID)
    writes = [asyncio.create_task(channel.write(b"x" * 2 * PIPE)) for channel in (leaving, staying)]
    await asyncio.sleep(0)  # the pipe is full, and both wait
    await leaving.close()
    await writes[0]
    assert not writes[1].done()
    await stdio.drop(ID)
    await writes[1]


async def test_without_standard_input_what_is_written_is_dropped(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    await stdio.attach(ID).write(b"x" * 2 * PIPE)
    await stdio.close_stdin(ID)


# Slow and vanished clients


async def waits_for_somebody(stdio: KernelStdio, pipe: int) -> int:
    """Write until the container has to wait for a client: how much it could write."""
    os.set_blocking(pipe, False)
    written = 0
    while True:
        try:
            written += os.write(pipe, b"x" * 4095 + b"\n")
        except BlockingIOError:
            if stdio._consoles[ID].audience.waited_for:
                return written
            await asyncio.sleep(0.001)


async def test_a_client_that_does_not_read_makes_its_container_wait_and_no_other(make: Make, tmp_path: Path) -> None:
    stdio = make()
    await make_it(stdio)
    (tmp_path / "containers/other").mkdir()
    await make_it(stdio, "other")
    channel, other = stdio.attach(ID), stdio.attach("other")
    pipe = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    try:
        written = await waits_for_somebody(stdio, pipe)
        assert LIMIT // 2 < written < LIMIT + 2 * PIPE
        await asyncio.to_thread(write, fifos(stdio, "other")[0], b"quick")
        assert await anext(other.read()) == ("stdout", b"quick")
        reading = channel.read()
        got = 0
        while got < written:
            got += len((await anext(reading))[1])
        assert await waits_for_somebody(stdio, pipe) > LIMIT // 2, "it does not go on"
    finally:
        os.close(pipe)


async def test_a_process_that_writes_as_fast_as_it_can_before_a_sleeping_client_costs_no_memory(make: Make) -> None:
    stdio = make(patience=0.0)
    await make_it(stdio)
    sleeper = stdio.attach(ID)
    loud = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exec yes > {fifos(stdio)[0]}")
    try:
        while not stdio._consoles[ID].audience.full():
            await asyncio.sleep(0.001)
        await stdio.look(ID)  # the copier has answered, so it has stopped taking
        assert isinstance(sleeper, Attached)
        assert sum(len(data) for _, data in sleeper._pieces) <= LIMIT + PIPE
        assert (await stdio.look(ID) or "").count(f"with {PIPE} bytes waiting") == 1
    finally:
        loud.kill()
        await loud.wait()
    await stdio.drop(ID)
    assert (await logs(stdio, tail=1))[0].log == b"y\n"


async def test_the_end_of_a_container_does_not_wait_for_a_client_and_nothing_is_lost_to_it(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    channel = stdio.attach(ID)
    pipe = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    try:
        written = await waits_for_somebody(stdio, pipe)
    finally:
        os.close(pipe)
    await stdio.drop(ID)
    assert len((await heard(channel))["stdout"]) == written == len(await output(stdio))


async def test_what_is_still_on_its_way_at_the_end_waits_for_no_client(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    channel = stdio.attach(ID)
    written = 2 * LIMIT
    writing = asyncio.create_task(shell(f"head -c {written} /dev/zero > {fifos(stdio)[0]}"))
    while not stdio._consoles[ID].audience.waited_for:
        await asyncio.sleep(0.001)
    assert not writing.done()
    await stdio.drain(ID)
    await writing
    await stdio.drop(ID)
    assert len((await heard(channel))["stdout"]) == written == len(await output(stdio))


@pytest.mark.parametrize("how", ["closed", "cancelled while it reads", "gone while the container waits for it"])
async def test_a_client_that_goes_frees_all_and_the_container_goes_on(make: Make, how: str) -> None:
    stdio = make()
    await make_it(stdio)
    before = open_files()
    channel = stdio.attach(ID)
    pipe = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    try:
        if how == "cancelled while it reads":
            reading = asyncio.create_task(heard(channel))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
        elif how == "gone while the container waits for it":
            await waits_for_somebody(stdio, pipe)
        await channel.close()
        await channel.close()
        assert stdio._consoles[ID].audience.channels == ()
        assert await anext(channel.read(), None) is None
        os.set_blocking(pipe, True)
        await asyncio.to_thread(os.write, pipe, b"more\n" * PIPE)
    finally:
        os.close(pipe)
    await follow_until(stdio, b"more\n")
    while open_files() != before:  # the copier may just be opening the pipe again, whose writer has gone
        await asyncio.sleep(0.001)
    await stdio.drop(ID)
    assert (await output(stdio)).count(b"more\n") == PIPE


async def test_who_leaves_before_the_start_leaves_nothing(make: Make) -> None:
    stdio = make()
    await stdio.attach(ID).close()
    assert stdio._consoles == {}


async def test_a_stopping_engine_ends_its_clients_and_the_container_says_the_rest_to_the_next(make: Make) -> None:
    first = make()
    await make_it(first)
    channel = first.attach(ID)
    await first.close()
    assert await heard(channel) == {"stdout": b"", "stderr": b""}
    await asyncio.to_thread(write, fifos(first)[0], b"said to nobody\n")
    second = make()
    await make_it(second)
    later = second.attach(ID)
    await asyncio.to_thread(write, fifos(second)[0], b"said to the next\n")
    await second.drop(ID)
    assert (await heard(later))["stdout"].endswith(b"said to the next\n")
    assert await output(second) == b"said to nobody\nsaid to the next\n"
