"""Layers one by one: shared, freed, given back byte for byte, packed from what a container wrote, saved and loaded again."""

import asyncio
import gzip
import io
import json
import os
import random
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from engine.host import Facts, Forgotten
from engine.host.images import ImageStore
from engine.host.overlay import OverlayRootfs
from engine.host.syscalls import MNT_DETACH, mount, umount2
from engine.model.errors import HostFailed, Invalid, NotFound
from engine.model.image import ImageLayer, chain_ids
from tests.engine.host.archives import config, digest, entry, saved, stream, tar

BASE = tar(entry("etc/motd", b"hello"), entry("bin", type=tarfile.DIRTYPE, mode=0o755))
TOP = tar(entry("etc/.wh.motd"), entry("etc/new", b"new"))
OTHER = tar(entry("other", b"other"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(Facts(root=str(tmp_path)))


async def load(store: ImageStore, data: bytes) -> list[str]:
    return [line async for line in store.load(stream(data))]


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def add(store: ImageStore, *layers: bytes) -> list[ImageLayer]:
    added: list[ImageLayer] = []
    for data in layers:
        added.append(await store.add_layer(added[-1].chain_id if added else "", digest(data), stream(data)))
    return added


async def removed(store: ImageStore, *ids: str) -> tuple[str, ...]:
    return await store.forget(lambda images: Forgotten(images=ids))


def directories(root: Path) -> set[str]:
    return set(os.listdir(root / "overlay2")) - {"l"}


# --- layers and images --------------------------------------------------------------------------------------------------


async def test_layers_come_one_by_one_and_an_image_holds_them(store: ImageStore, tmp_path: Path) -> None:
    told: list[int] = []
    packed = gzip.compress(TOP)
    async with store.keeping():
        (base,) = await add(store, BASE)
        top = await store.add_layer(base.chain_id, "", stream(packed, 50), told.append)
        assert (top.diff_id, top.chain_id) == (digest(TOP), chain_ids((digest(BASE), digest(TOP)))[1])
        assert told[-1] == len(packed) and await store.has_layer(top.chain_id) and not await store.has_layer(digest(TOP))
        name = "example.org/web@sha256:" + "1" * 64
        image = await store.add_image(config([BASE, TOP]), ["web:1"], [name])
    assert (image.tags, image.digests) == (("web:1",), (name,)) and await store.find(name) == image
    assert await store.config(image.id) == config([BASE, TOP])
    assert await ImageStore(Facts(root=str(tmp_path))).load_all() == [image]


async def test_an_image_needs_its_layers_and_a_layer_its_parent(store: ImageStore) -> None:
    with pytest.raises(NotFound, match="there is no layer"):
        await store.add_image(config([BASE]), ["web"])
    assert await store.load_all() == []
    with pytest.raises(NotFound):
        await store.add_layer(digest(TOP), "", stream(BASE))


async def test_names_are_given_moved_and_taken_away(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE], ["one"]))
    await load(store, saved([TOP], ["two"]))
    one, two = await store.find("one"), await store.find("two")
    await store.tag(two.id, "one")
    await store.tag(one.id, "example.org:5000/three:v")
    await store.forget(lambda images: Forgotten(names=("two:latest",)))
    again = ImageStore(Facts(root=str(tmp_path)))
    assert (await store.find(one.id)).tagged and (await store.find(two.id)).tagged
    for each in (store, again):
        assert [image.tagged for image in await each.load_all()] == [image.tagged for image in await store.load_all()]
        found = {image.id: image.tags for image in await each.load_all()}
        assert found == {one.id: ("example.org:5000/three:v",), two.id: ("one:latest",)}
    with pytest.raises(Invalid):
        await store.tag(one.id, "Three")


async def test_a_layer_that_comes_twice_at_once_is_kept_once(store: ImageStore, tmp_path: Path) -> None:
    async with store.keeping():
        first, second = await asyncio.gather(*(store.add_layer("", "", stream(BASE)) for _ in range(2)))
        assert first == second and directories(tmp_path) == {first.cache_id}


