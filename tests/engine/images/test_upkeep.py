"""Removal against what goes on at the same time, with the whole engine on a simulated host."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.core import Engine
from engine.host.simulated_world import BUSYBOX, SimulatedWorld
from engine.model.errors import Conflict, EngineError, NotFound
from engine.model.status import Status
from tests.engine.worlds import BODY, engine_on, settle

CREATE = {"name": "web", "body": BODY}


async def outcome(work: Any) -> object:
    try:
        return await work
    except EngineError as error:
        return error


def whole(engine: Engine, world: SimulatedWorld) -> bool:
    """Has every container the layers it stands on?"""
    there = {layer.cache_id for layer, _ in world.image_layers.values()}
    return all(c.layers and set(c.layers.lower) <= there for c in engine.ledger.records.values())


async def test_create_and_remove_at_the_same_time() -> None:
    """Whatever comes first wins, the other is told; never is there a container without its layers."""
    seen = set()
    for delay in range(40):
        for first_is_create in (True, False):
            world = SimulatedWorld()
            engine = await engine_on(world)
            works = [engine.do("create", "", CREATE), engine.upkeep.remove(BUSYBOX.id, force=True)]
            early, late = works if first_is_create else works[::-1]
            begun = asyncio.create_task(outcome(early))
            for _ in range(delay):
                await asyncio.sleep(0)
            second = await outcome(late)
            first = await begun
            created, removed = (first, second) if first_is_create else (second, first)
            assert whole(engine, world)
            if isinstance(created, NotFound):
                assert not isinstance(removed, EngineError) and not engine.ledger.records and not world.image_layers
                seen.add("removed")
            elif isinstance(removed, Conflict):
                assert "which is being created" in str(removed) and BUSYBOX.id in world.images
                seen.add("conflict")
            else:
                assert engine.resolve("web").status is Status.CREATED and BUSYBOX.id not in world.images
                seen.add("created, then forced")
            await engine.do("start", "web") if engine.ledger.records else None
            await settle(engine)
    assert seen == {"removed", "conflict", "created, then forced"}


async def test_a_lesson_keeps_the_image_of_what_is_not_made_yet() -> None:
    engine = await engine_on(SimulatedWorld())
    await engine.begin("create", "", CREATE)
    with pytest.raises(Conflict, match="which is being created"):
        await engine.upkeep.remove(BUSYBOX.id, force=True)
    with pytest.raises(Conflict, match="is using its referenced image"):
        await engine.upkeep.remove("busybox")
    await settle(engine)


async def test_layers_go_with_the_last_container_when_the_image_has_gone_before() -> None:
    world = SimulatedWorld()
    engine = await engine_on(world)
    for name in ("one", "two"):
        await engine.do("create", "", CREATE | {"name": name})
    told = await engine.upkeep.remove(BUSYBOX.id, force=True)
    assert told == [{"Untagged": "busybox:latest"}, {"Deleted": BUSYBOX.id}] and world.image_layers
    assert not engine.hub.world.images, "the screen has heard of it"
    await engine.do("remove", "one")
    await settle(engine)
    assert whole(engine, world)
    await engine.do("start", "two")
    await engine.do("remove", "two", {"force": True})
    await settle(engine)
    assert not world.image_layers


async def test_what_is_kept_while_it_comes_is_not_freed() -> None:
    """A pull finds a layer, then the image that had it goes: the layer stays for the new one."""
    world = SimulatedWorld()
    engine = await engine_on(world)
    (layer,) = BUSYBOX.layers
    config = b'{"os": "linux", "comment": "other", "rootfs": {"type": "layers", "diff_ids": ["%s"]}}' % layer.diff_id.encode()
    async with engine.host.images.keeping():
        assert await engine.host.images.has_layer(layer.chain_id)
        assert await engine.upkeep.remove("busybox") == [{"Untagged": "busybox:latest"}, {"Deleted": BUSYBOX.id}]
        image = await engine.host.images.add_image(config, ["other"])
    assert image.layers == BUSYBOX.layers and set(world.image_layers) == {layer.chain_id}


async def test_events_and_what_is_freed() -> None:
    world = SimulatedWorld()
    engine = await engine_on(world)
    with engine.events.subscribe() as messages:
        await engine.upkeep.tag("busybox", "web", "1")
        async for _ in engine.upkeep.save(["web:1"]):
            pass
        await engine.upkeep.remove("busybox")
        told, reclaimed = await engine.upkeep.prune(lambda image: True, dangling=False)
        heard = [await anext(messages) for _ in range(6)]
    id = BUSYBOX.id
    assert told == [{"Untagged": "web:1"}, {"Deleted": id}, {"Deleted": BUSYBOX.layers[0].chain_id}]
    assert [(each.action, each.actor.id, each.actor.attributes) for each in heard] == [
        ("tag", id, {"name": "web:1"}),
        ("save", id, {"name": id}),
        ("untag", id, {"name": id}),
        ("untag", id, {"name": id}),
        ("delete", id, {"name": id}),
        ("prune", "", {"reclaimed": "1000"}),
    ]
    assert reclaimed == 1000 and not world.image_layers
