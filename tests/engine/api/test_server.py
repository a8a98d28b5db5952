"""The socket: who may use it, and that it never takes a living engine's place."""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.api.server import answers, listen, serving
from engine.model.errors import Conflict, EngineError, Forbidden, HostFailed, Invalid
from engine.sessions.execs import Execs
from tests.engine.api.conftest import Served


@contextmanager
def listening(path: Path, group: str = "") -> Iterator[socket.socket]:
    listener = listen(str(path), group)
    try:
        yield listener
    finally:
        listener.close()


def test_the_socket_is_roots_and_its_groups(tmp_path: Path) -> None:
    group = next(entry for entry in grp.getgrall() if entry.gr_gid)
    for given in (group.gr_name, str(group.gr_gid)):
        path = tmp_path / given
        with listening(path, given):
            status = path.stat()
            assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o660
            assert (status.st_uid, status.st_gid) == (0, group.gr_gid)


def test_the_umask_is_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with listening(tmp_path / "s"):
            assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_an_unknown_group_makes_no_socket(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such group"):
        listen(str(tmp_path / "s"), "no-such-group")
    assert not list(tmp_path.iterdir())


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    with listening(tmp_path / "s"):
        assert answers(str(tmp_path / "s"))
    assert (tmp_path / "s").exists() and not answers(str(tmp_path / "s"))
    with listening(tmp_path / "s"):
        assert answers(str(tmp_path / "s"))


def test_a_living_one_is_not(tmp_path: Path) -> None:
    with listening(tmp_path / "s"):
        inode = (tmp_path / "s").stat().st_ino
        with pytest.raises(Conflict, match=r"already running.*stop it or give another"):
            listen(str(tmp_path / "s"))
        assert (tmp_path / "s").stat().st_ino == inode and answers(str(tmp_path / "s"))


def test_something_else_in_its_place_stays(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    (tmp_path / "link").symlink_to("s")
    for name in ("s", "link"):
        with pytest.raises(Forbidden, match="something else lies there"):
            listen(str(tmp_path / name))
    assert (tmp_path / "s").read_text() == "mine"


@pytest.mark.parametrize("path", ["file/s", "x" * 120])
def test_a_path_that_cannot_be(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"cannot (listen on|look at).*--host"):
        listen(str(tmp_path / path))


async def test_leaving_removes_the_sockets_it_made(served: Served, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("one", "deep/er/two")]
    async with serving(served.engine, Execs(served.engine), paths):
        assert all(answers(path) for path in paths)
    assert not any(os.path.exists(path) for path in paths)


async def test_a_successors_socket_is_left_alone(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(served.engine, Execs(served.engine), [str(path)]):
        path.unlink()
        with listening(path):
            inode = path.stat().st_ino
    assert path.stat().st_ino == inode


async def test_a_socket_that_cannot_be_leaves_none_behind(served: Served, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(EngineError):
        async with serving(served.engine, Execs(served.engine), [str(tmp_path / "good"), str(tmp_path / "taken")]):
            raise HostFailed("served on half of the sockets")
    assert not (tmp_path / "good").exists()
