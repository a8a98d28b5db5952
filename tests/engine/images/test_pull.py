"""Pull from Debian's docker-registry into a store in memory: what is told, what is fetched, what is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.host import Host
from engine.host.registry import Registries
from engine.host.registry import manifest as manifests
from engine.host.simulated import simulated
from engine.host.simulated_world import SimulatedWorld
from engine.images.progress import Line
from engine.images.pull import Pulls
from engine.model.errors import Invalid, NotFound
from engine.model.image import Image
from engine.spec.references import Reference, parse
from tests.engine.host.archives import digest
from tests.engine.host.registry.kit import LAYER, LINUX, NOBODY, described, opened, put, repository, sending
from tests.registries import DebianRegistry

LAYERS = [LAYER, LAYER[::-1], LAYER[:5000], LAYER[:4000], LAYER[:3000]]


@dataclass
class Place:
    registry: DebianRegistry
    registries: Registries
    world: SimulatedWorld
    host: Host

    def __post_init__(self) -> None:
        self.came: list[str] = []
        self.pulls = Pulls(self.host, self._told)

    async def _told(self, image: Image, reference: Reference) -> None:
        self.came.append(reference.familiar)

    def reference(self, rest: str) -> Reference:
        return parse(f"{self.registry.name}/{rest}")

    async def push(self, tag: str, layers: list[bytes], **more: str) -> str:
        name, _ = await put(repository(self.registries, self.registry.name, push=True), tag, layers, **more)
        return name

    async def pull(self, rest: str, pulls: Pulls | None = None) -> tuple[Image, list[Line]]:
        told: list[Line] = []
        image = await (pulls or self.pulls).pull(self.reference(rest), LINUX, NOBODY, told.append)
        return image, told


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    world, registries = SimulatedWorld(), opened(tmp_path / "root")
    async with DebianRegistry(tmp_path / "registry") as registry:
        yield Place(registry, registries, world, dataclasses.replace(simulated(world), registry=registries))
    await registries.close()


def statuses(told: list[Line], id: str) -> list[str]:
    """What is told of one thing, the same only once."""
    return list(dict.fromkeys(line.status for line in told if line.id == id))


async def test_what_is_told(place: Place) -> None:
    name = await place.push("1", LAYERS)
    image, told = await place.pull("web:1")
    familiar = f"{place.registry.name}/web"
    assert (image.tags, image.digests) == ((f"{familiar}:1",), (f"{familiar}@{name}",))
    assert [layer.diff_id for layer in image.layers] == [digest(layer) for layer in LAYERS]
    assert told[0] == Line(status="Pulling from web", id="1")
    fetched = ["Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"]
    for layer in LAYERS:
        said = statuses(told, digest(layer)[7:19])
        assert said[0] == "Pulling fs layer" and [each for each in said[1:] if each != "Waiting"] == fetched, said
    assert any(line.status == "Waiting" for line in told)
    ends = [f"Digest: {name}", f"Status: Downloaded newer image for {familiar}:1"]
    assert [line.status for line in told[-2:]] == ends
    assert place.came == [f"{familiar}:1"]

    _, told = await place.pull("web:1")
    assert [line.status for line in told] == ["Pulling from web", ends[0], f"Status: Image is up to date for {familiar}:1"]


async def test_layers_that_are_there_are_not_fetched(place: Place) -> None:
    await place.push("1", LAYERS[:2])
    await place.push("2", LAYERS[:3])
    await place.pull("web:1")
    _, told = await place.pull("web:2")
    assert [statuses(told, digest(layer)[7:19])[0] for layer in LAYERS[:3]] == ["Already exists"] * 2 + ["Pulling fs layer"]


async def test_by_digest_and_then_by_tag(place: Place) -> None:
    name = await place.push("1", LAYERS[:1])
    image, told = await place.pull(f"web@{name}")
    assert image.tags == () and image.digests == (f"{place.registry.name}/web@{name}",) and told[0].id == name
    again, told = await place.pull("web:1")
    assert again.id == image.id and again.tags == (f"{place.registry.name}/web:1",)
    assert told[-1].status.startswith("Status: Downloaded newer image")


async def test_all_tags(place: Place) -> None:
    for tag in ("1", "2"):
        await place.push(tag, LAYERS[:1], comment=tag)
    await place.pulls.pull_all(place.reference("web"), LINUX, NOBODY, lambda line: None)
    assert place.came == [f"{place.registry.name}/web:{tag}" for tag in ("1", "2")]


async def test_two_at_once_share_the_work(place: Place) -> None:
    await place.push("1", LAYERS)
    (first, told), (second, also) = await asyncio.gather(place.pull("web:1"), place.pull("web:1"))
    assert first == second and told[-2:] == also[-2:] and len(place.came) == 1


async def test_one_that_is_cancelled_leaves_nothing(place: Place, tmp_path: Path) -> None:
    await place.push("1", LAYERS)
    before = dict(place.world.image_layers)
    heard = asyncio.Event()

    def tell(line: Line) -> None:
        if line.status == "Extracting":
            heard.set()

    work = asyncio.create_task(place.pulls.pull(place.reference("web:1"), LINUX, NOBODY, tell))
    await heard.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert place.world.image_layers == before and place.came == []
    assert list((tmp_path / "root/tmp/pull").iterdir()), "what was fetched waits for the next"
    image, _ = await place.pull("web:1")
    assert len(image.layers) == len(LAYERS) and not list((tmp_path / "root/tmp/pull").iterdir())


async def test_what_is_refused_and_what_is_warned_of(place: Place) -> None:
    with pytest.raises(NotFound, match=r"manifest for .*/web:9 not found: manifest unknown"):
        await place.pull("web:9")
    await place.push("win", LAYERS[:1], os="windows")
    with pytest.raises(Invalid, match='image operating system "windows" cannot be used'):
        await place.pull("web:win")
    await place.push("arm", LAYERS[:1], architecture="arm64")
    _, told = await place.pull("web:arm")
    assert told[1].status == f"WARNING: {place.registry.name}/web:arm is an image for linux/arm64, not for linux/amd64"


async def test_a_layer_with_another_diff_id_is_refused(place: Place) -> None:
    to = repository(place.registries, place.registry.name, push=True)
    _, data = await put(to, "1", LAYERS[:1])
    manifest = json.loads(data)
    await to.upload(sending(b"other"), "")
    manifest["layers"] = [described(b"other", manifests.OCI_LAYER)]
    await to.put_manifest("bad", json.dumps(manifest).encode(), manifests.OCI)
    with pytest.raises(Invalid, match=r"cannot pull .*its content is"):
        await place.pull("web:bad")
    assert len(place.world.images) == 1, "only the one that was there"
