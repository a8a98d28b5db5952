"""The image store: real archives, real layers, the child that unpacks them."""

import asyncio
import bz2
import gzip
import json
import lzma
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from engine.host import Facts, busybox
from engine.host.images import ImageStore
from engine.host.overlay import OverlayRootfs
from engine.host.syscalls import MNT_DETACH, mount, umount2
from engine.host.unpack import _start as start_unpacker
from engine.host.untar import REFUSED
from engine.model.errors import EngineError, HostFailed, Invalid, NotFound
from engine.model.image import Image, chain_ids
from tests.engine.host.archives import config, digest, entry, oci, platforms, saved, stream, tar

BASE = tar(entry("etc/motd", b"hello"), entry("bin", type=tarfile.DIRTYPE, mode=0o755))
TOP = tar(entry("etc/.wh.motd"), entry("etc/new", b"new"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(Facts(root=str(tmp_path)))


async def load(store: ImageStore, data: bytes) -> list[str]:
    return [line async for line in store.load(stream(data))]


def everything(root: Path) -> dict[str, bytes]:
    """Every file, directory and link of the store; what each holds."""
    found = {}
    for path in sorted(root.rglob("*")):
        held = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = held
    return found


def diff(root: Path, image: Image, layer: int = -1) -> Path:
    return root / "overlay2" / image.layers[layer].cache_id / "diff"


# --- loading and finding ------------------------------------------------------------------------------------------------


async def test_a_saved_image_is_taken_in_and_found_again(store: ImageStore, tmp_path: Path) -> None:
    image = config([BASE, TOP], created="2024-05-06T07:08:09.123456489Z", architecture="amd64", config={"Cmd": ["sh"]})
    lines = await load(store, saved([BASE, TOP], ["web:1", "web:2"], image=image))
    assert lines == ["Loaded image: web:1", "Loaded image: web:2"]
    found = await store.find("web:1")
    assert found.id == digest(image) and found.tags == ("web:1", "web:2") and found.config.cmd == ("sh",)
    assert found.created == datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
    assert [layer.created_by for layer in found.layers] == ["layer 0", "layer 1"]
    assert [layer.size for layer in found.layers] == [5, 3]
    assert tuple(layer.chain_id for layer in found.layers) == chain_ids((digest(BASE), digest(TOP)))
    again = ImageStore(Facts(root=str(tmp_path)))
    assert await again.load_all() == [found]


async def test_the_layout_is_dockers(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE, TOP], ["web"]))
    image = await store.find("web")
    base, top = image.layers
    db = tmp_path / "image/overlay2"
    assert json.loads((db / "repositories.json").read_text()) == {"Repositories": {"web": {"web:latest": image.id}}}
    content = db / "imagedb/content/sha256" / image.id.removeprefix("sha256:")
    assert content.read_bytes() == config([BASE, TOP]) and stat.S_IMODE(content.stat().st_mode) == 0o600
    for layer, parent in ((base, None), (top, base.chain_id)):
        entries = db / "layerdb/sha256" / layer.chain_id.removeprefix("sha256:")
        held = {path.name: path.read_text() for path in entries.iterdir() if path.name != "tar-split.json.gz"}
        assert held.pop("parent", None) == parent
        assert held == {"cache-id": layer.cache_id, "diff": layer.diff_id, "size": str(layer.size)}
    directories = tmp_path / "overlay2"
    assert sorted(os.listdir(directories / base.cache_id)) == ["committed", "diff", "link"]
    assert sorted(os.listdir(directories / top.cache_id)) == ["diff", "link", "lower", "work"]
    assert os.listdir(db / "layerdb/tmp") == os.listdir(tmp_path / "tmp") == []