async def test_a_layer_that_is_given_up_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield BASE[:600]
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.add_layer("", "", stalled()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not directories(tmp_path) and not os.listdir(tmp_path / "image/overlay2/layerdb/tmp")


CHURN = """
import asyncio, sys
from engine.host import Facts, Forgotten
from engine.host.images import ImageStore
from tests.engine.host.archives import config, stream, tar, entry
async def main():
    store = ImageStore(Facts(root=sys.argv[1]))
    layers = [tar(entry(f"file{n}", b"x" * 5000)) for n in range(3)]
    print("go", flush=True)
    while True:
        async with store.keeping():
            below = ""
            for data in layers:
                below = (await store.add_layer(below, "", stream(data))).chain_id
            one = await store.add_image(config(layers), ["one"])
            two = await store.add_image(config(layers[:2]), ["two"])
        await store.forget(lambda images: Forgotten(images=(one.id,)))
        await store.forget(lambda images: Forgotten(images=(two.id,)))
asyncio.run(main())
"""


async def test_a_kill_at_any_moment_leaves_a_consistent_store(tmp_path: Path) -> None:
    chance = random.Random(1)
    for _ in range(3):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHURN, str(tmp_path)), stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            assert child.stdout and await child.stdout.readline() == b"go\n"
            await asyncio.sleep(chance.uniform(0.05, 0.4))
        finally:
            os.killpg(child.pid, signal.SIGKILL)  # its unpackers too, as a power cut would
            await child.wait()
        store = ImageStore(Facts(root=str(tmp_path)))
        images = await store.load_all()
        assert not store.unreadable
        held = {layer.cache_id for image in images for layer in image.layers}
        assert directories(tmp_path) == held and len(os.listdir(tmp_path / "overlay2/l")) == len(held)
        assert not os.listdir(tmp_path / "image/overlay2/layerdb/tmp")
        for image in images:
            for layer in image.layers:
                assert digest(await whole(store.layer_tar(layer.chain_id))) == layer.diff_id


# --- the tar, byte for byte ---------------------------------------------------------------------------------------------


