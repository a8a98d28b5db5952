"""Names, images and layers that go: exactly what nobody holds any more, whatever happens at the same time."""

import asyncio
import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from engine.host import Facts, Forgotten
from engine.host.disk import remove_tree
from engine.host.images import ImageStore
from engine.host.layers import content_size
from engine.model.errors import Conflict, HostFailed, NotFound
from engine.model.image import Image
from tests.engine.host.archives import digest, saved
from tests.engine.host.test_layers import BASE, OTHER, TOP, add, directories, load, removed, store, whole

__all__ = ["store"]


def test_a_tree_deeper_than_a_path_can_say(tmp_path: Path) -> None:
    """As any container may make one: it is counted as far as paths reach, and removed."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_text("12345")
    here = os.open(tmp_path / "deep", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)
    assert content_size(str(tmp_path / "deep")) == (5, 1)
    remove_tree(str(tmp_path / "deep"))
    assert not os.listdir(tmp_path)


async def test_what_nobody_holds_goes_when_the_last_keeper_leaves(store: ImageStore, tmp_path: Path) -> None:
    async with store.keeping():
        async with store.keeping():
            await add(store, BASE)
        assert len(directories(tmp_path)) == 1
    assert not directories(tmp_path)


async def test_removal_frees_exactly_what_no_other_image_uses(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE, TOP], ["one", "also"]))
    await load(store, saved([BASE, OTHER], ["two"]))
    one, two = await store.find("one"), await store.find("two")
    assert await removed(store, one.id) == (one.layers[1].chain_id,)
    assert directories(tmp_path) == {layer.cache_id for layer in two.layers}
    for gone in ("one", "also", one.id):
        with pytest.raises(NotFound):
            await store.find(gone)
    assert await ImageStore(Facts(root=str(tmp_path))).load_all() == [two]
    assert set(await removed(store, two.id)) == {layer.chain_id for layer in two.layers}
    assert not directories(tmp_path) and not os.listdir(tmp_path / "overlay2/l")
    for call in (store.find(one.id), store.config(one.id), store.tag(one.id, "x")):
        with pytest.raises(NotFound, match="No such image"):
            await call


async def test_what_is_chosen_to_go_is_found_by_nobody_any_more(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the tick of the choice on; and is back, names and all, when its end cannot be written down."""
    await load(store, saved([BASE], ["one"]))
    one = await store.find("one")

    def refuse(choice: object) -> Forgotten:
        raise Conflict("cannot")

    with pytest.raises(Conflict):
        await store.forget(refuse)
    assert await store.forget(lambda images: Forgotten()) == () and await store.find("one") == one

    def full(id: str) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(store._db, "write_tags", full)
        going = asyncio.create_task(removed(store, one.id))
        while store._images:
            await asyncio.sleep(0)
        with pytest.raises(NotFound):
            await store.find("one")
        with pytest.raises(HostFailed):
            await going
    assert await store.find("one") == one
    with monkeypatch.context() as patch:
        patch.setattr(store._db, "forget_image", full)
        with pytest.raises(HostFailed):
            await removed(store, one.id)
    left = await store.find(one.id)
    assert left.tags == () and left.layers == one.layers


async def test_a_sweep_and_a_keeper_do_not_meet(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes to keep layers waits until a sweep is over: what it then sees stays."""
    await load(store, saved([BASE], ["one"]))
    one = await store.find("one")
    sweeping, go_on, sweep = asyncio.Event(), threading.Event(), store._db.sweep
    loop = asyncio.get_running_loop()

    def slow(images: list[Image]) -> tuple[str, ...]:
        loop.call_soon_threadsafe(sweeping.set)
        go_on.wait(10)
        return sweep(images)

    monkeypatch.setattr(store._db, "sweep", slow)
    going = asyncio.create_task(removed(store, one.id))
    await sweeping.wait()

    async def keep() -> bool:
        async with store.keeping():
            return await store.has_layer(one.layers[0].chain_id)

    keeper = asyncio.create_task(keep())
    await asyncio.wait([keeper], timeout=0.05)
    go_on.set()
    assert not await keeper and await going == (one.layers[0].chain_id,)


async def test_images_come_and_go_at_the_same_time(store: ImageStore, tmp_path: Path) -> None:
    """Loads, names and removals, all at once: what is there afterwards is whole, and nothing else is on the disk."""
    piles = ([BASE], [BASE, TOP], [BASE, OTHER], [OTHER])

    async def come(number: int) -> None:
        await load(store, saved(piles[number], [f"image:{number}"]))
        with suppress(NotFound):
            await store.tag((await store.find(f"image:{number}")).id, "moving:latest")

    async def go(number: int) -> None:
        await store.forget(lambda images: Forgotten(images=tuple(images)[: 1 + number % 2]))

    for _ in range(3):
        await asyncio.gather(*(work(number) for number in range(4) for work in (come, go)))
    images = await store.load_all()
    assert {image.id: image for image in await ImageStore(Facts(root=str(tmp_path))).load_all()} == {i.id: i for i in images}
    assert directories(tmp_path) == {layer.cache_id for image in images for layer in image.layers}
    for image in images:
        for layer in image.layers:
            assert digest(await whole(store.layer_tar(layer.chain_id))) == layer.diff_id
