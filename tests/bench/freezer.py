"""How long until whoever watches is told of a freeze that was made outside, on both versions of cgroups."""

from __future__ import annotations

import asyncio
import random
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from engine.client import Client
from engine.model.frames import Changed
from tests.engines import EngineProcess

CONTAINERS, TIMES = 20, 30
AIMS = {1: 500.0, 2: 100.0}
"""Milliseconds, by the version of cgroups."""
WITH_CGROUP2 = 'umount --recursive /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
BODY = {"Image": "busybox", "Cmd": ["sleep", "1000000"]}


async def freezer() -> list[str]:
    lines = [f"milliseconds from a freeze or thaw outside to its frame, {TIMES} times among {CONTAINERS} containers"]
    for version, aim in AIMS.items():
        place = EngineProcess(Path(tempfile.gettempdir(), f"longshore-{secrets.token_hex(4)}"))
        if version == 2:
            place.program = ("unshare", "--mount", "sh", "-c", WITH_CGROUP2, "sh", *place.program)
        try:
            await place.start()
            took = await _measure(place, version)
        finally:
            await place.clean()
        verdict = "reached" if max(took) <= aim else "missed"
        lines.append(f"cgroup v{version}       median {median(took):.1f}, longest {max(took):.1f}   at most {aim:g}: {verdict}")
    return lines


async def _measure(place: EngineProcess, version: int) -> list[float]:
    async with place.client() as client:
        ids = []
        for number in range(CONTAINERS):
            ids.append((await client.do("create", "", {"name": f"c{number}", "body": BODY})).id)
            await client.do("start", f"c{number}")
        words: dict[str, str] = {}
        moved = asyncio.Event()
        watching = asyncio.create_task(_watch(client, words, moved))
        try:
            await _until(words, moved, dict.fromkeys(ids, "thawed"))
            took = []
            for _ in range(TIMES):
                await asyncio.sleep(random.uniform(0.1, 0.5))
                id = random.choice(ids)
                word, write = ("frozen", ("FROZEN", "1")) if words[id] == "thawed" else ("thawed", ("THAWED", "0"))
                began = time.monotonic()
                _switch(place, id, version).write_text(write[version - 1])
                await _until(words, moved, {id: word})
                took.append((time.monotonic() - began) * 1000)
            return took
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            for id in ids:
                await client.do("remove", id, {"force": True})


def _switch(place: EngineProcess, id: str, version: int) -> Path:
    if version == 1:
        return Path(f"/sys/fs/cgroup/freezer{place.cgroup_parent}/{id}/freezer.state")
    return Path(f"/proc/{place.pid}/root/sys/fs/cgroup{place.cgroup_parent}/{id}/cgroup.freeze")


async def _watch(client: Client, words: dict[str, str], moved: asyncio.Event) -> None:
    async for frame in client.watch():
        if isinstance(frame, Changed) and frame.row.freezer:
            words[frame.row.id] = frame.row.freezer.kernel
            moved.set()


async def _until(words: dict[str, str], moved: asyncio.Event, wanted: dict[str, str]) -> None:
    async with asyncio.timeout(30):
        while not wanted.items() <= words.items():
            moved.clear()
            await moved.wait()
