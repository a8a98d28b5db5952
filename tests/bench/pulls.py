"""Pulling images from a registry on loopback, beside dockerd: each engine has its own registry, on the same files."""

from __future__ import annotations

import asyncio
import gzip
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from engine.host.registry import Places, Registries
from engine.host.registry import manifest as manifests
from tests.bench.images import AIMS, FILES, MEGABYTES, ROUNDS, layer
from tests.bench.measure import Subject, report
from tests.bench.pair import pair
from tests.engine.host.registry.kit import put_packed, repository
from tests.registries import DebianRegistry

SIZES = ("100 MB", "four layers")


async def pulls(rounds: int = ROUNDS) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as place:
        async with pair() as engines, AsyncExitStack() as stack:
            await _fill(Path(place), rounds)
            subjects = []
            for socket, name in ((engines.ours.socket, engines.own.name), (engines.peer.socket, engines.other.name)):
                registry = DebianRegistry(Path(place))
                registry.namespace = f"/run/netns/{name}"
                await stack.enter_async_context(registry)
                subjects.append((Subject(socket), registry.name))
            await asyncio.to_thread(_compare, subjects, rounds)
    (ours, _), (theirs, _) = subjects
    head = f"milliseconds to pull an image from a registry on loopback, median of {rounds} (and nine of ten below)"
    return [head, *report(ours.times, theirs.times, {size: AIMS[size] for size in SIZES})]


async def _fill(place: Path, rounds: int) -> None:
    """Every round's image is another one: no layer of it is there already."""
    registries = Registries(str(place / "ours"), Places())
    async with DebianRegistry(place) as registry:
        to = repository(registries, registry.name, push=True)
        for number in range(rounds + 1):
            one = [layer({"big": random.randbytes(MEGABYTES << 20)})]
            four = [layer({f"l{n}/{i}": random.randbytes(random.randrange(8000)) for i in range(FILES)}) for n in range(4)]
            for tag, layers in ((f"one-{number}", one), (f"four-{number}", four)):
                packed = [(manifests.DOCKER_LAYER, gzip.compress(each, 1), each) for each in layers]
                await put_packed(to, tag, manifests.DOCKER, packed)
    await registries.close()


def _compare(subjects: list[tuple[Subject, str]], rounds: int) -> None:
    for number in range(rounds + 1):
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        for subject, registry in subjects if number % 2 else reversed(subjects):
            for size, tag in zip(SIZES, ("one", "four"), strict=True):
                with subject.timed(size):
                    subject.api.ask("POST", f"/images/create?fromImage={registry}/web&tag={tag}-{number}", b" ")
                subject.api.ask("GET", f"/images/{registry}/web:{tag}-{number}/json")  # it has surely come
        if not number:  # connections are warm
            for subject, _ in subjects:
                subject.forget()
    for subject, _ in subjects:
        subject.api.close()
    print(file=sys.stderr)
