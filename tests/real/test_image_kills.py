"""`kill -9` of a real engine at every kind of change that load, pull and remove make to the store; then a new one, and a look.

What is to come is heard in a rehearsal (`dying.py`): each kind of change is then killed at its last time, some at their first.
Afterwards the store holds whole images and what containers stand on, and nothing else; and the same work succeeds.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.host import busybox, tarsplit
from engine.host.imagedb import ImageDB
from engine.host.registry import Registries
from engine.model.errors import EngineError
from engine.model.status import Status
from tests.engine.host.archives import digest, entry, layer_of, saved, tar
from tests.engine.host.registry.kit import opened, put, repository
from tests.engines import EngineProcess
from tests.real.watching import POLITE, run
from tests.registries import DebianRegistry, Passing, Server

pytestmark = pytest.mark.timeout(600)

NOISE = random.Random(4).randbytes(3 << 20)
TOP = [
    tar(entry("etc/motd", b"hello"), entry("d/file", b"1" * 5000)),
    tar(entry("etc/.wh.motd"), entry("d/noise", NOISE)),
    tar(entry("d/file", b"2" * 5000)),
]
"""Three layers on busybox's."""
HAD = {"busybox:latest", "kept:1"}
"""Names of the images that were there before."""
FEED, FETCH, MORE, COMMIT = (
    "feed the unpacker",
    "keep what was fetched",
    "keep more of a blob",
    "os.rename image/overlay2/layerdb/tmp/ID",
)
Work = Callable[[], Awaitable[object]]


class Dying:
    """An engine process that can be told at which change to die."""

    def __init__(self, place: EngineProcess) -> None:
        self.place = place
        self.order = place.directory / "order"
        place.directory.mkdir()
        place.program = (sys.executable, "-m", "tests.real.dying", str(self.order))

    async def rehearse(self, work: Work) -> list[str]:
        """Do it once; each change that was made, in order."""
        self.order.write_text("0 list")
        await work()
        self.order.write_text("")
        return Path(f"{self.order}.list").read_text().splitlines()

    async def strike(self, nth: int, label: str, work: Work) -> None:
        """Do it, and die. Asserts that it was there that it died."""
        self.order.write_text(f"{nth} {label}")
        with pytest.raises(EngineError):
            await work()
        assert self.place.process
        assert await self.place.process.wait() == -signal.SIGKILL, (nth, label, self.place.said())
        self.order.write_text("")
        await self.place.start()

    async def load(self, archive: Path) -> None:
        async with self.place.client() as client:
            await client.images_load(str(archive))

    async def pull(self, reference: str) -> None:
        async with self.place.client() as client:
            async for _ in client.pull(reference):
                pass

    async def remove(self, reference: str) -> None:
        async with self.place.client() as client:
            await client.image_remove(reference, force=True)

    async def consistent(self) -> set[str]:
        """Every image is whole, and there is nothing that neither an image nor a container stands on. The images' names."""
        async with self.place.client() as client:
            images = await client.images()
            containers = [await client.inspect(row.id) for row in await client.containers()]
        own = {layer for c in containers if c.layers for layer in (c.layers.mount_id, c.layers.init_id)}
        below = {layer for c in containers if c.layers for layer in c.layers.lower}
        ids = {image.id for image in images}
        await asyncio.to_thread(_whole, self.place, ids)
        await asyncio.to_thread(_nothing_else, self.place, own, below, {c.id for c in containers})
        return {tag for image in images for tag in image.tags}


def last_of_each(heard: list[str], *first: str) -> list[tuple[int, str]]:
    """The last time of each kind, and the first time of some."""
    count = Counter(heard)
    return [*((count[label], label) for label in count), *((1, label) for label in first if count[label] > 1)]


def _whole(place: EngineProcess, ids: set[str]) -> None:
    db = ImageDB(place.root)
    assert set(db.image_ids()) == ids and set(db.read_tags().values()) <= ids
    for id in ids:
        for layer in db.read_image(id).layers:
            for _ in tarsplit.tar(db.split_of(layer.chain_id), db.layers.diff(layer.cache_id), layer.diff_id):
                pass  # it says at the end whether it is the layer


def _nothing_else(place: EngineProcess, own: set[str], below: set[str], containers: set[str]) -> None:
    root, db = Path(place.root), ImageDB(place.root)
    held = {layer.cache_id for id in db.image_ids() for layer in db.read_image(id).layers} | below
    assert set(os.listdir(root / "overlay2")) - {"l"} == held | own
    assert {os.readlink(path) for path in (root / "overlay2/l").iterdir()} == {f"../{layer}/diff" for layer in held | own}
    layerdb = root / "image/overlay2/layerdb"
    assert sorted((path / "cache-id").read_text() for path in (layerdb / "sha256").iterdir()) == sorted(held)
    assert set(os.listdir(layerdb / "mounts")) == containers and not os.listdir(layerdb / "tmp")
    assert not list((root / "image").rglob("*.tmp"))
    assert not [path for path in (root / "tmp").rglob("*") if path.name != "pull" and path.suffix != ".part"]


