"""What can be typed, on a real engine and on none."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path

import pytest

from engine import __version__
from engine.model.status import Status
from tests.conftest import SpawnEngine
from tests.tui.commands import longshore

SLEEPER = {"Image": "busybox", "Cmd": ["sleep", "600"], "StopSignal": "SIGKILL"}


async def test_version() -> None:
    assert await longshore("--version") == (0, f"longshore {__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--host", "tcp://1.2.3.4:2375"), "cannot reach 'tcp://1.2.3.4:2375': an engine is reached by a Unix socket only"),
        (("--read-only",), "there is no terminal to show the dashboard on"),
        (("--host", "unix:///nowhere/engine.sock", "engine", "status"), "no engine answers at /nowhere/engine.sock"),
        (("--host", "unix:///nowhere/engine.sock", "engine", "stop"), "no engine answers at /nowhere/engine.sock"),
        (("--host", "unix:///nowhere/engine.sock", "engine", "logs"), "there is no log at /nowhere/longshored.log"),
    ],
)
async def test_what_goes_wrong_is_one_sentence(args: tuple[str, ...], says: str) -> None:
    said = await longshore(*args)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"longshore: {says}") and said.err.count("\n") == 1


async def test_an_engine_is_told_of_and_ended(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    async with place.client() as client:
        await client.do("create", "", {"name": "one", "body": SLEEPER})
        await client.do("create", "", {"name": "two", "body": SLEEPER})
        await client.do("start", "one")
    host = ("--host", f"unix://{place.socket}")

    told = await longshore(*host, "engine", "status")
    assert told.code == 0, told.err
    rows = dict(line.split(maxsplit=1) for line in told.out.splitlines())
    assert rows["engine"] == f"longshored {__version__}, process {place.pid}"
    assert rows["containers"] == "2: 1 created, 1 running"
    assert rows["containerd"][0].isdecimal(), "a version, not a trouble"

    ended = await longshore(*host, "engine", "stop")
    assert ended == (0, "The engine has ended; its containers run on.\n", "")
    assert place.process and await place.process.wait() == 0

    await place.start()
    async with place.client() as client:
        assert (await client.inspect("one")).status is Status.RUNNING
    ended = await longshore(*host, "engine", "stop", "--containers")
    assert ended == (0, "The engine and its containers have ended.\n", "")
    assert await place.process.wait() == 0
    assert not place.left()


async def test_the_log_is_shown_and_followed(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    log = Path(place.socket).with_name("longshored.log")
    log.write_text("first\n")
    assert await longshore("--host", f"unix://{place.socket}", "engine", "logs") == (0, "first\n", "")
    following = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tui", "--host", f"unix://{place.socket}", "engine", "logs", "--follow"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert following.stdout
    try:
        assert await following.stdout.readline() == b"first\n"
        with log.open("a") as file:
            file.write("second\n")
        assert await following.stdout.readline() == b"second\n"
    finally:
        following.terminate()
        await following.wait()


async def test_the_dashboard_opens_in_a_terminal_and_gives_it_back(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    async with place.client() as client:
        await client.do("create", "", {"name": "moored", "body": SLEEPER})
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    dashboard = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tui", "--host", f"unix://{place.socket}"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(terminal)
    seen = bytearray()
    shown = asyncio.Event()

    def read() -> None:
        try:
            seen.extend(os.read(screen, 65536))
        except OSError:  # EIO: the last one who had the terminal open is gone
            asyncio.get_running_loop().remove_reader(screen)
        if b"moored" in seen:
            shown.set()

    asyncio.get_running_loop().add_reader(screen, read)
    try:
        async with asyncio.timeout(30):
            await shown.wait()
            os.write(screen, b"q")
            assert await dashboard.wait() == 0
    finally:
        if dashboard.returncode is None:
            dashboard.kill()
            await dashboard.wait()
        asyncio.get_running_loop().remove_reader(screen)
        os.close(screen)
    assert b"\x1b[?1049l" in seen, "the terminal's own screen is back"
    assert place.alive