def written(format: int, *entries: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for name, fields, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def sparse(root: Path, format: str) -> bytes:
    """A tar of GNU tar's with a file of holes."""
    with open(root / "holes", "wb") as file:
        file.write(b"begin")
        file.seek(1 << 22)
        file.write(b"middle")
        file.truncate(1 << 23)
    options = ["--format=posix", "--sparse-version=" + format] if "." in format else ["--format=gnu"]
    return subprocess.run(["tar", "-cS", *options, "holes"], cwd=root, check=True, capture_output=True).stdout


LONG = "d/" * 60 + "n" * 150
MIXED = (
    entry("d", type=tarfile.DIRTYPE, mode=0o755),
    entry(LONG, b"long" * 300),
    entry("d/caf\u00e9 \udcff\x1b\n", b"odd"),
    entry("d/hard", type=tarfile.LNKTYPE, linkname=LONG),
    entry("d/link", type=tarfile.SYMTYPE, linkname="hard"),
    entry("d/link2", type=tarfile.SYMTYPE, linkname="."),
    entry("d/link2/through", b"through"),
    entry("d/pipe", type=tarfile.FIFOTYPE),
    entry("./dot/../abs", b"1" * 512),
    entry("empty"),
    entry("d/.wh.gone", b"a whiteout with content"),
)
TARS = {
    "pax": written(tarfile.PAX_FORMAT, *MIXED),
    "gnu": written(tarfile.GNU_FORMAT, *MIXED),
    "pax with a time": tar(entry("x", b"1", pax_headers={"mtime": "1.5", "comment": "x" * 5000})),
    "more zeros": BASE + bytes(3 << 20),
    "no zeros": BASE.rstrip(b"\0") + bytes(-len(BASE.rstrip(b"\0")) % 512),
    "garbage after the end": BASE + b"garbage" * 1000,
    "garbage in the padding": BASE.replace(b"hello\0\0\0", b"hello\1\2\3"),
    "nothing": bytes(1024),
}


@pytest.mark.parametrize("name", [*TARS, "0.0", "0.1", "1.0", "oldgnu"])
async def test_a_layer_is_given_back_byte_for_byte(store: ImageStore, tmp_path: Path, name: str) -> None:
    data = TARS[name] if name in TARS else sparse(tmp_path, name)
    async with store.keeping():
        layer = await store.add_layer("", digest(data), stream(zstd.compress(data)))
        assert await whole(store.layer_tar(layer.chain_id)) == data
        if name not in TARS:
            holes = tmp_path / "overlay2" / layer.cache_id / "diff/holes"
            assert holes.read_bytes() == (tmp_path / "holes").read_bytes() and holes.stat().st_blocks * 512 < 1 << 20


async def test_a_layer_changed_on_the_disk_is_said(store: ImageStore, tmp_path: Path) -> None:
    async with store.keeping():
        layer = (await add(store, BASE))[0]
        motd = tmp_path / "overlay2" / layer.cache_id / "diff/etc/motd"
        ways: list[Callable[[], Any]] = [
            lambda: motd.write_bytes(b"HELLO"),
            lambda: motd.write_bytes(b"more"),
            motd.unlink,
            lambda: os.mkfifo(motd),
        ]
        for way in ways:
            way()
            with pytest.raises(HostFailed, match=r"was changed on the disk.*pull it again"):
                await whole(store.layer_tar(layer.chain_id))
        split = tmp_path / "image/overlay2/layerdb/sha256" / layer.chain_id.removeprefix("sha256:") / "tar-split.json.gz"
        split.write_bytes(b"nonsense")
        with pytest.raises(HostFailed, match=r"changed on the disk: tar-split"):
            await whole(store.layer_tar(layer.chain_id))
        split.unlink()
        with pytest.raises(HostFailed, match="no record of how its tar was made"):
            await whole(store.layer_tar(layer.chain_id))
    with pytest.raises(NotFound):
        await whole(store.layer_tar(digest(TOP)))


async def test_the_split_is_dockers_format(store: ImageStore, tmp_path: Path) -> None:
    async with store.keeping():
        layer = (await add(store, BASE))[0]
        split = tmp_path / "image/overlay2/layerdb/sha256" / layer.chain_id.removeprefix("sha256:") / "tar-split.json.gz"
        lines = [json.loads(line) for line in gzip.decompress(split.read_bytes()).splitlines()]
    assert [line["position"] for line in lines] == list(range(len(lines)))
    assert [line["type"] for line in lines] == [2, 1, 2]
    assert lines[1] == {"type": 1, "name": "etc/motd", "size": 5, "payload": None, "position": 1}


# --- bounds -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    root = tmp_path / "small"
    root.mkdir()
    mount("small", str(root), "tmpfs", data="size=8m")
    yield root
    umount2(str(root), MNT_DETACH)


async def test_the_last_files_of_a_disk_are_left_to_others(small_disk: Path) -> None:
    umount2(str(small_disk), MNT_DETACH)
    mount("small", str(small_disk), "tmpfs", data="nr_inodes=200")
    store = ImageStore(Facts(root=str(small_disk)))
    await store.load_all()
    while (left := os.statvfs(small_disk).f_favail) > 16:  # a layer's own directories take some
        (small_disk / str(left)).touch()
    with pytest.raises(HostFailed, match=r"the layer: entry 'etc/motd': the disk takes no more files; make room on the disk"):
        await store.add_layer("", "", stream(BASE))
    assert not directories(small_disk)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
async def test_a_bomb_is_refused_by_the_room_there_is(small_disk: Path, pack: Any) -> None:
    store = ImageStore(Facts(root=str(small_disk)))
    bomb = pack(tar(entry("zeros", bytes(60 << 20))))
    with pytest.raises(HostFailed, match=r"No space left.*takes at least [0-9.]+ MB, and there is room for [78]\.\d MB"):
        await store.add_layer("", "", stream(bomb))
    assert not directories(small_disk)


# --- what a container wrote ---------------------------------------------------------------------------------------------


async def test_a_writable_layer_goes_into_a_tar_and_comes_out_the_same(store: ImageStore, tmp_path: Path) -> None:
    base = tar(*(entry(f"d{n}/file", b"below") for n in range(3)), entry("gone", b"1"))
    await load(store, saved([base], ["web"]))
    image = await store.find("web")
    rootfs = OverlayRootfs(Facts(root=str(tmp_path)))
    await rootfs.make_init("init", (image.layers[0].cache_id,))
    await rootfs.make_writable("own", "init", (image.layers[0].cache_id,), image.layers[0].chain_id, "id")
    capability = b"\x01\x00\x00\x02\x20" + bytes(15)
    merged = Path(await rootfs.mount("own"))
    try:
        (merged / "gone").unlink()
        (merged / "d1/file").unlink()
        (merged / "d1").rmdir()
        (merged / "d1").mkdir()
        (merged / "d1/new").write_bytes(b"new")
        os.link(merged / "d1/new", merged / "d2/hard")
        os.chown(merged / "d1/new", 70000, 7)
        os.chmod(merged / "d1/new", 0o6755)
        os.setxattr(merged / "d1/new", "security.capability", capability)
        os.utime(merged / "d1/new", ns=(1, 1500000000123456789))
        os.symlink("../else\udcff", merged / "d2/link")
        os.mkfifo(merged / "pipe")
        os.mknod(merged / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        data = await whole(store.diff_tar("own"))
    finally:
        await rootfs.unmount("own")
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        names = packed.getnames()
    assert {".wh.gone", "d1/.wh..wh..opq", "d1/new", "d2/hard"} <= set(names) and "d0" not in names
    async with store.keeping():
        layer = await store.add_layer(image.layers[0].chain_id, "", stream(data))
        diff, own = tmp_path / "overlay2" / layer.cache_id / "diff", tmp_path / "overlay2/own/diff"
        assert listing(diff) == listing(own)
        assert os.getxattr(diff / "d1/new", "security.capability") == capability
        assert (diff / "d1/new").stat().st_ino == (diff / "d2/hard").stat().st_ino
    with pytest.raises(NotFound):
        await whole(store.diff_tar("none"))


def listing(root: Path) -> dict[str, tuple[Any, ...]]:
    found = {}
    for path in sorted(root.rglob("*")):
        own = path.lstat()
        attributes = [name for name in os.listxattr(path, follow_symlinks=False) if name == "trusted.overlay.opaque"]
        content = path.read_bytes() if stat.S_ISREG(own.st_mode) else os.readlink(path) if path.is_symlink() else ""
        times = 0 if stat.S_ISCHR(own.st_mode) and not own.st_rdev else own.st_mtime_ns
        mode = 0 if stat.S_ISCHR(own.st_mode) and not own.st_rdev else own.st_mode
        found[str(path.relative_to(root))] = (mode, own.st_uid, own.st_gid, own.st_rdev, times, content, attributes)
    return found


# --- many layers ------------------------------------------------------------------------------------------------------


async def test_the_most_layers_an_image_may_have_mount(store: ImageStore, tmp_path: Path) -> None:
    layers = [tar(entry(f"file{number}", b"x")) for number in range(125)]
    async with store.keeping():
        added = await add(store, *layers[:3])
        pending = added[-1].cache_id
        for number in range(3, 125):
            store._db.layers.make(f"layer{number}", pending)
            (tmp_path / f"overlay2/layer{number}/diff/file{number}").write_text("x")
            pending = f"layer{number}"
        rootfs = OverlayRootfs(Facts(root=str(tmp_path)))
        await rootfs.make_init("init", (pending,))
        await rootfs.make_writable("own", "init", (pending,), "", "id")
        try:
            merged = await rootfs.mount("own")
            assert sum(name.startswith("file") for name in os.listdir(merged)) == 125
        finally:
            await rootfs.unmount("own")