@pytest.fixture
async def layers() -> list[bytes]:
    """Of an image that can run."""
    return [layer_of(await busybox.archive("amd64")), *TOP]


@pytest.fixture
async def engine(place_engine: Callable[[], EngineProcess], layers: list[bytes], tmp_path: Path) -> AsyncIterator[Dying]:
    """An engine with an image that shares layers with the one to come, and a container that runs on it, whatever happens."""
    engine = Dying(place_engine())
    await engine.place.start()
    kept = tmp_path / "kept.tar"
    kept.write_bytes(saved(layers[:2], ["kept:1"]))
    await engine.load(kept)
    async with engine.place.client() as client:
        await run(client, "kept", POLITE | {"Image": "kept:1"})
        pid = (await client.inspect("kept")).state.pid
    yield engine
    async with engine.place.client() as client:
        c = await client.inspect("kept")
        assert (c.status, c.state.pid) == (Status.RUNNING, pid)


@pytest.fixture
async def registries(tmp_path: Path) -> AsyncIterator[Registries]:
    port = opened(tmp_path / "ours")
    yield port
    await port.close()


async def test_load(engine: Dying, layers: list[bytes], tmp_path: Path) -> None:
    archive = tmp_path / "web.tar"
    archive.write_bytes(saved(layers, ["web:1"]))

    async def load() -> None:
        await engine.load(archive)

    points = last_of_each(await engine.rehearse(load), FEED, COMMIT)
    await engine.remove("web:1")
    for nth, label in points:
        await engine.strike(nth, label, load)
        assert await engine.consistent() <= HAD, label
        await load()
        assert "web:1" in await engine.consistent()
        await engine.remove("web:1")
        assert await engine.consistent() == HAD
    assert len(points) > 15, points


async def test_pull(engine: Dying, layers: list[bytes], registries: Registries, tmp_path: Path) -> None:
    """What is particular to a pull. What was fetched of a layer is never fetched again."""
    async with DebianRegistry(tmp_path / "registry") as registry:
        await put(repository(registries, registry.name, push=True), "1", layers)
        passing = Passing(registry.name)
        async with Server(passing) as server:

            async def pull() -> None:
                await engine.pull(f"{server.name}/web:1")

            heard = await engine.rehearse(pull)
            own = [label for label in heard if not label.startswith(("open overlay2", "os.mkdir", "os.symlink"))]
            own = [label for label in own if "/layerdb/" not in label or label == COMMIT]
            points = last_of_each(own, FETCH, MORE, FEED, COMMIT)
            await engine.remove(f"{server.name}/web:1")
            big = f"/v2/web/blobs/{digest(layers[2])}"
            part = Path(engine.place.root, "tmp/pull", digest(layers[2])[7:] + ".part")
            reused = 0
            for nth, label in points:
                shutil.rmtree(Path(engine.place.root, "image/overlay2/distribution"))  # or there is nothing to learn
                await engine.strike(nth, label, pull)
                assert await engine.consistent() == HAD, label
                kept = part.stat().st_size if part.exists() else 0
                passing.served.clear()
                server.asked.clear()
                await pull()
                if kept:
                    assert passing.served.get(big, 0) == len(layers[2]) - kept, label
                    asked = [each.headers.get("Range") for each in server.asked if each.path == big]
                    assert asked == ([] if kept == len(layers[2]) else [f"bytes={kept}-"]), label
                    reused += kept < len(layers[2])
                assert f"{server.name}/web:1" in await engine.consistent() and not list(part.parent.iterdir())
                await engine.remove(f"{server.name}/web:1")
    assert len(points) > 8 and reused >= sum(label == MORE for _, label in points) > 0, points


@pytest.mark.parametrize("standing", [False, True], ids=["", "under a container"])
async def test_remove(engine: Dying, layers: list[bytes], tmp_path: Path, standing: bool) -> None:
    archive = tmp_path / "web.tar"
    archive.write_bytes(saved(layers, ["web:1", "web:2"]))
    await engine.load(archive)
    async with engine.place.client() as client:
        id = next(image.id for image in await client.images() if "web:1" in image.tags)
        if standing:
            await client.do("create", "", {"name": "idle", "body": POLITE | {"Image": "web:1"}})

    async def remove() -> None:
        await engine.remove(id)

    points = last_of_each(await engine.rehearse(remove), "os.rename image/overlay2/layerdb/sha256/ID")
    assert await engine.consistent() == HAD
    for nth, label in points:
        await engine.load(archive)
        await engine.strike(nth, label, remove)
        async with engine.place.client() as client:
            there = any(image.id == id for image in await client.images())
        assert await engine.consistent() - HAD <= {"web:1", "web:2"}, label
        if there:
            await remove()
        assert await engine.consistent() == HAD, label
    assert len(points) >= (3 if standing else 8), points
    if standing:
        async with engine.place.client() as client:
            await client.do("start", "idle")
            c = await client.inspect("idle")
            assert c.layers
            merged = Path(engine.place.root, "overlay2", c.layers.mount_id, "merged")
            assert (merged / "d/noise").read_bytes() == NOISE and not (merged / "etc/motd").exists()
