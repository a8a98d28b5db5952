"""An engine in the background: found by its socket, started when none answers, ended on request.

Blocking, for the command line: nothing here runs beside the screen.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine.model.errors import EngineError, Forbidden, Invalid, Unavailable

SOCKET = "/run/longshore/engine.sock"
"""Where an engine listens that was not told otherwise."""

READY = 60.0
"""Seconds an engine gets from its start until its socket answers: it recovers every container first."""

LONGEST = 107
"""Bytes of a socket's path (sun_path less its NUL, unix(7))."""

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


def socket_of(host: str) -> str:
    """The path in `unix://PATH`. Raises `Invalid` for anything else."""
    path = host.removeprefix("unix://")
    if path == host or not path:
        raise Invalid(f"cannot reach {host!r}: an engine is reached by a Unix socket only", "write unix://PATH")
    if len(os.fsencode(path)) > LONGEST:
        raise Invalid(f"cannot reach {host!r}: a socket's path holds {LONGEST} bytes", "take a shorter path")
    return path


def listener(path: str) -> int | None:
    """Pid of the engine behind a socket, as the kernel says it (SO_PEERCRED, unix(7)); None when none answers.

    0: a process of another pid namespace. Raises `Forbidden` without the right to connect.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except PermissionError as error:
            why = "permission denied"
            raise Forbidden(f"cannot reach the engine at {path}: {why}", "be root, or in the socket's group") from error
        except OSError as error:
            raise Unavailable(f"cannot reach the engine at {path}: {error.strerror}") from error
        pid, _, _ = _CREDENTIALS.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return int(pid)


def log_path(path: str) -> Path:
    """Where an engine started from here writes its log: beside its socket."""
    return Path(path).with_name("longshored.log")


def ensure(path: str, options: Sequence[str] = ()) -> bool:
    """An engine behind the socket: started, with these options of `longshored`, when none answers. True when it was.

    Raises `EngineError` with the engine's own last sentence when it does not come up.
    """
    if listener(path) is not None:
        return False
    if os.geteuid() != 0:
        raise Forbidden(f"no engine answers at {path}, and only root can start one", "run it as root: sudo longshore")
    log = log_path(path)
    log.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    with log.open("ab") as file:
        before = file.tell()
        engine = subprocess.Popen(
            # -P: a directory named engine where a person stands is not ours.
            [sys.executable, "-P", "-m", "engine", *_host(path), *options],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + READY
    while listener(path) is None:
        if engine.poll() is not None:
            raise EngineError(f"cannot start the engine: {_last_words(log, before)}", f"its log is {log}")
        if time.monotonic() > deadline:
            raise EngineError(f"the engine was started but does not answer at {path}", f"its log is {log}")
        time.sleep(0.02)
    return True


def wait_end(pid: int) -> None:
    """Wait until a process, nobody's child perhaps, has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([fd], [], [])
    finally:
        os.close(fd)


def _host(path: str) -> tuple[str, ...]:
    """Nothing for the usual socket, so that the engine's own configuration may say more."""
    return () if path == SOCKET else ("--host", f"unix://{path}")


def _last_words(log: Path, since: int) -> str:
    """The last line of what an engine wrote after `since`."""
    with log.open("rb") as file:
        file.seek(since)
        lines = file.read().decode(errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return said.removeprefix("longshored: ") or "it ended without a word"
