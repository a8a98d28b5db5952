"""What the tests of streams start from: ports on one root, and what is asked of them again and again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from engine.host.stdio import KernelStdio
from engine.host.things import LogQuery, Output
from engine.model.interface import LogLine

ID = "c0ffee"
FOREVER = 3600.0
"""A patience that ends no test: what waits for it, hangs."""

Make = Callable[..., KernelStdio]


async def make_it(stdio: KernelStdio, id: str = ID, **output: Any) -> None:
    await stdio.make(id, Output(**output))


def fifos(stdio: KernelStdio, id: str = ID) -> tuple[str, str]:
    pipes = stdio.pipes(id, Output())
    return pipes.stdout, pipes.stderr


async def logs(stdio: KernelStdio, id: str = ID, **query: Any) -> list[LogLine]:
    return [line async for line in stdio.read(id, LogQuery(**query))]


async def output(stdio: KernelStdio, stream: str = "stdout", id: str = ID) -> bytes:
    return b"".join(line.log for line in await logs(stdio, id) if line.stream == stream)


async def shell(command: str) -> None:
    child = await asyncio.create_subprocess_exec("/bin/sh", "-c", command)
    assert await child.wait() == 0


def is_there(path: str) -> bool:
    return os.path.lexists(path)


def read(path: Path) -> str:
    return path.read_text()


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as pipe:
        pipe.write(data)


async def follow_until(stdio: KernelStdio, log: bytes, id: str = ID) -> None:
    async with aclosing(stdio.read(id, LogQuery(follow=True))) as lines:
        async for line in lines:
            if line.log == log:
                return
    pytest.fail(f"the log was closed without {log!r}")
