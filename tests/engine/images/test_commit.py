"""Commit on a simulated host: what the image says, what stands still meanwhile, and what a dead engine leaves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from engine.core import Engine
from engine.host.simulated_images import SimulatedImages
from engine.host.simulated_world import BUSYBOX, SimulatedWorld
from engine.images.commit import Wish
from engine.model.errors import Conflict, EngineError, HostFailed, Invalid, NotFound
from engine.model.settings import Config
from engine.model.status import Status
from engine.recovery import recover
from tests.engine.faults import KINDS, Faults, Killed
from tests.engine.worlds import REACH, engine_on, picture, settle

WRITTEN = b"what web has written"


@pytest.fixture(autouse=True)
def writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every container has written the same; nobody else's layer is like it."""

    async def diff_tar(self: SimulatedImages, mount_id: str) -> AsyncGenerator[bytes, None]:
        yield WRITTEN

    monkeypatch.setattr(SimulatedImages, "diff_tar", diff_tar)


async def web(status: Status, faults: Faults | None = None) -> tuple[SimulatedWorld, Engine]:
    world = SimulatedWorld()
    engine = await engine_on(world, faults)
    await REACH[status](engine)
    return world, engine


async def commit(engine: Engine, **wish: Any) -> Any:
    """The config of the image that is made."""
    image = await engine.commits.commit(engine.resolve("web").id, Wish(**wish))
    return msgspec.json.decode(await engine.host.images.config(image.id))


def told(engine: Engine) -> list[str]:
    return [f"{message.type} {message.action}" for message in engine.events._history]


async def test_the_image_stands_on_the_container_s_own() -> None:
    world, engine = await web(Status.EXITED)
    c = engine.resolve("web")
    wish = Wish(repository="web", tag="1", comment="why", author="me", changes=("ENV A=b", 'CMD ["x"]'))
    image = await engine.commits.commit(c.id, wish)
    assert image.parent == BUSYBOX.id and image.tags == ("web:1",) and (image.comment, image.author) == ("why", "me")
    assert [layer.diff_id for layer in image.layers] == [
        BUSYBOX.layers[0].diff_id,
        "sha256:" + hashlib.sha256(WRITTEN).hexdigest(),
    ]
    assert image.config.env == ("PATH=/bin", "A=b") and image.config.cmd == ("x",) and image.config.image == "busybox"
    config = msgspec.json.decode(world.image_configs[image.id])
    (entry,) = config["history"]
    assert entry.pop("created").endswith("Z")
    assert entry == {"author": "me", "created_by": "sleep 1000", "comment": "why"}
    assert config["container"] == c.id and config["container_config"]["Cmd"] == ["sleep", "1000"]
    assert list(config) == sorted(config)
    assert told(engine)[-2:] == ["image tag", "container commit"]
    last = engine.events._history[-1].actor.attributes
    assert (last["comment"], last["imageID"], last["imageRef"], last["name"]) == ("why", image.id, "web:1", "web")
    assert engine.hub.world.images[image.id].tags == ("web:1",)
    await settle(engine)


async def test_nothing_written_makes_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def diff_tar(self: SimulatedImages, mount_id: str) -> AsyncGenerator[bytes, None]:
        yield bytes(1024)

    monkeypatch.setattr(SimulatedImages, "diff_tar", diff_tar)
    world, engine = await web(Status.EXITED)
    config = await commit(engine)
    assert config["rootfs"]["diff_ids"] == [BUSYBOX.layers[0].diff_id] and config["history"][-1]["empty_layer"] is True
    assert len(world.image_layers) == 1
    await settle(engine)


async def test_settings_of_the_request_come_first_and_are_completed() -> None:
    _, engine = await web(Status.EXITED)
    given = Config(entrypoint=("sh",), env=("A=1",))
    config = (await commit(engine, config=given, changes=("USER me",)))["config"]
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["sh"], None, "me")
    assert config["Env"] == ["A=1", "PATH=/bin"] and config["Hostname"] == ""
    await settle(engine)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"changes": ("RUN x",)}, Invalid),
        ({"repository": "UPPER"}, Invalid),
        ({"repository": "x@sha256:" + "0" * 64}, Invalid),
    ],
)
async def test_what_cannot_be_is_said_before_anything_stands_still(wish: Any, error: type[EngineError]) -> None:
    _, engine = await web(Status.RUNNING)
    with pytest.raises(error):
        await commit(engine, **wish)
    assert "container pause" not in told(engine)
    await settle(engine)


async def test_an_image_that_is_gone_cannot_be_built_on() -> None:
    world, engine = await web(Status.EXITED)
    del world.images[BUSYBOX.id]
    with pytest.raises(NotFound, match="the image it was made from is gone"):
        await commit(engine)
    with pytest.raises(NotFound, match="No such container"):
        await engine.commits.commit("f" * 64, Wish())
    await settle(engine)


