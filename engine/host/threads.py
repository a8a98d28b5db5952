"""Two thread pools: microsecond syscalls must never queue behind a minute's work.

A thread cannot be cancelled. When the waiting task is cancelled the call still completes; so callers shield nothing and
undo by looking at the world.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

WORKERS = min(16, max(4, 2 * (os.cpu_count() or 1)))
"""More of them than processors only keep each other, and the event loop, from the interpreter's lock."""

_short = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="syscall")
_long = ThreadPoolExecutor(max_workers=4, thread_name_prefix="work")


async def short(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call of microseconds to milliseconds: mount, mkdir, a netlink socket."""
    return await asyncio.get_running_loop().run_in_executor(_short, lambda: call(*args, **kwargs))


async def long(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that may take seconds: unlinking a tree, hashing an archive."""
    return await asyncio.get_running_loop().run_in_executor(_long, lambda: call(*args, **kwargs))