async def test_a_container_sees_the_image_through_its_layers(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE, TOP], ["web"]))
    lower = tuple(layer.cache_id for layer in reversed((await store.find("web")).layers))
    rootfs = OverlayRootfs(Facts(root=str(tmp_path)))
    await rootfs.make_init("init", lower)
    await rootfs.make_writable("own", "init", lower, "", "id")
    try:
        merged = await rootfs.mount("own")
        assert sorted(os.listdir(f"{merged}/etc")) == ["hostname", "hosts", "mtab", "new", "resolv.conf"]
    finally:
        await rootfs.unmount("own")


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, bz2.compress, lzma.compress])
async def test_archives_and_layers_may_be_compressed(store: ImageStore, pack: Any) -> None:
    assert await load(store, pack(saved([BASE], ["web"], packed=[pack(BASE)]))) == ["Loaded image: web:latest"]


async def test_an_oci_layout_is_taken_in(store: ImageStore) -> None:
    assert await load(store, oci([BASE, TOP], "docker.io/library/web:1")) == ["Loaded image: web:1"]
    assert len((await store.find("web:1")).layers) == 2


async def test_of_an_image_for_several_platforms_ours_is_taken(store: ImageStore, tmp_path: Path) -> None:
    data = platforms({"arm64": TOP, "amd64": BASE, "s390x": TOP}, "docker.io/library/web:1")
    assert await load(store, data) == ["Loaded image: web:1"]
    (image,) = await store.load_all()
    assert image.architecture == "amd64" and image.layers[0].diff_id == digest(BASE)
    other = ImageStore(Facts(root=str(tmp_path / "other"), architecture="arm64"))
    assert await load(other, data) == ["Loaded image: web:1"] and (await other.find("web:1")).architecture == "arm64"
    with pytest.raises(Invalid, match="no matching manifest for linux/amd64"):
        await load(store, platforms({"arm64": TOP, "s390x": TOP}, "web"))
    await load(store, platforms({"arm64": TOP}, "only"))
    assert (await store.find("only")).architecture == "arm64"


async def test_an_image_without_a_name_is_loaded_by_its_id(store: ImageStore) -> None:
    assert await load(store, saved([BASE], None)) == [f"Loaded image ID: {digest(config([BASE]))}"]
    assert (await store.load_all())[0].tags == ()


async def test_layers_that_are_there_are_used_again(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE], ["base"]))
    await load(store, saved([BASE, TOP], ["web"], packed=[b"never looked at", TOP]))
    base, web = await store.find("base"), await store.find("web")
    assert web.layers[0].cache_id == base.layers[0].cache_id
    assert len(os.listdir(tmp_path / "overlay2/l")) == 2


