"""Loading images: one layer of a hundred megabytes, and four layers of many files, beside dockerd."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import sys
import tarfile
from collections.abc import Iterable
from contextlib import suppress

from tests.bench.measure import Subject, report
from tests.bench.pair import pair

ROUNDS = 5
MEGABYTES = 100
FILES = 1000
"""In each of the four layers, of a few kilobytes each."""
AIMS = {"100 MB": 1.0, "four layers": 1.0, "a layer more": 1.0}
"""The most that ours may take of dockerd's time."""


async def images(rounds: int = ROUNDS) -> list[str]:
    async with pair() as engines:
        subjects = Subject(engines.ours.socket), Subject(engines.peer.socket)
        pings = Pings(engines.ours.socket)
        ping = asyncio.create_task(pings.measure())
        await asyncio.to_thread(_compare, *subjects, rounds, pings)
        ping.cancel()
        with suppress(asyncio.CancelledError):
            await ping
    ours, theirs = (subject.times for subject in subjects)
    return [
        f"milliseconds to load an image, median of {rounds} (and nine of ten below)",
        *report(ours, theirs, AIMS),
        pings.report(),
    ]


class Pings:
    """How long `/_ping` takes while layers are unpacked. Only then: what this program itself does otherwise delays it too."""

    def __init__(self, socket: str) -> None:
        self.loading = False
        self._socket = socket
        self._took: list[float] = []

    async def measure(self) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            while True:
                counts, began = self.loading, loop.time()
                writer.write(b"HEAD /_ping HTTP/1.1\r\nHost: engine\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")
                if counts and self.loading:
                    self._took.append((loop.time() - began) * 1000)
                await asyncio.sleep(0.01)
        finally:
            writer.close()

    def report(self) -> str:
        took = sorted(self._took)
        most = took[len(took) * 99 // 100]
        return f"ping meanwhile: 99 of 100 below {most:.1f} ms, longest {took[-1]:.1f} of {len(took)}"


def _compare(ours: Subject, peer: Subject, rounds: int, pings: Pings) -> None:
    """Blocking. Every round's image is another one: no layer of it is there already."""
    for number in range(rounds + 1):
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        big = _layer({"big": random.randbytes(MEGABYTES << 20)})
        four = [_layer({f"l{n}/{i}": random.randbytes(random.randrange(8000)) for i in range(FILES)}) for n in range(4)]
        more = _layer({"more": random.randbytes(1000)})
        for subject in (ours, peer) if number % 2 else (peer, ours):
            for what, layers in {"100 MB": [big], "four layers": four, "a layer more": [*four, more]}.items():
                archive = _archive(layers, f"bench:{what.replace(' ', '').lower()}")
                pings.loading = subject is ours
                with subject.timed(what):
                    subject.api.ask("POST", "/images/load?quiet=1", archive)
                pings.loading = False
        if not number:  # caches and connections are warm
            ours.forget()
            peer.forget()
    for subject in (ours, peer):
        subject.api.close()
    print(file=sys.stderr)


def _layer(files: dict[str, bytes]) -> bytes:
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
