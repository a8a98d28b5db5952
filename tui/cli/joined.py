"""A command joined to a container's own process: attach, start, talk, and the process's exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from msgspec import Struct

from engine.client import Client
from engine.model.errors import AlreadySo, Conflict, EngineError, Invalid, NotFound
from tui.cli.group import complain
from tui.talk import DETACH_KEYS, STDIN, Ended, talk

KEPT = frozenset(
    signal.Signals[f"SIG{name}"]
    for name in (
        *("KILL", "STOP"),  # cannot be caught
        *("CHLD", "PIPE", "URG"),  # about this process
        *("SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS"),  # defects of this process
        *("TTIN", "TTOU"),  # the shell stops this process while it is in the background
        *("WINCH",),  # a terminal inside is resized; for the engine any signal is somebody's wish that it ends
    )
)
"""Signals that are not passed on."""


class Joined(Struct, frozen=True, kw_only=True):
    """How a command is joined to a process."""

    tty: bool
    stdin: bool
    stdout: bool = True
    stderr: bool = True
    detach_keys: str = DETACH_KEYS
    sig_proxy: bool = True

    def check(self) -> None:
        """Raises `Invalid` where a terminal is to be joined to what is none."""
        check_terminal(self.tty and self.stdin)


def check_terminal(wanted: bool) -> None:
    """Raises `Invalid` when the standard input should be a terminal and is none."""
    if wanted and not os.isatty(STDIN):
        raise Invalid("the standard input is not a terminal", "leave -t out, or run it from a terminal")


class NotStarted(Exception):
    """The process could not be started; `why` is the engine's error."""

    def __init__(self, why: EngineError) -> None:
        super().__init__(str(why))
        self.why = why


async def start_joined(client: Client, target: str, how: Joined, *, removed: bool) -> int:
    """Attach, arm the wait, start, talk: in this order nothing is missed. The exit code; 0 when the keys to detach were typed.

    `removed`: the container goes when its process ends, and so does the wait. Raises `NotStarted`.
    """
    with forwarded(client, target) if how.sig_proxy else nullcontext():
        stream = await client.attach(target, stdin=how.stdin, stdout=how.stdout, stderr=how.stderr, detach_keys=how.detach_keys)
        exit = None
        try:
            exit = await client.arm(target, "removed" if removed else "next-exit")
            await start(client, target)
            resize = partial(client.resize, target)
            ended = await talk(stream, tty=how.tty, stdin=how.stdin, resize=resize, detach_keys=how.detach_keys)
            return 0 if ended is Ended.DETACHED else await exit
        finally:
            await stream.close()
            if exit:
                exit.cancel()


async def start(client: Client, target: str) -> None:
    """One that runs already is as asked. Raises `NotStarted`."""
    try:
        await client.do("start", target)
    except AlreadySo:
        return
    except EngineError as error:
        raise NotStarted(error) from error


@contextmanager
def forwarded(client: Client, target: str) -> Iterator[None]:
    """Signals that reach this process are sent to the container's instead."""
    loop, sending = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    async def send(number: int) -> None:
        try:
            await client.do("kill", target, {"signal": str(number)})
        except (Conflict, NotFound):
            return  # it does not run yet, or any more
        except EngineError as error:
            complain(error)

    def forward(number: int) -> None:
        task = loop.create_task(send(number))
        sending.add(task)
        task.add_done_callback(sending.discard)

    caught = signal.valid_signals() - KEPT
    for number in caught:
        loop.add_signal_handler(number, forward, number)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
