"""The socket itself: made so that only root and its group may use it, never in place of one that answers."""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from engine.api.app import build
from engine.core import Engine
from engine.host.threads import short
from engine.model.errors import Conflict, EngineError, Forbidden, HostFailed, Invalid
from engine.sessions.execs import Execs

MODE = 0o660
"""The socket is root's power: whoever can write to it can become root."""

ELSEWHERE = "give another socket with --host unix://PATH"
BACKLOG = 128
GOODBYE = 1.0
"""Seconds that open requests get at shutdown. Operations go on without their request; streams have no end of their own."""


def listen(path: str, group: str = "") -> socket.socket:
    """A listening Unix socket. A dead one in its place is replaced.

    Raises `Conflict` when an engine answers there, `Forbidden` when something else lies there, `Invalid` for a group
    nobody knows.
    """
    gid = vacant(path, group)
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        before = os.umask(0o777 & ~MODE)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        os.chown(path, -1, gid)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise HostFailed(f"cannot listen on {path}: {error.strerror or error}", ELSEWHERE, error.errno or 0) from error
    listener.setblocking(False)
    return listener


def _gid(group: str) -> int:
    """Number of a group by name or number (group(5))."""
    try:
        return int(group) if group.isascii() and group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise Invalid(f"cannot give the socket to group {group!r}: there is no such group", "make it with groupadd") from error


def vacant(path: str, group: str = "") -> int:
    """Make sure that nothing but a dead socket lies at `path`; the group's number, -1 for none. Raises as `listen` does."""
    gid = _gid(group) if group else -1
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return gid
    except OSError as error:
        raise HostFailed(f"cannot look at {path}: {error.strerror}", ELSEWHERE, error.errno or 0) from error
    if not stat.S_ISSOCK(kind):
        raise Forbidden(f"cannot listen on {path}: something else lies there", f"move it away or {ELSEWHERE}")
    if answers(path):
        raise Conflict(f"cannot listen on {path}: an engine is already running there", f"stop it or {ELSEWHERE}")
    return gid


def answers(path: str) -> bool:
    """Does a process listen on this socket? A full queue counts: somebody is there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


@asynccontextmanager
async def serving(engine: Engine, execs: Execs, paths: Sequence[str], group: str = "") -> AsyncIterator[None]:
    """Serve an engine on Unix sockets; when the block is left they are closed and removed.

    A request whose client has gone is cancelled, so that watches and log readers free what they hold. Operations belong to
    the engine and are not touched by it.
    """
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(build(engine, execs), handler_cancellation=True, access_log=None, shutdown_timeout=GOODBYE)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        for path in paths:
            listener = await short(listen, path, group)
            stack.callback(_remove, path, os.lstat(path).st_ino)
            await web.SockSite(runner, listener).start()
        yield


def _remove(path: str, inode: int) -> None:
    """Take our own socket away, not one that another engine has put in its place."""
    try:
        if os.lstat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EngineError(f"cannot remove {path}: {error.strerror}") from error