async def test_a_symlinked_layer_in_the_archive_is_followed(store: ImageStore) -> None:
    manifest = json.dumps([{"Config": "c", "RepoTags": ["web"], "Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()
    link = entry("b/layer.tar", type=tarfile.SYMTYPE, linkname="../a/layer.tar")
    archive = tar(entry("a/layer.tar", BASE), link, entry("c", config([BASE, BASE])), entry("manifest.json", manifest))
    assert await load(store, archive) == ["Loaded image: web:latest"]


async def test_a_name_moves_to_the_image_loaded_last(store: ImageStore) -> None:
    await load(store, saved([BASE], ["web"]))
    await load(store, saved([TOP], ["web"]))
    assert [image.tags for image in await store.load_all()] == [(), ("web:latest",)]


async def test_finding_in_dockers_order(store: ImageStore) -> None:
    await load(store, saved([BASE], ["web"]))
    image = await store.find("docker.io/library/web:latest")
    bare = image.id.removeprefix("sha256:")
    for reference in (image.id, bare, bare[:12], f"sha256:{bare[:12]}", "web", "index.docker.io/web"):
        assert await store.find(reference) == image
    await load(store, saved([TOP], [bare[:6]]))
    assert (await store.find(bare[:6])).id == digest(config([TOP]))  # a name beats an id's beginning
    missing = {"none": "none:latest", "web:2": "web:2", "0" * 64: "0" * 64, f"web@{image.id}": f"web@{image.id}"}
    for reference, named in missing.items():
        with pytest.raises(NotFound, match=f"No such image: {named}$"):
            await store.find(reference)
    for wrong in ("", "Web", "web:", "web\n", "http://web", "web:la test"):
        with pytest.raises(Invalid):
            await store.find(wrong)


async def test_an_ambiguous_beginning_finds_nothing(store: ImageStore) -> None:
    for number in range(17):  # of 17 ids two begin alike
        await load(store, saved([BASE], None, image=config([BASE], author=str(number))))
    ids = [image.id.removeprefix("sha256:") for image in await store.load_all()]
    first = next(id[0] for id in ids if [other[0] for other in ids].count(id[0]) > 1)
    with pytest.raises(NotFound):
        await store.find(first)


# --- what cannot be right, and what a crash leaves ----------------------------------------------------------------------


BAD_LAYER = tar(entry("ok", b"1"), entry("../escape", b"2"))
WRONG = {
    "not a tar": (b"nonsense" * 200, "it is damaged"),
    "nothing": (b"", "it is damaged"),
    "cut off": (saved([BASE], ["web"])[:3000], "damaged|neither"),
    "compressed and cut off": (gzip.compress(saved([BASE], ["web"]))[:-20], "damaged"),
    "zstd that is none": (b"\x28\xb5\x2f\xfd" + b"x" * 600, "the archive: it is damaged"),
    "zstd cut off": (zstd.compress(saved([BASE], ["web"]))[:-9], "the archive: it is damaged: .* cut off"),
    "nonsense after gzip": (gzip.compress(saved([BASE], ["web"])) + b"nonsense", "the archive: it is damaged"),
    "no manifest": (tar(entry("file", b"1")), "neither manifest.json nor index.json"),
    "a manifest that is none": (tar(entry("manifest.json", b"{")), "manifest.json is not as it should be"),
    "a manifest without end": (tar(entry("manifest.json", b"[" * 200_000)), "manifest.json is not as it should be"),
    "a manifest of no text": (tar(entry("index.json", b'{"manifests": [{"digest": "\xff"}]}')), "index.json is not as"),
    "a manifest too large": (tar(entry("manifest.json", bytes(9 << 20))), "larger than 8 MiB"),
    "a manifest that is a link to itself": (
        tar(entry("manifest.json", type=tarfile.SYMTYPE, linkname="manifest.json")),
        "names manifest.json, which it does not hold",
    ),
    "a config without end": (saved([], ["web"], image=b'{"rootfs": {}, "x": ' + b"[" * 200_000), "config is not as it should"),
    "a config of no text": (saved([], ["web"], image=b'{"rootfs": {}, "author": "\xff"}'), "config is not as it should be"),
    "no image at all": (oci([BASE], "web").replace(b'"rootfs"', b'"r00tfs"'), "not what its name says"),
    "for another system": (saved([BASE], ["web"], image=config([BASE], os="windows")), 'operating system "windows" cannot be'),
    "an artifact": (platforms({"amd64": BASE}, "web", "application/x-chart"), "no part of an image: it is application/x-chart"),
    "a header that lies": (saved([BASE], ["web"]).replace(b"ustar", b"Ustar", 1), "it is damaged.*checksum"),
    "a file it lacks": (tar(entry("manifest.json", b'[{"Config": "c", "Layers": []}]')), "it names c, which it does not hold"),
    "a config that is none": (saved([BASE], ["web"], image=b"[]"), "config is not as it should be"),
    "a digest that is a path": (saved([], ["web"], image=b'{"rootfs": {"diff_ids": ["../../x"]}}'), "no sha256 digest"),
    "too few layers": (saved([BASE], ["web"], image=config([])), "lists 0 layers, the archive 1"),
    "another layer": (saved([BASE, TOP], ["web"], packed=[BASE, BASE]), "cannot load the layer 1/layer.tar: its content is"),
    "a cut layer": (saved([BASE], ["web"], packed=[BASE[:700]]), "layer 0/layer.tar"),
    "a cut compressed layer": (saved([BASE], ["web"], packed=[gzip.compress(BASE)[:-9]]), "0/layer.tar: it is damaged"),
    "an escape": (saved([BASE, BAD_LAYER], ["web"]), r"layer 1/layer.tar: entry '\.\./escape'"),
    "a name that is none": (saved([BASE], ["Web"]), "invalid reference format"),
    "a name like a digest": (saved([BASE], ["sha256:abc"]), "would look like a digest"),
    "a blob that is another": (oci([BASE], "web").replace(b'"history"', b'"hist0ry"'), "not what its name says"),
    "too deep": (saved([BASE] * 126, ["web"]), "max depth exceeded"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_be_right_is_said_and_leaves_nothing(store: ImageStore, tmp_path: Path, name: str) -> None:
    data, reason = WRONG[name]
    await load(store, saved([TOP], ["kept"]))
    before = everything(tmp_path)
    with pytest.raises(Invalid, match=reason):
        await load(store, data)
    assert everything(tmp_path) == before


async def test_a_second_store_sweeps_what_a_crash_left(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE], ["web"]))
    before = everything(tmp_path)
    await load(store, saved([BASE, TOP], ["gone"]))
    gone = await store.find("gone")
    # A crash after the last layer's rename; one while a layer was unpacked; one while a layer was removed.
    db = tmp_path / "image/overlay2"
    (db / "imagedb/content/sha256" / gone.id.removeprefix("sha256:")).unlink()
    pending = store._db.begin_layer(gone.layers[0].cache_id)
    (tmp_path / "overlay2" / pending / "diff/half").write_text("x")
    half = store._db.begin_layer("")
    removing = db / f"layerdb/sha256/{'0' * 64}-abcd-removing"
    removing.mkdir()
    (removing / "cache-id").write_text(half)
    (db / "layerdb/tmp" / half).rmdir()
    again = ImageStore(Facts(root=str(tmp_path)))
    assert [image.tags for image in await again.load_all()] == [("web:latest",)]
    after = everything(tmp_path)
    base = (await again.find("web")).layers[0].cache_id
    assert after.pop(f"overlay2/{base}/committed") == b""
    after.pop("image/overlay2/repositories.json")
    before.pop("image/overlay2/repositories.json")
    assert after == before


async def test_a_sweep_waits_for_the_unpacker_of_an_engine_that_was_killed(store: ImageStore, tmp_path: Path) -> None:
    """It still has what was in its pipe, and would put files into a directory that is being removed."""
    await store.load_all()
    pending = store._db.begin_layer("")
    reading, writing = os.pipe()
    child = await start_unpacker(store._db.layers.diff(pending), store._db.split_file(pending), reading)
    os.close(reading)
    os.write(writing, BASE[:600])
    sweep = asyncio.create_task(ImageStore(Facts(root=str(tmp_path))).load_all())
    await asyncio.wait([sweep], timeout=0.1)
    assert not sweep.done() and (tmp_path / "overlay2" / pending).exists()
    os.close(writing)
    await sweep
    assert await child.wait() == REFUSED, "its input was cut off"
    assert not (tmp_path / "overlay2" / pending).exists() and not os.listdir(tmp_path / "overlay2/l")


async def test_layers_under_a_container_are_not_swept(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE, TOP], ["web"]))
    image = await store.find("web")
    await OverlayRootfs(Facts(root=str(tmp_path))).make_init("init", (image.layers[-1].cache_id,))
    mounts = tmp_path / "image/overlay2/layerdb/mounts/container"
    mounts.mkdir()
    (mounts / "parent").write_text(image.layers[-1].chain_id)
    (tmp_path / "image/overlay2/imagedb/content/sha256" / image.id.removeprefix("sha256:")).unlink()
    assert await ImageStore(Facts(root=str(tmp_path))).load_all() == []
    assert all(diff(tmp_path, image, number).is_dir() for number in (0, 1))


async def test_a_changed_config_is_left_out_with_a_reason_and_nothing_is_swept(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE], ["web"]))
    image = await store.find("web")
    path = tmp_path / "image/overlay2/imagedb/content/sha256" / image.id.removeprefix("sha256:")
    path.write_bytes(path.read_bytes() + b" ")
    again = ImageStore(Facts(root=str(tmp_path)))
    assert await again.load_all() == []
    assert "has been changed" in again.unreadable[image.id]
    with pytest.raises(NotFound):
        await again.find("web")
    assert diff(tmp_path, image).is_dir() and path.exists()


