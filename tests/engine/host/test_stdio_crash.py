"""No line is lost and none doubled, whenever the engine is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import engine
from engine.host.stdio import KernelStdio, jsonlog

ID = "c0ffee"
LINES = 150_000
KILLS = 8

ENGINE = f"""
import asyncio, sys
from engine.host.stdio import KernelStdio

async def main():
    stdio = KernelStdio(*sys.argv[1:])
    await stdio.make("{ID}", stdio.log_path("{ID}"))
    print("copying", flush=True)
    await asyncio.Event().wait()

sys.stdin.readline()
asyncio.run(main())
"""

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parents[1])}


def output(log: Path) -> dict[str, bytes]:
    lines = jsonlog.decode(log.read_bytes())
    return {stream: b"".join(line.log for line in lines if line.stream == stream) for stream in ("stdout", "stderr")}


def kill_when_grown(pid: int, log: Path, size: int) -> None:
    """In one breath, or all would be said before the signal comes: the copier makes a megabyte in ten milliseconds."""
    while os.stat(log).st_size < size:
        pass
    os.kill(pid, signal.SIGKILL)


async def test_killed_while_output_flows_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(seed := random.randrange(2**32))
    print("seed", seed)
    roots = (str(tmp_path), str(tmp_path / "run"))
    stdio = KernelStdio(*roots)
    log = Path(stdio.log_path(ID))
    await asyncio.to_thread(log.parent.mkdir, parents=True)
    engines: list[Process] = []
    writers: list[Process] = []
    try:
        for _ in range(KILLS):
            command = (sys.executable, "-c", ENGINE, *roots)
            engines.append(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=ENVIRONMENT))
        for child in engines:
            assert child.stdin
            assert child.stdout
            child.stdin.write(b"\n")
            assert await child.stdout.readline() == b"copying\n"
            if not writers:
                for path, first in zip(stdio.paths(ID), (0, LINES), strict=True):
                    writers.append(await asyncio.create_subprocess_shell(f"exec seq {first} {first + LINES} > {path}"))
            enough = os.stat(log).st_size + chance.randrange(1, 500_000)
            await asyncio.to_thread(kill_when_grown, child.pid, log, enough)
            assert await child.wait() == -signal.SIGKILL
            assert [writer.returncode for writer in writers] == [None, None], "killed when all was said already"
        await stdio.make(ID, str(log))
        assert [await writer.wait() for writer in writers] == [0, 0]
        await stdio.drop(ID, str(log))
    finally:
        for process in (*engines, *writers):
            if process.returncode is None:
                process.kill()
                await process.wait()
        await stdio.drop(ID, str(log))
        await stdio.close()
    got = await asyncio.to_thread(output, log)
    assert got["stdout"] == b"".join(b"%d\n" % n for n in range(LINES + 1))
    assert got["stderr"] == b"".join(b"%d\n" % n for n in range(LINES, 2 * LINES + 1))


async def test_killed_before_in_and_after_every_call_that_changes_something(tmp_path: Path) -> None:
    """Equal lines too: what is in the log already cannot be told from what waits by looking at it."""
    for name in ("stdout", "stderr"):
        os.mkfifo(tmp_path / name)
    crasher = Path(__file__).with_name("stdio_crasher.py")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(crasher), str(tmp_path), str(tmp_path / "log"), stdout=PIPE, env=ENVIRONMENT
    )
    said, _ = await child.communicate()
    assert child.returncode == 0
    report = json.loads(said)
    assert len(report["statuses"]) == 33
    assert [case for case in report["statuses"] if case[2] != signal.SIGKILL] == []
    got = await asyncio.to_thread(output, tmp_path / "log")
    numbers = b"".join(b"%d\n" % n for n in range(report["stdout"] // 4))
    assert got["stdout"] == numbers[: report["stdout"]]
    assert got["stderr"] == (b"y\n" * report["stderr"])[: report["stderr"]]
