"""A program that talks: its terminal, or whatever stands in for one, joined to a stream whose other end is the test.

`python -m tests.tui.talker SOCKET [tty] [stdin] [keys=...]`. It ends with 0 when the stream has ended and 3 when it was left;
then it reads one more line of its own standard input, and says what that was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from engine.model.errors import Conflict
from engine.stream import Stream
from tui.talk import DETACH_KEYS, Ended, talk

CODES = {Ended.ENDED: 0, Ended.DETACHED: 3}
REFUSALS = 2
"""The first sizes are not taken: what has a terminal is not there yet."""


async def main(path: str, *how: str) -> Ended:
    reader, writer = await asyncio.open_unix_connection(path)
    stream = Stream(reader, writer, framed="tty" not in how)
    told = 0

    async def resize(columns: int, rows: int) -> None:
        nonlocal told
        told += 1
        if told <= REFUSALS:
            raise Conflict("it has not begun")
        await stream.write(f"<{columns}x{rows}>".encode())

    keys = next((word.removeprefix("keys=") for word in how if word.startswith("keys=")), DETACH_KEYS)
    return await talk(stream, tty="tty" in how, stdin="stdin" in how, resize=resize, detach_keys=keys)


if __name__ == "__main__":
    for number in (signal.SIGHUP, signal.SIGQUIT):  # ignored by what nohup(1), or a shell, has started in the background
        signal.signal(number, signal.SIG_DFL)
    try:
        ended = asyncio.run(main(*sys.argv[1:]))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(5)
    if "line" in sys.argv:
        print(f"then: {sys.stdin.readline()!r}", flush=True)
    sys.exit(CODES[ended])
