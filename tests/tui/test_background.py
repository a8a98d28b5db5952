"""An engine is found, started in the background, or its own last words are told."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.errors import EngineError, Forbidden, Invalid
from tests.conftest import SpawnEngine
from tests.engines import EngineProcess
from tui import background


def test_a_host_is_a_unix_socket() -> None:
    assert background.socket_of("unix:///run/x.sock") == "/run/x.sock"
    for host in ("tcp://1.2.3.4:2375", "/run/x.sock", "unix://", "unix:///" + 107 * "x"):
        with pytest.raises(Invalid, match="cannot reach"):
            background.socket_of(host)


def test_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    assert background.listener(str(path)) is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert background.listener(str(path)) is None
    assert background.listener(str(path / "below")) is None


def test_the_kernel_names_who_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "engine.sock"))
        server.listen()
        assert background.listener(str(tmp_path / "engine.sock")) == os.getpid()


def test_only_root_starts_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Forbidden, match="only root can start one; run it as root"):
        background.ensure(str(tmp_path / "engine.sock"))
    assert not list(tmp_path.iterdir())


async def test_started_once_in_a_session_of_its_own(place_engine: Callable[[], EngineProcess]) -> None:
    place = place_engine()
    assert await asyncio.to_thread(background.ensure, place.socket, place.options[2:])
    pid = background.listener(place.socket)
    assert pid and os.getsid(pid) == pid
    assert not await asyncio.to_thread(background.ensure, place.socket, place.options[2:])
    assert background.listener(place.socket) == pid
    assert "serves" in background.log_path(place.socket).read_text()
    async with place.client() as client:
        await client.shutdown(containers=True)
    await asyncio.to_thread(background.wait_end, pid)
    assert background.listener(place.socket) is None


async def test_what_stopped_it_is_told_in_its_own_words(spawn_engine: SpawnEngine) -> None:
    """The data root is another engine's already."""
    first = await spawn_engine()
    second = str(first.directory / "second/engine.sock")
    with pytest.raises(EngineError) as error:
        await asyncio.to_thread(background.ensure, second, ("--data-root", first.root, "--exec-root", first.run))
    said = str(error.value)
    assert said.startswith("cannot start the engine: cannot ")
    assert first.root in said
    assert str(background.log_path(second)) in said
    assert first.alive


async def test_the_end_of_a_process_is_awaited() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    waiting = asyncio.create_task(asyncio.to_thread(background.wait_end, process.pid))
    process.kill()
    await asyncio.gather(process.wait(), waiting)
    background.wait_end(process.pid)
