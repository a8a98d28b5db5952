"""Logs of several files: written, compressed, read, followed; and drivers that keep less, or nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.host.stdio import KernelStdio, copier
from engine.host.stdio.rotation import LogFiles
from engine.host.syscalls import MNT_DETACH, mount, umount2
from engine.host.things import LogQuery
from engine.model.errors import HostFailed, NotBuilt
from tests.engine.host.stdio.ports import ID, Make, fifos, logs, make_it, output, shell, write

SMALL = {"max-size": "1k", "max-file": "3"}
DRIVERS = pytest.mark.parametrize("driver", ["json-file", "local"])


def numbers(first: int, last: int) -> bytes:
    return b"".join(b"%d\n" % n for n in range(first, last + 1))


async def said(stdio: KernelStdio, **query: Any) -> bytes:
    return b"".join([line.log for line in await logs(stdio, **query)])


def names(path: str) -> set[str]:
    return set(os.listdir(os.path.dirname(path)))


@asynccontextmanager
async def talking(stdio: KernelStdio) -> AsyncIterator[int]:
    """A pipe to the container's stdout."""
    pipe = await asyncio.to_thread(os.open, fifos(stdio)[0], os.O_WRONLY)
    try:
        yield pipe
    finally:
        os.close(pipe)


@DRIVERS
async def test_only_so_many_files_and_bytes_are_kept_and_they_are_the_last(make: Make, driver: str) -> None:
    stdio = make()
    await make_it(stdio, driver=driver, options=SMALL | {"compress": "false"})
    await shell(f"seq 1 2000 > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    path = Path(stdio.log_path(ID, driver))
    files = [path, *(path.with_name(f"{path.name}.{number}") for number in (1, 2))]
    assert names(str(path)) == {file.name for file in files}
    assert all(1000 <= file.stat().st_size < 1100 for file in files[1:])
    assert path.stat().st_mode & 0o777 == 0o640
    kept = await said(stdio, driver=driver)
    first = int(kept.split()[0])
    assert 1900 < first < 2000
    assert kept == numbers(first, 2000)


async def test_with_one_file_a_full_one_is_begun_anew(make: Make) -> None:
    stdio = make()
    await make_it(stdio, options={"max-size": "1k"})
    await shell(f"seq 1 2000 > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    assert names(stdio.log_path(ID)) == {os.path.basename(stdio.log_path(ID))}
    kept = await said(stdio)
    assert 0 < len(kept) < 100
    assert kept == numbers(int(kept.split()[0]), 2000)


@DRIVERS
async def test_rotated_files_are_compressed_and_read_like_the_others(make: Make, driver: str) -> None:
    stdio = make()
    options = {"max-size": "20k", "max-file": "500", "compress": "true"}
    await make_it(stdio, driver=driver, options=options)
    await shell(f"seq 1 5000 > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    await make_it(stdio, driver=driver, options=options)  # what was not compressed at the end is now
    path = stdio.log_path(ID, driver)
    while packing := stdio._log_files(path)._packing:
        await asyncio.wrap_future(packing)
    base = os.path.basename(path)
    assert names(path) == {base, *(f"{base}.{number}.gz" for number in range(1, len(names(path))))}
    assert await said(stdio, driver=driver) == numbers(1, 5000)
    assert await said(stdio, driver=driver, tail=3500) == numbers(1501, 5000)
    assert await said(stdio, driver=driver, tail=9999) == numbers(1, 5000)


async def test_a_compressed_file_is_any_gzip_and_has_the_time_of_its_lines(make: Make) -> None:
    stdio = make()
    await make_it(stdio, options={"max-size": "20k", "max-file": "500", "compress": "true"})
    await shell(f"seq 1 600 > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    files = LogFiles(stdio.log_path(ID))
    write(files.path + ".gz.tmp", b"of a disk that was full")
    before = os.stat(files.path + ".1").st_mtime if os.path.exists(files.path + ".1") else None
    files.pack()
    while packing := files._packing:
        await asyncio.wrap_future(packing)
    packed = Path(files.path + ".1.gz")
    assert before in (None, packed.stat().st_mtime)
    assert {json.loads(line)["stream"] for line in gzip.decompress(packed.read_bytes()).splitlines()} == {"stdout"}


@DRIVERS
async def test_a_follower_goes_on_over_rotations_and_a_slow_one_hears_what_is_still_kept(make: Make, driver: str) -> None:
    stdio = make()
    await make_it(stdio, driver=driver, options={"max-size": "2k", "max-file": "1000", "compress": "true"})

    async def follow(slow: bool) -> bytes:
        got = b""
        async for line in stdio.read(ID, LogQuery(driver=driver, follow=True)):
            got += line.log
            if slow and line.log.endswith(b"00\n"):
                await asyncio.sleep(0.001)
        return got

    followers = [asyncio.create_task(follow(slow)) for slow in (False, True)]
    await shell(f"seq 1 3000 > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    assert await asyncio.gather(*followers) == [numbers(1, 3000)] * 2


async def test_a_follower_whose_file_is_long_gone_goes_on_with_the_oldest(make: Make) -> None:
    stdio = make()
    await make_it(stdio, options=SMALL)
    async with aclosing(stdio.read(ID, LogQuery(follow=True))) as lines, talking(stdio) as pipe:
        os.write(pipe, b"1\n")
        got = [(await anext(lines)).log]
        os.write(pipe, numbers(2, 2000))
        while got[-1] != b"2000\n":
            got.append((await anext(lines)).log)
    heard = [int(line) for line in got]
    assert heard == sorted(set(heard))
    assert len(heard) < 2000


async def test_reading_what_is_there_ends_though_the_container_goes_on_writing(make: Make) -> None:
    stdio = make(patience=0.0)
    await make_it(stdio, options={"max-size": "100k", "max-file": "4"})
    loud = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exec yes > {fifos(stdio)[0]}")
    try:
        for _ in range(3):
            assert {line.log for line in await logs(stdio, tail=2000)} <= {b"y\n"}
            await logs(stdio)
    finally:
        loud.kill()
        await loud.wait()


async def test_half_a_rotation_is_put_in_order_and_no_file_is_lost_by_it(make: Make) -> None:
    stdio = make()
    path = stdio.log_path(ID)
    record = '{"log":"%s\\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}\n'
    for name, word in (("", "d"), (".2", "c"), (".3.gz", "b"), (".3", "b"), (".5", "a")):
        data = (record % word).encode()
        write(path + name, gzip.compress(data) if name.endswith(".gz") else data)
    write(path + ".next", b"")
    write(path + ".gz.tmp", b"half a fi")
    await make_it(stdio, options={"max-size": "1m", "max-file": "9"})
    base = os.path.basename(path)
    assert names(path) == {base, base + ".1", base + ".2.gz", base + ".3"}
    assert await output(stdio) == b"a\nb\nc\nd\n"


async def test_a_damaged_compressed_file_is_said(make: Make) -> None:
    stdio = make()
    write(stdio.log_path(ID), b"")
    write(stdio.log_path(ID) + ".1.gz", gzip.compress(b"x" * 1000)[:-9])
    with pytest.raises(HostFailed, match="damaged"):
        await logs(stdio)


# Time windows


async def test_since_and_until_choose_lines_also_of_rotated_files(make: Make) -> None:
    stdio = make()
    path = stdio.log_path(ID)
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for file, name in enumerate((".2", ".1", "")):
        times = [start + timedelta(seconds=10 * file + n) for n in range(10)]
        lines = [f'{{"log":"{t.second}\\n","stream":"stdout","time":"{t.strftime("%Y-%m-%dT%H:%M:%SZ")}"}}\n' for t in times]
        write(path + name, "".join(lines).encode())
        os.utime(path + name, (0, times[-1].timestamp()))
    at = start + timedelta(seconds=15)
    assert await said(stdio, since=at) == numbers(20, 34)
    assert await said(stdio, until=at) == numbers(5, 20)
    assert await said(stdio, since=at, until=at + timedelta(seconds=2)) == numbers(20, 22)
    assert await said(stdio, since=at, tail=3) == numbers(32, 34)
    assert await said(stdio, since=at + timedelta(days=1)) == b""


async def test_following_ends_at_its_until(make: Make) -> None:
    stdio = make()
    await make_it(stdio)
    async with talking(stdio) as pipe:
        os.write(pipe, b"now\n")
        soon = datetime.now(UTC) + timedelta(seconds=0.3)
        assert [line.log async for line in stdio.read(ID, LogQuery(follow=True, until=soon))] == [b"now\n"]
        assert datetime.now(UTC) > soon
        os.write(pipe, b"later\n")
        async with aclosing(stdio.read(ID, LogQuery(follow=True, since=soon))) as lines:
            assert (await anext(lines)).log == b"later\n"


async def test_following_with_a_tail_of_nothing_gives_only_what_comes(make: Make) -> None:
    stdio = make()
    await make_it(stdio, options=SMALL)
    await shell(f"seq 1 100 > {fifos(stdio)[0]}")
    while await said(stdio, tail=1) != b"100\n":
        await asyncio.sleep(0.001)
    async with talking(stdio) as pipe, aclosing(stdio.read(ID, LogQuery(follow=True, tail=0))) as lines:
        coming = asyncio.ensure_future(anext(lines))
        while not coming.done():  # from when on it listens, nobody is told
            os.write(pipe, b"new\n")
            await asyncio.sleep(0.01)
        assert coming.result().log == b"new\n"


@pytest.mark.parametrize("packed", [False, True])
async def test_a_follower_that_goes_leaves_no_file_open_and_no_reader(make: Make, packed: bool) -> None:
    stdio = make()
    if packed:
        write(stdio.log_path(ID) + ".1.gz", gzip.compress(b""))
    await make_it(stdio)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        following = asyncio.create_task(anext(stdio.read(ID, LogQuery(follow=True))))
        await asyncio.sleep(0.001)
        following.cancel()
        await asyncio.wait([following])
    while stdio._open[ID].growth.readers or len(os.listdir("/proc/self/fd")) > before:
        await asyncio.sleep(0.001)


# Drivers and modes


async def test_attributes_are_with_every_line_of_either_driver(make: Make) -> None:
    stdio = make()
    attrs = {"tier": "front", "tag": "web/c0ffee"}
    for driver in ("json-file", "local"):
        await make_it(stdio, driver=driver, attrs=attrs)
        await asyncio.to_thread(write, fifos(stdio)[0], b"a\nb\n")
        await stdio.drop(ID)
        assert [line.attrs for line in await logs(stdio, driver=driver)] == [attrs, attrs]
    assert os.stat(os.path.dirname(stdio.log_path(ID, "local"))).st_mode & 0o777 == 0o700


async def test_none_keeps_nothing_takes_everything_and_lets_clients_hear(make: Make, tmp_path: Path) -> None:
    stdio = make()
    await make_it(stdio, driver="none")
    assert stdio.log_path(ID, "none") == ""
    assert "nowhere" in (await stdio.look(ID) or "")
    channel = stdio.attach(ID)
    await shell(f"echo first > {fifos(stdio)[0]}")
    assert await anext(channel.read()) == ("stdout", b"first\n")
    await channel.close()
    await shell(f"seq 1 100000 > {fifos(stdio)[0]}")
    await stdio.drop(ID)
    assert list((tmp_path / "containers" / ID).iterdir()) == []
    with pytest.raises(NotBuilt, match="configured logging driver does not support reading"):
        await logs(stdio, driver="none")


async def test_the_next_engine_ends_what_it_was_never_told_of(make: Make) -> None:
    first = make()
    await make_it(first, driver="local", terminal=True, attrs={"tier": "front"})
    await first.close()
    await asyncio.to_thread(write, fifos(first)[0], b"last words")
    second = make()
    await second.drop(ID)
    [line] = await logs(second, driver="local")
    assert (line.log, line.attrs) == (b"last words", {"tier": "front"})


@pytest.mark.parametrize("full", ["log", "log and spool"])
async def test_a_log_that_does_not_block_loses_whole_lines_and_never_makes_the_container_wait(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    monkeypatch.setattr(copier, "RETRY", 0.02)
    stdio = make()
    disk = str(tmp_path / "containers" / ID) if full == "log" else str(tmp_path)
    mount("tmpfs", disk, "tmpfs", data="size=4m")
    try:
        os.makedirs(tmp_path / "containers" / ID, exist_ok=True)
        troubles: asyncio.Queue[str] = asyncio.Queue()
        stdio.on_trouble(troubles.put_nowait)
        await make_it(stdio, options={"mode": "non-blocking", "max-buffer-size": "64k"})
        write(os.path.join(disk, "filler"), b"0" * 3_900_000)
        await shell(f"seq 1 200000 > {fifos(stdio)[0]}")  # ends, though nothing can be written
        assert "does not fit into its buffer is lost" in await troubles.get()
        os.unlink(os.path.join(disk, "filler"))
        while stdio._open[ID].copy.refused:
            await asyncio.sleep(0.001)
        await shell(f"echo back > {fifos(stdio)[0]}")
        await stdio.drop(ID)
        lines = (await output(stdio)).splitlines()
        assert lines[-1] == b"back"
        heard = [int(line) for line in lines[:-1]]
        assert heard == sorted(set(heard))
        assert 0 < len(heard) < 200_000
        if full == "log":
            assert heard[:9000] == list(range(1, 9001)), "the backlog was to be kept"
    finally:
        await stdio.drop(ID)
        await stdio.close()
        umount2(disk, MNT_DETACH)