async def test_a_repositories_file_that_is_not_ours_is_said(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE], ["web"]))
    (tmp_path / "image/overlay2/repositories.json").write_text("{")
    with pytest.raises(EngineError, match=r"repositories.json.*mend the file or move it away"):
        await ImageStore(Facts(root=str(tmp_path))).load_all()


async def test_a_load_that_is_given_up_leaves_a_whole_image_or_none(store: ImageStore, tmp_path: Path) -> None:
    await store.load_all()
    before = everything(tmp_path)
    reached = asyncio.Event()

    async def stalled() -> Any:
        yield saved([BASE], ["web"])[:100]
        reached.set()
        await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in store.load(stalled()):
            pass

    task = asyncio.create_task(consume())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert everything(tmp_path) == before | {"tmp": b""}
    assert await load(store, saved([BASE], ["web"])) == ["Loaded image: web:latest"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    root = tmp_path / "small"
    root.mkdir()
    mount("small", str(root), "tmpfs", data="size=3m")
    yield root
    umount2(str(root), MNT_DETACH)


async def test_a_disk_that_is_full_is_said_and_leaves_nothing(small_disk: Path) -> None:
    store = ImageStore(Facts(root=str(small_disk)))
    await load(store, saved([TOP], ["kept"]))
    before = everything(small_disk)
    big = tar(entry("one", b"x" * (2 << 20)), entry("two", b"y" * (2 << 20)))
    for packed in (big, gzip.compress(big)):  # full while the archive is written down; full while the layer is unpacked
        with pytest.raises(HostFailed, match=r"No space left on device.*make room"):
            await load(store, saved([big], ["big"], packed=[packed]))
        assert everything(small_disk) == before


# --- the first image ----------------------------------------------------------------------------------------------------


async def test_busybox_becomes_the_first_image(store: ImageStore, tmp_path: Path) -> None:
    image = await store.make_busybox()
    assert image.tags == ("busybox:latest",) and image.config.cmd == ("sh",)
    assert await store.make_busybox() == image == await store.find("busybox")
    root = diff(tmp_path, image)
    look = ["chroot", str(root), "/bin/sh", "-c", "id -un && /usr/bin/env echo found"]
    said = await asyncio.to_thread(subprocess.run, look, capture_output=True, check=True)
    assert said.stdout.split() == [b"root", b"found"]
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert image.size < 1.1 * os.path.getsize("/bin/busybox")  # the links cost nothing


async def test_the_same_busybox_makes_the_same_image() -> None:
    assert await busybox.archive("amd64") == await busybox.archive("amd64")


async def test_without_a_busybox_the_remedy_is_said(store: ImageStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dynamic = tmp_path / "busybox"
    dynamic.write_bytes(Path(os.path.realpath(sys.executable)).read_bytes())
    assert busybox.is_static(Path("/bin/busybox").read_bytes())
    assert not busybox.is_static(b"#!/bin/sh") and not busybox.is_static(dynamic.read_bytes())
    for found, reason in ((None, "there is no busybox"), (str(dynamic), "needs libraries")):
        monkeypatch.setattr(busybox, "find", lambda _, found=found: found)
        with pytest.raises(HostFailed, match=f"{reason}.*apt install busybox-static"):
            await store.make_busybox()
