"""The keeper as a process: found, started again, and gone when it is not needed."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.host.stdio.keeping import Keeper
from engine.model.errors import HostFailed
from tests.engine.host.helpers import ended
from tests.engine.host.helpers import helpers as keepers


def held(pid: int) -> set[str]:
    """The FIFOs a process has open; none when it ends meanwhile."""
    try:
        fds = [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
        return {os.readlink(fd) for fd in fds if stat.S_ISFIFO(os.stat(fd).st_mode)}
    except FileNotFoundError:
        return set()


async def one_that_holds(path: Path, fifos: set[str]) -> int:
    """Wait for the keeper that nobody asked for anything, so that nothing tells of it."""
    while True:
        for pid in keepers(path):
            if held(pid) == fifos:
                return pid
        await asyncio.sleep(0.005)


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """Path of the keeper's socket; no keeper is left."""
    for name in ("one", "two"):
        os.mkfifo(tmp_path / name)
    socket = tmp_path / "keeper.sock"
    yield socket
    for pid in keepers(socket):
        os.kill(pid, signal.SIGKILL)


async def test_it_holds_for_reading_and_lets_go(path: Path) -> None:
    keeper = Keeper(str(path), lambda: None)
    one, two = str(path.with_name("one")), str(path.with_name("two"))
    await keeper.hold(one)
    await keeper.hold(two)
    await keeper.hold(two)
    [pid] = keepers(path)
    assert held(pid) == {one, two}
    os.close(os.open(one, os.O_WRONLY | os.O_NONBLOCK))  # ENXIO without a reader
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    await keeper.drop(two)
    await keeper.drop(two)
    assert held(pid) == {one}
    await keeper.drop(one)
    assert held(pid) == set()
    await keeper.close()
    await ended(pid)


async def test_the_next_engine_finds_it(path: Path) -> None:
    first = Keeper(str(path), lambda: None)
    one = str(path.with_name("one"))
    await first.hold(one)
    [pid] = keepers(path)
    await first.close()
    second = Keeper(str(path), lambda: None)
    await second.hold(one)
    assert keepers(path) == [pid]
    await second.drop(one)
    await second.close()
    await ended(pid)
    assert keepers(path) == []


async def test_killed_it_is_started_again_at_once_and_holds_all(path: Path) -> None:
    keeper = Keeper(str(path), lambda: None)
    one = str(path.with_name("one"))
    await keeper.hold(one)
    [first] = keepers(path)
    os.kill(first, signal.SIGKILL)
    await ended(first)
    second = await one_that_holds(path, {one})
    await keeper.drop(one)
    await keeper.close()
    await ended(second)


async def test_killed_and_asked_at_the_same_moment(path: Path) -> None:
    keeper = Keeper(str(path), lambda: None)
    one, two = str(path.with_name("one")), str(path.with_name("two"))
    await keeper.hold(one)
    [first] = keepers(path)
    os.kill(first, signal.SIGKILL)
    await keeper.hold(two)
    [second] = [pid for pid in keepers(path) if pid != first]
    assert held(second) == {one, two}
    await keeper.drop(one)
    await keeper.drop(two)
    await keeper.close()
    await ended(second)


async def test_when_it_ends_its_socket_is_gone(path: Path) -> None:
    keeper = Keeper(str(path), lambda: None)
    await keeper.hold(str(path.with_name("one")))
    [pid] = keepers(path)
    await keeper.drop(str(path.with_name("one")))
    await keeper.close()
    await ended(pid)
    assert set(os.listdir(path.parent)) == {"one", "two"}


async def test_what_cannot_be_held_is_said(path: Path) -> None:
    keeper = Keeper(str(path), lambda: None)
    with pytest.raises(HostFailed, match="No such file or directory"):
        await keeper.hold(str(path.with_name("none")))
    await keeper.drop(str(path.with_name("none")))
    await keeper.close()


async def test_a_keeper_that_cannot_start_is_said(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path / "no directory" / "keeper.sock"), lambda: None)
    with pytest.raises(HostFailed, match=r"cannot start the keeper of the containers' output: .*No such file"):
        await keeper.hold(str(tmp_path / "one"))
    await keeper.close()


async def test_dropping_starts_none(path: Path) -> None:
    keeper = Keeper(str(path), lambda: None)
    await keeper.drop(str(path.with_name("one")))
    assert keepers(path) == []
