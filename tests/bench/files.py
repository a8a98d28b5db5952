"""Looking at files: `changes` of a container that has written many, beside dockerd, and our tree of an image of many files."""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from tests.bench.measure import table
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image
from tests.engine.host.archives import saved

ROUNDS = 5
WRITTEN = 20_000
"""Files that the container has written."""
DIRECTORIES, EACH = 100, 500
"""Of the image: 50,000 files."""
CHANGES_AIM, OPEN_AIM = 500.0, 300.0
"""Milliseconds."""
TREE = "tree:latest"


async def files(rounds: int = ROUNDS) -> list[str]:
    async with pair() as engines:
        ours, theirs = [await asyncio.to_thread(_changes, each.socket, rounds) for each in (engines.ours, engines.peer)]
        opened = await asyncio.to_thread(_opened, engines.ours.socket, rounds)
    row = (f"{WRITTEN:,} changes", f"{ours:.0f}", f"{theirs:.0f}", ours / theirs, f"{CHANGES_AIM:g} ms", ours <= CHANGES_AIM)
    lines = table(f"milliseconds, median of {rounds}", [row])
    for what, took in opened.items():
        verdict = "reached" if took <= OPEN_AIM else "missed"
        lines.append(f"{what}, of {DIRECTORIES * EACH:,} files: {took:.0f} ms   {OPEN_AIM:g} ms: {verdict}")
    return lines


def _changes(path: str, rounds: int) -> float:
    """Blocking, as all below."""
    api = Api(path)
    api.ask("POST", "/images/load?quiet=1", image())
    each = f"busybox mkdir /d$d; cd /d$d; busybox seq {WRITTEN // 20} | busybox xargs busybox touch"
    write = f"for d in $(busybox seq 20); do {each}; done"
    body = {"Image": IMAGE, "Cmd": ["sh", "-c", write], "NetworkDisabled": True}
    id = api.ask("POST", "/containers/create", body)["Id"]
    api.ask("POST", f"/containers/{id}/start")
    api.ask("POST", f"/containers/{id}/wait")
    took, found = _timed(lambda: api.ask("GET", f"/containers/{id}/changes"), rounds)
    assert len(found) == WRITTEN + 20
    api.ask("DELETE", f"/containers/{id}")
    api.close()
    return took


def _opened(path: str, rounds: int) -> dict[str, float]:
    api = Api(path)
    api.ask("POST", "/images/load?quiet=1", saved([_layer()], [TREE]))
    ask = "/longshore/tree/{}?target=" + TREE
    first, _ = _timed(lambda: (api.ask("GET", ask.format("stack")), api.ask("GET", ask.format("listing") + "&path=/")), rounds)
    one, found = _timed(lambda: api.ask("GET", ask.format("listing") + "&path=/d0"), rounds)
    assert len(found["entries"]) == EACH
    api.close()
    return {"the tree opens": first, "a directory opens": one}


def _timed(ask: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """The median, and the last answer. The first is not counted: it warms the caches."""
    took, answer = [], None
    for _ in range(rounds + 1):
        began = time.perf_counter()
        answer = ask()
        took.append((time.perf_counter() - began) * 1000)
    return median(took[1:]), answer


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in range(DIRECTORIES):
            top = tarfile.TarInfo(f"d{directory}")
            top.type, top.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(top)
            for number in range(EACH):
                archive.addfile(tarfile.TarInfo(f"d{directory}/f{number}"), io.BytesIO())
    return buffer.getvalue()
