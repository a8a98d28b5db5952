"""A person's terminal joined to the streams of a process: `run`, `start -a`, `exec`, `attach`, and the dashboard's shell.

The terminal is raw meanwhile, so that every key, Ctrl-C too, reaches the process. It is given back as it was however this
ends, signals included. No thread reads the keyboard: nobody is left behind who would take the next key of whoever comes after.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import termios
import tty as modes
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, nullcontext, suppress
from enum import Enum, auto
from types import FrameType
from typing import Protocol

from engine.model.errors import EngineError, Invalid, Unavailable

STDIN, STDOUT, STDERR = 0, 1, 2
OUTPUTS = {"stdout": STDOUT, "stderr": STDERR}

PIECE = 64 * 1024
DETACH_KEYS = "ctrl-p,ctrl-q"
RESIZES = 10
"""How often a first size is tried, each time waiting longer: the terminal inside may not be there yet."""
RESIZE_DELAY = 0.01
"""Seconds, times the number of the attempt."""

Resize = Callable[[int, int], Awaitable[None]]
"""Columns and rows."""


class Streams(Protocol):
    """`engine.stream.Stream`, or a double of it."""

    def read(self) -> AsyncGenerator[tuple[str, bytes], None]: ...
    async def write(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def close(self) -> None: ...


class Ended(Enum):
    ENDED = auto()
    """The output has ended: the process has, or the engine went away."""
    DETACHED = auto()
    """The detach keys were typed; the process goes on."""


async def talk(
    stream: Streams, *, tty: bool, stdin: bool, resize: Resize | None = None, detach_keys: str = DETACH_KEYS
) -> Ended:
    """Carry bytes both ways until the output ends or the detach keys are typed, then close the stream.

    `tty`: the process has a terminal, so ours is its mirror; without one the end of the input is passed on, and nothing
    detaches. `resize` is told the terminal's size at once and whenever it changes. Raises what the stream raises,
    `BrokenPipeError` when nobody reads our output any more, `Invalid` for detach keys that are none.
    """
    keys = detach_sequence(detach_keys) if tty else b""
    with _raw() if tty and stdin and os.isatty(STDIN) else nullcontext():
        showing = asyncio.ensure_future(_show(stream))
        typing = asyncio.ensure_future(_type(stream, keys)) if stdin else None
        sizing = asyncio.ensure_future(_follow_size(resize)) if tty and resize and terminal_size() else None
        tasks = [task for task in (showing, typing, sizing) if task]
        try:
            if typing:
                await asyncio.wait((showing, typing), return_when=asyncio.FIRST_COMPLETED)
                if typing.done() and typing.result():
                    return Ended.DETACHED
            await showing
            return Ended.ENDED
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await stream.close()


def detach_sequence(text: str) -> bytes:
    """The bytes of `ctrl-p,ctrl-q`: characters and `ctrl-` with a letter or one of `@[\\]^_`. Empty: Docker's default.

    Raises `Invalid`.
    """
    return bytes(_key(part) for part in (text or DETACH_KEYS).split(","))


def _key(text: str) -> int:
    if len(text) == 1 and text.isascii():
        return ord(text)
    letter = text.removeprefix("ctrl-")
    if text.startswith("ctrl-") and len(letter) == 1 and ((letter.isascii() and letter.islower()) or letter in "@[\\]^_"):
        return ord(letter.upper()) - ord("@")
    raise Invalid(
        f"{text!r} is no key to detach with", "write ctrl-p,ctrl-q or the like: ctrl- with a letter or @[\\]^_, or a letter"
    )


def terminal_size() -> tuple[int, int] | None:
    """Columns and rows of our terminal; None where there is none, or it does not know."""
    for fd in (STDOUT, STDIN):
        with suppress(OSError):
            columns, rows = os.get_terminal_size(fd)
            return (columns, rows) if columns and rows else None
    return None


async def _show(stream: Streams) -> None:
    async with aclosing(stream.read()) as pieces:
        async for name, data in pieces:
            await _write(OUTPUTS[name], data)


async def _write(fd: int, data: bytes) -> None:
    """In pieces that a pipe takes whole once it is ready, so that a slow reader never stops the event loop (pipe(7))."""
    left = memoryview(data)
    while left:
        await _ready(fd, output=True)
        left = left[os.write(fd, left[: select.PIPE_BUF]) :]


async def _type(stream: Streams, keys: bytes) -> bool:
    """Send what is typed until there is no more, or until it was the detach keys: then true.

    The engine gets those too: it tells of it in its events.
    """
    last = b""
    while data := await _read():
        typed = last + data
        at = typed.find(keys) if keys else -1
        end = at + len(keys) if at >= 0 else len(typed)
        try:
            await stream.write(typed[len(last) : end])
        except Unavailable:
            return False  # the process has ended while somebody typed; its last words are still being shown
        if at >= 0:
            return True
        last = typed[len(typed) - len(keys) + 1 :]
    with suppress(Unavailable):
        await stream.close_stdin()
    return False


async def _read() -> bytes:
    await _ready(STDIN, output=False)
    try:
        return os.read(STDIN, PIECE)
    except OSError:  # EIO: the terminal has gone away
        return b""


async def _ready(fd: int, *, output: bool) -> None:
    """Wait until a file of ours can be read or written. It stays blocking: its mode is shared with our parent and others."""
    if any(select.select([] if output else [fd], [fd] if output else [], [], 0)):
        await asyncio.sleep(0)  # a file is always ready: the others have their turn all the same
        return
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    if output:
        loop.add_writer(fd, ready.set)
    else:
        loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        if output:
            loop.remove_writer(fd)
        else:
            loop.remove_reader(fd)


async def _follow_size(resize: Resize) -> None:
    """Tell the size until it is taken, then whenever it changes."""
    loop, changed, before = asyncio.get_running_loop(), asyncio.Event(), signal.getsignal(signal.SIGWINCH)
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        for attempt in range(1, RESIZES + 1):
            if await _tell_size(resize):
                break
            await asyncio.sleep(attempt * RESIZE_DELAY)
        while await changed.wait():
            changed.clear()
            await _tell_size(resize)
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        signal.signal(signal.SIGWINCH, before or signal.SIG_DFL)


async def _tell_size(resize: Resize) -> bool:
    if size := terminal_size():
        try:
            await resize(*size)
        except EngineError:  # not begun yet, or over: a wrong size is no reason to end a conversation
            return False
    return True


@contextmanager
def _raw() -> Iterator[None]:
    """The terminal without echo, lines and signals of its own (termios(3), "Raw mode"); afterwards as it was."""
    before = termios.tcgetattr(STDIN)

    def restore() -> None:
        with suppress(termios.error):  # EIO: the terminal has gone away
            termios.tcsetattr(STDIN, termios.TCSANOW, before)

    def die(number: int, frame: FrameType | None) -> None:
        restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    deadly = [n for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT) if signal.getsignal(n) is signal.SIG_DFL]
    for number in deadly:
        signal.signal(number, die)
    modes.setraw(STDIN, termios.TCSANOW)
    try:
        yield
    finally:
        restore()
        for number in deadly:
            signal.signal(number, signal.SIG_DFL)
