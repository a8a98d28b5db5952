"""Run `longshore` as a person does: another process, without a terminal."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import NamedTuple


class Said(NamedTuple):
    code: int
    out: str
    err: str


async def begin(*args: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "tui", *args, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)


async def end(process: Process) -> Said:
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def longshore(*args: str) -> Said:
    return await end(await begin(*args))
