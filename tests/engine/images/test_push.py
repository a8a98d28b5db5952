"""Push to Debian's docker-registry: what is sent, what is not sent again, what is remembered."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.host import Host
from engine.host.registry import Registries
from engine.host.simulated import simulated
from engine.host.simulated_images import SimulatedImages
from engine.host.simulated_world import SimulatedWorld
from engine.images.progress import Line
from engine.images.push import GZIP, Pushes
from engine.model.errors import NotFound
from engine.model.image import Image
from engine.spec.references import Reference, parse
from tests.engine.host.archives import config, digest
from tests.engine.host.registry.kit import LAYER, LINUX, NOBODY, opened, repository
from tests.registries import DebianRegistry

LAYERS = [LAYER, LAYER[::-1]]


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def nobody(image: Image, reference: Reference) -> None:
    """Is told of a push."""


@pytest.fixture
async def registries(tmp_path: Path) -> AsyncIterator[Registries]:
    port = opened(tmp_path / "root")
    yield port
    await port.close()


@pytest.fixture
async def debian(tmp_path: Path) -> AsyncIterator[DebianRegistry]:
    async with DebianRegistry(tmp_path / "registry") as registry:
        yield registry


async def built(registries: Registries, *tags: str) -> Host:
    """A host with an image under these names."""
    world = SimulatedWorld()
    store = SimulatedImages(world)
    async with store.keeping():
        parent = ""
        for layer in LAYERS:
            parent = (await store.add_layer(parent, digest(layer), once(layer))).chain_id
        await store.add_image(config(LAYERS, architecture="amd64"), tags)
    return dataclasses.replace(simulated(world), registry=registries)


async def test_what_is_sent_and_what_is_not_sent_again(debian: DebianRegistry, registries: Registries) -> None:
    web, other = f"{debian.name}/web", f"{debian.name}/other"
    host = await built(registries, f"{web}:1", f"{web}:2", f"{other}:1")
    pushes = Pushes(host, nobody)

    async def push(reference: str) -> list[Line]:
        told: list[Line] = []
        await pushes.push(parse(reference), NOBODY, told.append)
        return told

    told = await push(f"{web}:1")
    assert told[0].status == f"The push refers to repository [{web}]"
    for layer in LAYERS:
        said = list(dict.fromkeys(line.status for line in told if line.id == digest(layer)[7:19]))
        assert said == ["Preparing", "Pushing", "Pushed"]
    aux = told[-1].aux
    assert told[-2].status == f"1: digest: {aux['Digest']} size: {aux['Size']}" and aux["Tag"] == "1"
    assert f"{web}@{aux['Digest']}" in (await host.images.find(f"{web}:1")).digests

    from_ = repository(registries, debian.name)
    manifest = await from_.manifest("1", LINUX)
    assert manifest.digest == aux["Digest"]
    image = await host.images.find(f"{web}:1")
    assert manifest.config.digest == image.id and await from_.config(manifest.config) == await host.images.config(image.id)
    for blob, layer in zip(manifest.layers, LAYERS, strict=True):
        async with from_.blob(blob, lambda have: None) as part:
            packed = b"".join([chunk async for chunk in part.read()])
        assert zlib.decompress(packed, GZIP) == layer

    again = await push(f"{web}:2")
    assert {line.status for line in again if line.id} == {"Preparing", "Layer already exists"}
    assert again[-1].aux["Digest"] == aux["Digest"], "the same image gives the same manifest"
    mounted = await push(f"{other}:1")
    assert {line.status for line in mounted if line.id} == {"Preparing", "Mounted from web"}
    assert json.loads(await from_.config(manifest.config))["architecture"] == "amd64"


async def test_all_tags_and_none(debian: DebianRegistry, registries: Registries) -> None:
    web = f"{debian.name}/web"
    pushes = Pushes(await built(registries, f"{web}:1", f"{web}:2", f"{debian.name}/webs:1"), nobody)
    await pushes.push_all(parse(web), NOBODY, lambda line: None)
    assert sorted(await repository(registries, debian.name).tags()) == ["1", "2"]
    with pytest.raises(NotFound, match="An image does not exist locally with the tag"):
        await pushes.push_all(parse(f"{debian.name}/none"), NOBODY, lambda line: None)
