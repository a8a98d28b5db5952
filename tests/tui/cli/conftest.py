"""`longshore` typed at an engine on a simulated host, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.engine.api.conftest import Served, serve
from tests.tui.commands import Said
from tui.cli import main

Typed = Callable[..., Awaitable[Said]]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


@pytest.fixture
def typed(served: Served) -> Typed:
    """Type a command line for the served engine. It runs in a thread of its own, as its event loop must."""

    async def type_(*args: str) -> Said:
        return await asyncio.to_thread(_run, "--host", f"unix://{served.path}", *args)

    return type_


def _run(*args: str) -> Said:
    out, err, code = io.BytesIO(), io.BytesIO(), 0
    with contextlib.redirect_stdout(_text(out)), contextlib.redirect_stderr(_text(err)):
        try:
            main(args)
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            code = ended.code
        return Said(code, out.getvalue().decode(), err.getvalue().decode())


def _text(file: io.BytesIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8", write_through=True)
