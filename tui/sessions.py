"""A shell inside a container, or the container's own process, on the whole terminal."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from textual.events import Key

from engine.model.world import ContainerRow
from engine.stream import Stream
from tui.lending import lent
from tui.talk import Ended, talk
from tui.view.docker import command
from tui.view.figures import duration
from tui.view.scene import Notice

if TYPE_CHECKING:
    from tui.app import LongshoreApp

SHELL = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")
"""The better of the two shells that containers have. Where there is no `sh` there is no shell."""
LEAVE = "Ctrl-P Ctrl-Q"
"""The detach keys, of both."""
CANNOT_RUN = (126, 127)
SOON = 10.0
"""Seconds within which the end of a container follows the end of its output."""


async def shell(app: LongshoreApp, row: ContainerRow, keys: list[Key]) -> Notice:
    """Open a shell in a running container, and say how it ended. `keys`: typed ahead. Raises `EngineError`."""
    docker = command("exec", row.name, {"command": SHELL}, app.docker)
    settings = {
        "Cmd": SHELL,
        "Tty": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Env": [f"TERM={os.environ.get('TERM', 'xterm')}"],
    }
    began = time.monotonic()
    exec_id = await app.engine.exec_create(row.id, settings)
    stream = await app.engine.exec_start(exec_id, tty=True, size=shutil.get_terminal_size())
    assert stream

    async def resize(width: int, height: int) -> None:
        await app.engine.exec_resize(exec_id, width, height)

    hint = f"A shell in {row.name}. exit or Ctrl-D ends it; {LEAVE} leaves it running."
    left = await _talk(app, stream, keys, hint, docker, tty=True, stdin=True, resize=resize)
    seen = await app.engine.exec_inspect(exec_id)
    took = duration((time.monotonic() - began) * 1000)
    if left:
        return Notice(command=docker, text=f"the shell in {row.name} was left running", tone="warn")
    code = seen["ExitCode"]
    if code in CANNOT_RUN and not seen.get("Pid"):
        text = f"✘ there is no shell in {row.name}: neither bash nor sh can be run in it; docker exec runs what is there"
        return Notice(command=docker, text=text, tone="bad")
    return Notice(command=docker, text=f"the shell in {row.name} ended with exit code {code} after {took}", tone=_tone(code))


async def attach(app: LongshoreApp, row: ContainerRow, keys: list[Key]) -> Notice:
    """Join the container's own streams, and say whether it was left or has ended. `keys`: typed ahead. Raises `EngineError`."""
    docker = command("attach", row.name, program=app.docker)
    stream = await app.engine.attach(row.id, stdin=row.stdin)

    async def resize(width: int, height: int) -> None:
        if not sizes:  # another size first: only a change makes a program paint what it painted before we came
            await app.engine.resize(row.id, width, height + 1)
        sizes.append((width, height))
        await app.engine.resize(row.id, width, height)

    sizes: list[tuple[int, int]] = []
    leave = f"{LEAVE if row.terminal and row.stdin else 'Ctrl-C'} leaves it running"
    deaf = "" if row.stdin else " It takes no input: it was made without --interactive."
    hint = f"Attached to {row.name}. {leave}.{deaf}"
    left = await _talk(app, stream, keys, hint, docker, tty=row.terminal, stdin=row.stdin, resize=resize)
    if left:
        return Notice(command=docker, text=f"left {row.name}; it goes on", tone="good")
    try:
        async with asyncio.timeout(SOON):
            code = await app.engine.wait(row.id)
    except TimeoutError:
        return Notice(command=docker, text=f"the output of {row.name} has ended; it goes on", tone="warn")
    return Notice(command=docker, text=f"{row.name} has ended with exit code {code}; x says what that means", tone=_tone(code))


async def _talk(
    app: LongshoreApp,
    stream: Stream,
    keys: list[Key],
    hint: str,
    docker: str,
    *,
    tty: bool,
    stdin: bool,
    resize: Callable[[int, int], Awaitable[None]],
) -> bool:
    """Hand the terminal over until the session ends, or is left: then true."""
    try:
        async with lent(app, keys) as ahead:
            sys.stdout.write(f"{hint}\n$ {docker}\n")
            sys.stdout.flush()
            if ahead and stdin:
                await stream.write(ahead)
            left = await _until_left(talk(stream, tty=tty, stdin=stdin, resize=resize))
            if not stdin and sys.stdin.isatty():
                termios.tcflush(sys.stdin, termios.TCIFLUSH)  # nobody has read it, and it was not meant for the dashboard
            return left
    finally:
        await stream.close()


async def _until_left(session: Coroutine[Any, Any, Ended]) -> bool:
    """True when it was left. Ctrl-C reaches us only where the terminal is not the container's; it leaves, and ends nobody."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(session)
    before, left = signal.getsignal(signal.SIGINT), False

    def leave() -> None:
        nonlocal left
        left = True
        task.cancel()

    loop.add_signal_handler(signal.SIGINT, leave)
    try:
        return await task is Ended.DETACHED
    except asyncio.CancelledError:
        if not left:
            raise
        return True
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


def _tone(code: int) -> str:
    return "warn" if code else "good"
