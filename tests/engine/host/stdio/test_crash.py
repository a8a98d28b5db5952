"""No line is lost and none doubled, whenever the engine is killed, also while it rotates the log."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import msgspec
import pytest

import engine
from engine.host.stdio import KernelStdio
from engine.host.stdio.logfile import FORMATS
from engine.host.stdio.reader import Reader
from engine.host.stdio.rotation import LogFiles
from engine.host.things import LogQuery, Output
from tests.engine.host.stdio.crasher import EQUAL

ID = "c0ffee"
LINES = 150_000
KILLS = 8

ENGINE = f"""
import asyncio, sys, msgspec
from engine.host.stdio import KernelStdio
from engine.host.things import Output

async def main():
    stdio = KernelStdio(*sys.argv[1:3])
    await stdio.make("{ID}", msgspec.json.decode(sys.argv[3], type=Output))
    print("copying", flush=True)
    await asyncio.Event().wait()

sys.stdin.readline()
asyncio.run(main())
"""

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parents[1])}

ROTATED = {"max-size": "500k", "max-file": "1000", "compress": "true"}
OFTEN = {**ROTATED, "max-size": "60k"}


async def output(log: str, driver: str) -> dict[str, bytes]:
    said: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    async for line in Reader(LogFiles(log), FORMATS[driver], None, LogQuery()).lines():
        said[line.stream].append(line.log)
    return {stream: b"".join(lines) for stream, lines in said.items()}


def log_size(log: Path) -> int:
    """Bytes in the files, roughly: they are rotated meanwhile."""
    return sum(map(size_of, log.parent.glob(log.name + "*")))


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size * (20 if path.suffix == ".gz" else 1)
    except FileNotFoundError:
        return 0


def kill_when_grown(pid: int, log: Path, size: int) -> None:
    """In one breath, or all would be said before the signal comes: the copier makes a megabyte in ten milliseconds."""
    while log_size(log) < size:
        pass
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("options", [{}, ROTATED], ids=["plain", "rotated"])
async def test_killed_while_output_flows_again_and_again(tmp_path: Path, options: dict[str, str]) -> None:
    chance = random.Random(seed := random.randrange(2**32))
    print("seed", seed)
    roots = (str(tmp_path), str(tmp_path / "run"))
    asked = Output(options=options)
    stdio = KernelStdio(*roots)
    log = Path(stdio.log_path(ID))
    await asyncio.to_thread((tmp_path / "containers" / ID).mkdir, parents=True)
    engines: list[Process] = []
    writers: list[Process] = []
    try:
        for _ in range(KILLS):
            command = (sys.executable, "-c", ENGINE, *roots, msgspec.json.encode(asked))
            engines.append(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=ENVIRONMENT))
        for child in engines:
            assert child.stdin
            assert child.stdout
            child.stdin.write(b"\n")
            assert await child.stdout.readline() == b"copying\n"
            if not writers:
                pipes = stdio.pipes(ID, asked)
                for path, first in zip((pipes.stdout, pipes.stderr), (0, LINES), strict=True):
                    writers.append(await asyncio.create_subprocess_shell(f"exec seq {first} {first + LINES} > {path}"))
            enough = log_size(log) + chance.randrange(1, 500_000)
            await asyncio.to_thread(kill_when_grown, child.pid, log, enough)
            assert await child.wait() == -signal.SIGKILL
            assert [writer.returncode for writer in writers] == [None, None], "killed when all was said already"
        await stdio.make(ID, asked)
        assert [await writer.wait() for writer in writers] == [0, 0]
        await stdio.drop(ID)
    finally:
        for process in (*engines, *writers):
            if process.returncode is None:
                process.kill()
                await process.wait()
        await stdio.drop(ID)
        await stdio.close()
    got = await output(str(log), "json-file")
    assert got["stdout"] == b"".join(b"%d\n" % n for n in range(LINES + 1))
    assert got["stderr"] == b"".join(b"%d\n" % n for n in range(LINES, 2 * LINES + 1))
    assert bool(options) == any(log.parent.glob(log.name + ".*"))


@pytest.mark.parametrize(("driver", "options"), [("json-file", {}), ("json-file", OFTEN), ("local", OFTEN)])
async def test_killed_before_in_and_after_every_call_that_changes_something(
    tmp_path: Path, driver: str, options: dict[str, str]
) -> None:
    """Equal lines too: what is in the log already cannot be told from what waits by looking at it."""
    for name in ("stdout", "stderr"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "log").mkdir()
    log = str(tmp_path / "log/log")
    crasher = Path(__file__).with_name("crasher.py")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(crasher), str(tmp_path), log, driver, json.dumps(options), stdout=PIPE, env=ENVIRONMENT
    )
    said, _ = await child.communicate()
    assert child.returncode == 0
    report: dict[str, Any] = json.loads(said)
    assert len(report["statuses"]) == (51 if options else 33)
    assert [case for case in report["statuses"] if case[-1] != signal.SIGKILL] == []
    got = await output(log, driver)
    numbers = b"".join(b"%d\n" % n for n in range(report["stdout"] // 4))
    assert got["stdout"] == numbers[: report["stdout"]]
    assert got["stderr"] == (EQUAL * (report["stderr"] // len(EQUAL) + 1))[: report["stderr"]]
    if options:
        left = {path.name for path in (tmp_path / "log").iterdir()}
        assert left == {"log", *(f"log.{number}.gz" for number in range(1, len(left)))}