class Held:
    """The reading of what was written, stopped in the middle."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        held = self

        async def diff_tar(self: SimulatedImages, mount_id: str) -> AsyncGenerator[bytes, None]:
            held.begun.set()
            await held.go_on.wait()
            yield WRITTEN

        monkeypatch.setattr(SimulatedImages, "diff_tar", diff_tar)


async def test_a_running_container_stands_still_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world, engine = await web(Status.RUNNING)
    held, id = Held(monkeypatch), engine.resolve("web").id
    before = engine.resolve("web").run
    work = asyncio.create_task(commit(engine))
    await held.begun.wait()
    assert world.tasks[id].frozen and engine.resolve("web").status is Status.PAUSED
    stop = asyncio.create_task(engine.do("stop", "web"))
    await asyncio.sleep(0)
    assert not stop.done(), "it waits until the container goes on"
    held.go_on.set()
    await work
    await stop
    assert engine.resolve("web").status is Status.EXITED
    events = [event for event in told(engine) if event.split()[1] in ("pause", "unpause", "commit", "kill", "die")]
    assert events[:2] == ["container pause", "container unpause"] and before is not None
    await settle(engine)


async def test_the_last_operation_is_again_what_it_was() -> None:
    _, engine = await web(Status.RUNNING)
    before = engine.resolve("web")
    await commit(engine)
    assert engine.resolve("web") == before
    await settle(engine)


@pytest.mark.parametrize(("status", "wish"), [(Status.RUNNING, {"pause": False}), (Status.PAUSED, {}), (Status.EXITED, {})])
async def test_nothing_is_frozen_that_need_not_be(status: Status, wish: dict[str, bool]) -> None:
    _, engine = await web(status)
    count = len(told(engine))
    await commit(engine, **wish)
    assert told(engine)[count:] == ["container commit"] and engine.resolve("web").status is status
    await settle(engine)


async def test_what_is_removed_while_it_is_read_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    world, engine = await web(Status.EXITED)
    held = Held(monkeypatch)
    work = asyncio.create_task(commit(engine, pause=False))
    await held.begun.wait()
    await engine.do("remove", "web")
    held.go_on.set()
    with pytest.raises(NotFound, match="No such container"):
        await work
    assert list(world.images) == [BUSYBOX.id] and len(world.image_layers) == 1
    await settle(engine)


async def test_what_ends_while_it_stands_still_is_recorded_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    _, engine = await web(Status.RUNNING)
    held = Held(monkeypatch)
    work = asyncio.create_task(commit(engine))
    await held.begun.wait()
    engine.host.tasks.end(engine.resolve("web").id, 7)  # type: ignore[attr-defined]
    held.go_on.set()
    await work
    await settle(engine)
    c = engine.resolve("web")
    assert (c.status, c.state.exit_code) == (Status.EXITED, 7)


async def test_a_container_that_is_not_whole_is_refused() -> None:
    _, engine = await web(Status.EXITED)
    c = engine.resolve("web")
    engine.ledger.claim(replace(c, state=replace(c.state, status=Status.REMOVING)))
    with pytest.raises(Conflict, match="You cannot commit container web which is being removed"):
        await commit(engine)
    engine.ledger.claim(replace(c, state=replace(c.state, status=Status.CREATING)))
    with pytest.raises(Conflict, match="it is being made"):
        await commit(engine)
    engine.ledger.claim(c)
    await settle(engine)


# --- bad days -----------------------------------------------------------------------------------------------------------


async def calls_of_a_commit() -> list[str]:
    faults = Faults()
    _, engine = await web(Status.RUNNING, faults)
    faults.calls.clear()
    await commit(engine, repository="web")
    await settle(engine)
    return faults.calls


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_fails_and_whoever_dies_nothing_stays_frozen(kind: str) -> None:
    calls = await calls_of_a_commit()
    assert {"tasks.pause", "tasks.resume", "images.add_layer", "images.add_image"} <= set(calls)
    for at in range(len(calls)):
        faults = Faults()
        world, engine = await web(Status.RUNNING, faults)
        before = picture(world)
        faults.plan = {len(faults.calls) + at: kind}
        try:
            await commit(engine, repository="web")
        except (HostFailed, Killed):
            pass
        assert faults.fired, f"{kind} of {calls[at]} did not fire"
        if not faults.dead:
            await settle(engine)
        last = await engine_on(world)
        assert picture(world) == before, f"{kind}: {calls[at]}"
        assert last.resolve("web").status is Status.RUNNING and not world.image_keepers
        await settle(last)


async def test_a_machine_that_went_down_meanwhile_breaks_nothing() -> None:
    """The task is gone with its freezer: the container has ended, and can be started again."""
    faults = Faults()
    world, engine = await web(Status.RUNNING, faults)
    calls = await calls_of_a_commit()
    faults.plan = {len(faults.calls) + calls.index("images.add_layer"): "kill before"}
    with pytest.raises(Killed):
        await commit(engine)
    world.tasks.clear()
    world.image_keepers = 0
    last = await engine_on(world)
    await recover(last)
    assert last.resolve("web").status is Status.EXITED
    await last.do("start", "web")
    await settle(last)
