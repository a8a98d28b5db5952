"""create: directories and records, and nothing mounted."""

from __future__ import annotations

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import Conflict, EngineError, Invalid, NotBuilt, NotFound
from engine.model.status import Status
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import BODY


async def test_it_makes_layers_and_a_record_and_mounts_nothing(engine: Engine, world: SimulatedWorld) -> None:
    done = await engine.do("create", "", {"name": "web", "body": BODY})
    c = engine.resolve("web")
    assert done.id == c.id and c.status is Status.CREATED and c.layers
    assert world.layers == {c.layers.init_id, c.layers.mount_id}
    assert ("containers", c.id) in world.records
    assert not (world.mounts or world.netns or world.plugs or world.tasks or world.specs)
    assert steps(engine)[:2] == ["MakeInitLayer", "MakeWritableLayer"]
    assert await told(engine) == ["create"]


async def test_what_was_asked_is_merged_with_the_image(engine: Engine) -> None:
    body = {"Image": "busybox", "Env": ["SHIP=1"], "Hostname": "harbour"}
    await engine.do("create", "", {"name": "web", "body": body})
    c = engine.resolve("web")
    assert (c.path, c.args) == ("sh", ()), "the image's command"
    assert c.config.env and set(c.config.env) == {"SHIP=1", "PATH=/bin"}
    assert c.config.hostname == "harbour"


async def test_without_a_name_it_is_given_one(engine: Engine) -> None:
    first, second = [(await engine.do("create", "", {"body": BODY})).id for _ in range(2)]
    names = {engine.resolve(id).name for id in (first, second)}
    assert len(names) == 2 and all("_" in name for name in names)


@pytest.mark.parametrize(
    ("name", "body", "error", "says"),
    [
        ("web", BODY, Conflict, "already in use"),
        ("-x", BODY, Invalid, "-x"),
        ("new", {"Image": "nothere"}, NotFound, "nothere"),
        ("new", {}, Invalid, "no image"),
        ("new", {"Image": "busybox", "HostConfig": {"Memory": 1}}, Invalid, "memory"),
        ("new", {"Image": "busybox", "HostConfig": {"Binds": ["/a:/b"]}}, NotBuilt, "Binds"),
    ],
)
async def test_what_cannot_be_made_makes_nothing(
    engine: Engine, world: SimulatedWorld, name: str, body: dict[str, object], error: type[EngineError], says: str
) -> None:
    await engine.do("create", "", {"name": "web", "body": BODY})
    before = world.owned()
    with pytest.raises(error, match=f"(?i){says}"):
        await engine.do("create", "", {"name": name, "body": body})
    assert world.owned() == before
    assert await told(engine) == ["create"]
