"""The port `Stdio` on real FIFOs with real writers."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.host.stdio import KernelStdio, copier
from engine.host.syscalls import MNT_DETACH, mount, umount2
from engine.host.things import LogQuery
from engine.model.errors import HostFailed
from tests.engine.host.stdio.ports import ID, Make, fifos, follow_until, is_there, logs, make_it, output, read, shell, write


async def test_what_a_process_says_on_both_streams_is_in_the_log_in_order(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    out, err = fifos(stdio)
    await shell(f"seq 1 20000 > {out}; seq 1 300 > {err}; printf 'no newline' > {out}")
    await stdio.drop(ID)
    assert await output(stdio) == b"".join(b"%d\n" % n for n in range(1, 20001)) + b"no newline"
    assert await output(stdio, "stderr") == b"".join(b"%d\n" % n for n in range(1, 301))
    assert os.stat(stdio.log_path(ID)).st_mode & 0o777 == 0o640


async def test_made_and_dropped_twice_with_evidence_between(make: Make) -> None:
    stdio = make()
    await stdio.drop(ID)
    assert await stdio.look(ID) is None
    await make_it(stdio)
    await make_it(stdio)
    evidence = await stdio.look(ID) or ""
    assert all(path in evidence for path in (*fifos(stdio), stdio.log_path(ID)))
    await stdio.drop(ID)
    await stdio.drop(ID)
    assert await stdio.look(ID) is None
    assert not is_there(os.path.dirname(fifos(stdio)[0]))


async def test_only_root_gets_near_the_pipes(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    directory = Path(fifos(stdio)[0]).parent
    assert [path.stat().st_mode & 0o777 for path in (directory.parent, directory)] == [0o700, 0o700]


async def test_a_pipe_deleted_behind_our_back_is_no_evidence(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    os.unlink(fifos(stdio)[1])
    assert await stdio.look(ID) is None


async def test_a_second_run_is_added_to_the_log(make: Make) -> None:
    stdio = make()
    for words in (b"first\n", b"second\n"):
        await make_it(stdio)
        await asyncio.to_thread(write, fifos(stdio)[0], words)
        await stdio.drop(ID)
    assert await output(stdio) == b"first\nsecond\n"


async def test_a_writer_may_go_and_another_come(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    for words in (b"one\n", b"two\n", b"three\n"):
        await asyncio.to_thread(write, fifos(stdio)[0], words)
        await follow_until(stdio, words)
    await stdio.drop(ID)
    assert await output(stdio) == b"one\ntwo\nthree\n"


async def test_without_a_log_directory_there_is_an_error_and_dropping_still_works(make: Make) -> None:
    stdio = make()
    with pytest.raises(HostFailed, match="copy the output of nodir"):
        await make_it(stdio, "nodir")
    await stdio.drop("nodir")
    assert await stdio.look("nodir") is None


# The next engine


async def test_output_of_a_container_that_ended_while_no_engine_lived_is_kept(make: Make) -> None:
    first = make()
    await make_it(first)
    await first.close()
    said = b"".join(b"%d\n" % n for n in range(9000))
    await asyncio.to_thread(write, fifos(first)[0], said)  # opening for writing would block if nobody held the pipe
    second = make()
    await make_it(second)
    await second.drop(ID)
    assert await output(second) == said


async def test_the_next_engine_may_drop_without_making(make: Make) -> None:
    first = make()
    await make_it(first)
    await first.close()
    await asyncio.to_thread(write, fifos(first)[0], b"last words")
    second = make()
    assert "nobody copies" in (await second.look(ID) or "")
    await second.drop(ID)
    assert await output(second) == b"last words"


async def test_half_a_record_left_by_a_power_loss_is_cut_off(make: Make) -> None:
    stdio = make()
    whole = b'{"log":"old\\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}\n'
    write(stdio.log_path(ID), whole + whole[:20])
    await make_it(stdio)
    await asyncio.to_thread(write, fifos(stdio)[0], b"new\n")
    await stdio.drop(ID)
    assert await output(stdio) == b"old\nnew\n"


async def test_a_drop_killed_half_way_is_ended_by_the_next(make: Make) -> None:
    stdio = make()
    directory = os.path.dirname(fifos(stdio)[0])
    os.makedirs(f"{directory}-removing/left")
    await make_it(stdio)
    await stdio.drop(ID)
    assert not is_there(f"{directory}-removing")


# The end of output


async def test_a_left_over_process_that_holds_the_pipe_does_not_hold_up_the_drop(make: Make) -> None:
    stdio = make(patience=0.05)
    await make_it(stdio)
    held = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    try:
        os.write(held, b"a line\nand a half")
        await stdio.drop(ID)
    finally:
        os.close(held)
    assert await output(stdio) == b"a line\nand a half"


async def end_with_a_late_writer(stdio: KernelStdio, end: Callable[[str], Coroutine[Any, Any, None]], last: bytes) -> None:
    """`end` is under way when a line comes, and not over before the writer has gone, after its last words."""
    held = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    ending = asyncio.create_task(end(ID))
    try:
        os.write(held, b"late\n")
        await follow_until(stdio, b"late\n")
        assert not ending.done()
        os.write(held, last)
    finally:
        os.close(held)
    await ending


async def test_the_drop_waits_for_the_last_writer(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    await end_with_a_late_writer(stdio, stdio.drop, b"later\n")
    assert await output(stdio) == b"late\nlater\n"


async def test_drained_it_has_all_that_was_said_and_copies_what_still_comes(make: Make) -> None:
    stdio = make()
    await stdio.drain(ID)
    await make_it(stdio)
    await end_with_a_late_writer(stdio, stdio.drain, b"later")
    assert await output(stdio) == b"late\nlater"
    await asyncio.to_thread(write, fifos(stdio)[0], b"again\n")
    await follow_until(stdio, b"again\n")
    await stdio.drain(ID)
    await stdio.drop(ID)
    assert await output(stdio) == b"late\nlateragain\n"


async def test_the_end_is_waited_for_as_long_as_something_comes(make: Make) -> None:
    stdio = make(patience=0.2)
    await make_it(stdio)
    writing = asyncio.create_task(shell(f"for i in 1 2 3 4 5 6; do sleep 0.1; echo $i; done > {fifos(stdio)[0]}"))
    await follow_until(stdio, b"1\n")
    await stdio.drain(ID)
    assert await output(stdio) == b"1\n2\n3\n4\n5\n6\n"
    await writing


async def test_a_left_over_process_that_never_falls_silent_is_not_waited_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copier, "LONGEST", 0.3)
    stdio = make(patience=0.2)
    await make_it(stdio)
    loud = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exec yes > {fifos(stdio)[0]}")
    try:
        await follow_until(stdio, b"y\n")
        await stdio.drain(ID)
        await stdio.drop(ID)
        assert await loud.wait() == -signal.SIGPIPE  # nobody reads any more
    finally:
        with suppress(ProcessLookupError):
            loud.kill()


# Reading


async def test_a_follower_sees_lines_as_they_come_and_ends_with_the_drop(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    pipe = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    lines = stdio.read(ID, LogQuery(follow=True))
    try:
        for n in range(50):
            os.write(pipe, b"%d\n" % n)
            assert (await anext(lines)).log == b"%d\n" % n
        os.write(pipe, b"end")
    finally:
        os.close(pipe)
    await stdio.drop(ID)
    assert [line.log async for line in lines] == [b"end"]


async def test_many_followers_each_get_all_and_a_slow_one_too(make: Make) -> None:
    stdio = make()
    await make_it(stdio)

    async def follow(slowly: bool) -> bytes:
        got = b""
        async for line in stdio.read(ID, LogQuery(follow=True)):
            got += line.log
            if slowly and len(got) % 50 == 0:
                await asyncio.sleep(0)
        return got

    followers = [asyncio.create_task(follow(slowly)) for slowly in (True, False, False)]
    await shell(f"seq 1 5000 > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    assert await asyncio.gather(*followers) == [b"".join(b"%d\n" % n for n in range(1, 5001))] * 3


async def test_tail_gives_the_last_lines_and_then_what_comes(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    out = fifos(stdio)[0]
    await shell(f"seq 1 30000 > {out}")
    await follow_until(stdio, b"30000\n")
    assert [line.log for line in await logs(stdio, tail=2)] == [b"29999\n", b"30000\n"]
    assert await logs(stdio, tail=0) == []
    lines = stdio.read(ID, LogQuery(follow=True, tail=1))
    assert (await anext(lines)).log == b"30000\n"
    await asyncio.to_thread(write, out, b"more\n")
    assert (await anext(lines)).log == b"more\n"
    await stdio.drop(ID)
    assert [line async for line in lines] == []


async def test_no_log_and_no_engine_that_copies_end_a_reader_at_once(make: Make) -> None:
    stdio = make()
    assert [line async for line in stdio.read(ID, LogQuery(follow=True))] == []
    await make_it(stdio)
    await asyncio.to_thread(write, fifos(stdio)[0], b"said\n")
    await stdio.drop(ID)
    assert [line.log async for line in stdio.read(ID, LogQuery(follow=True))] == [b"said\n"]


# Neighbours


async def test_a_container_that_writes_as_fast_as_it_can_starves_nobody_and_fills_nothing(make: Make, tmp_path: Path) -> None:
    stdio = make(patience=0.0)
    await make_it(stdio)
    (tmp_path / "containers/quiet").mkdir()
    await make_it(stdio, "quiet")
    loud = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exec yes {'x' * 700} > {fifos(stdio)[0]}")
    try:
        async for _ in stdio.read(ID, LogQuery(follow=True)):
            if os.stat(stdio.log_path(ID)).st_size > 2**22:
                break
        for n in range(20):
            words = b"%d\n" % n
            await asyncio.to_thread(write, fifos(stdio, "quiet")[0], words)
            await follow_until(stdio, words, "quiet")
        assert loud.returncode is None
        spool = os.stat(fifos(stdio)[0] + ".spool")
        assert spool.st_size > 2**22
        assert spool.st_blocks * 512 <= 2**18
    finally:
        loud.kill()
        await loud.wait()
    await stdio.drop("quiet")
    assert await output(stdio, id="quiet") == b"".join(b"%d\n" % n for n in range(20))


async def test_idle_containers_cost_nothing_also_when_their_writers_have_gone(make: Make, tmp_path: Path) -> None:
    stdio = make()
    ids = [f"idle{n}" for n in range(30)]
    for id in ids:
        (tmp_path / "containers" / id).mkdir()
        await make_it(stdio, id)
        await asyncio.to_thread(write, fifos(stdio, id)[0], b"done\nhalf")
        await follow_until(stdio, b"done\n", id)
    thread = next(t for t in threading.enumerate() if t.name == "copier")
    schedstat = Path(f"/proc/self/task/{thread.native_id}/schedstat")
    await stdio.look(ids[-1])  # the thread has answered, so it is about to sleep
    runs = set()
    for _ in range(100):
        runs.add(read(schedstat))
        await asyncio.sleep(0.002)
    assert len(runs) <= 3, "the copier runs though nothing happens"


# Bad days


async def test_a_full_disk_is_said_the_container_waits_and_no_line_is_lost(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copier, "RETRY", 0.02)
    stdio = make()
    directory = str(tmp_path / "containers" / ID)
    mount("tmpfs", directory, "tmpfs", data="size=1m")
    try:
        filler = os.path.join(directory, "filler")
        write(filler, b"0" * 900_000)
        troubles: asyncio.Queue[str] = asyncio.Queue()
        stdio.on_trouble(troubles.put_nowait)
        await make_it(stdio)
        writer = asyncio.create_task(shell(f"seq 1 10000 > {fifos(stdio)[0]}"))
        assert "No space left on device" in await troubles.get()
        assert "No space left on device" in (await stdio.look(ID) or "")
        with pytest.raises(HostFailed, match="No space left on device"):
            await stdio.drop(ID)
        assert await stdio.look(ID) is not None
        os.unlink(filler)
        assert await troubles.get() == ""
        await writer
        await stdio.drop(ID)
        assert await output(stdio) == b"".join(b"%d\n" % n for n in range(1, 10001))
    finally:
        umount2(directory, MNT_DETACH)


async def test_a_log_truncated_by_somebody_goes_on_from_there(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    for words in (b"old\n", b"new\n"):
        await asyncio.to_thread(write, fifos(stdio)[0], words)
        await follow_until(stdio, words)
        if words == b"old\n":
            os.truncate(stdio.log_path(ID), 0)
    await stdio.drop(ID)
    assert await output(stdio) == b"new\n"
