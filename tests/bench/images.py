"""Loading images: one layer of a hundred megabytes, four layers of many files, and a gigabyte; beside dockerd."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import sys
import tarfile
from collections.abc import Iterable

from tests.bench.measure import Subject, Times, report
from tests.bench.pair import pair
from tests.bench.pings import Pings
from tests.bench.wire import Api

ROUNDS = 5
MEGABYTES = 100
FILES = 1000
"""In each of the four layers, of a few kilobytes each."""
AIMS = {"100 MB": 1.0, "four layers": 1.0, "a layer more": 1.0}
"""The most that ours may take of dockerd's time."""
PING_AIM = 20.0


async def images(rounds: int = ROUNDS) -> list[str]:
    async with pair() as engines:
        sockets = engines.ours.socket, engines.peer.socket
        ours, theirs = await asyncio.to_thread(_compare, Subject(sockets[0]), Subject(sockets[1]), rounds)
        pings = await asyncio.to_thread(_meanwhile, *sockets)
    return [
        f"milliseconds to load an image, median of {rounds} (and nine of ten below)",
        *report(ours, theirs, AIMS),
        *pings,
    ]


def _meanwhile(*sockets: str) -> list[str]:
    """Blocking, as all below. How an engine answers while it takes in a layer of a gigabyte."""
    archive = _archive([layer({"big": random.randbytes(1 << 20) * 1024})], "bench:gigabyte")
    lines = [f"milliseconds until /_ping answers while a layer of a gigabyte is loaded; ours: at most {PING_AIM:g}"]
    for who, socket in zip(("longshore", "dockerd"), sockets, strict=True):
        with Pings(socket) as pings:
            api = Api(socket)
            with pings.counted():
                api.ask("POST", "/images/load?quiet=1", archive)
            api.close()
            lines.append(pings.report(who))
    return lines


def _compare(ours: Subject, peer: Subject, rounds: int) -> tuple[Times, Times]:
    """Every round's image is another one: no layer of it is there already."""
    for number in range(rounds + 1):
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        big = layer({"big": random.randbytes(MEGABYTES << 20)})
        four = [layer({f"l{n}/{i}": random.randbytes(random.randrange(8000)) for i in range(FILES)}) for n in range(4)]
        more = layer({"more": random.randbytes(1000)})
        for subject in (ours, peer) if number % 2 else (peer, ours):
            for what, layers in {"100 MB": [big], "four layers": four, "a layer more": [*four, more]}.items():
                archive = _archive(layers, f"bench:{what.replace(' ', '').lower()}")
                with subject.timed(what):
                    subject.api.ask("POST", "/images/load?quiet=1", archive)
        if not number:  # caches and connections are warm
            ours.forget()
            peer.forget()
    for subject in (ours, peer):
        subject.api.close()
    print(file=sys.stderr)
    return ours.times, peer.times


def layer(files: dict[str, bytes]) -> bytes:
    return _tar(files.items())


def _archive(layers: list[bytes], tag: str) -> bytes:
    digests = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}}
    names = [f"{digest[7:]}/layer.tar" for digest in digests]
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
    parts = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    return _tar([*zip(names, layers, strict=True), *parts.items()])


def _tar(files: Iterable[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()
