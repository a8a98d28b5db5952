"""What a container sees, as one tar: beside the kernel's own union mount, file by file."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.host import Facts
from engine.host.images import ImageStore
from engine.host.overlay import OverlayRootfs
from engine.host.trees import DiskTrees
from engine.model.errors import HostFailed
from tests.engine.host.archives import entry, saved, stream, tar

LOWEST = tar(
    entry("etc", type=tarfile.DIRTYPE, mode=0o750, mtime=1_500_000_000),
    entry("etc/motd", b"hello", mode=0o4755, uid=70000, gid=7, mtime=1_500_000_000),
    entry("etc/again", type=tarfile.LNKTYPE, linkname="etc/motd"),
    entry("etc/gone", b"x"),
    entry("old/file", b"old"),
    entry("kept/below", b"below"),
    entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
    entry("pipe", type=tarfile.FIFOTYPE),
)
UPPER = tar(
    entry("etc/.wh.gone"),
    entry("old/.wh..wh..opq"),
    entry("old/new", b"new"),
    entry("kept/above", b"above"),
    entry("etc/link", type=tarfile.SYMTYPE, linkname="../nowhere"),
)


class Layered:
    """A container's layers over an image of two, and its union mount."""

    def __init__(self, root: Path, layers: tuple[str, ...], merged: Path) -> None:
        self.root, self.layers, self.merged = root, layers, merged
        self.trees = DiskTrees(Facts(root=str(root)))

    async def tar(self) -> bytes:
        return b"".join([chunk async for chunk in self.trees.tar(self.layers)])


@pytest.fixture
async def layered(tmp_path: Path) -> AsyncIterator[Layered]:
    store, rootfs = ImageStore(Facts(root=str(tmp_path))), OverlayRootfs(Facts(root=str(tmp_path)))
    async for _ in store.load(stream(saved([LOWEST, UPPER], ["web"]))):
        pass
    image = await store.find("web")
    lower = tuple(layer.cache_id for layer in reversed(image.layers))
    await rootfs.make_init("init", lower)
    await rootfs.make_writable("own", "init", lower, image.layers[-1].chain_id, "id")
    merged = await rootfs.mount("own")
    yield Layered(tmp_path, ("own", "init", *lower), Path(merged))
    await rootfs.unmount("own")


async def test_it_holds_what_the_mount_shows(layered: Layered, tmp_path: Path) -> None:
    merged = layered.merged
    (merged / "kept/below").write_bytes(b"changed")
    (merged / "old/new").unlink()
    (merged / "etc/motd").chmod(0o600)  # copied up, it is one file with its other name no more
    os.setxattr(merged / "etc/again", "user.note", b"\xff\x00")
    os.setxattr(merged / "kept", "security.capability", b"\x01\x00\x00\x02\x20" + bytes(15))
    os.utime(merged / "kept", ns=(1, 1_500_000_000_123_456_789))
    with (merged / "holes").open("wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"in the middle")
    os.link(merged / "holes", merged / "same")
    (merged / "odd\udcff").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(merged / "socket"))

    data = await layered.tar()
    out = tmp_path / "out"
    store = ImageStore(Facts(root=str(out)))
    async with store.keeping():
        layer = await store.add_layer("", "", stream(data, 1 << 16))
        diff = out / "overlay2" / layer.cache_id / "diff"
        expected = listing(merged)
        assert expected.pop("socket")[0] >> 12 == stat.S_IFSOCK >> 12, "a socket is nobody's without its process"
        assert listing(diff) == expected
        assert (diff / "holes").stat().st_ino == (diff / "same").stat().st_ino
        assert (diff / "holes").stat().st_blocks * 512 < 1 << 20, "zeros are holes again"
        assert "etc/gone" not in expected and "old/new" not in expected and ".dockerenv" in expected


def listing(root: Path) -> dict[str, tuple[Any, ...]]:
    """All that a tar can keep of each file."""
    found = {}
    for path in sorted(root.rglob("*")):
        own = path.lstat()
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
            if not name.startswith("trusted.overlay.")
        }
        content = path.read_bytes() if stat.S_ISREG(own.st_mode) else os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(root))] = (
            *(own.st_mode, own.st_uid, own.st_gid, own.st_rdev, own.st_mtime_ns),
            *(content, attributes),
        )
    return found


async def test_no_mark_of_a_deletion_is_seen(layered: Layered) -> None:
    (layered.merged / "etc/motd").unlink()
    for path in ("old", "kept"):
        for name in os.listdir(layered.merged / path):
            (layered.merged / path / name).unlink()
        (layered.merged / path).rmdir()
    (layered.merged / "kept").mkdir()
    with tarfile.open(fileobj=io.BytesIO(await layered.tar())) as packed:
        names = packed.getnames()
    assert not [name for name in names if ".wh." in name]
    assert {"etc/motd", "old", "kept/below"}.isdisjoint(names) and {"etc/again", "kept", "etc/link"} <= set(names)


async def test_layers_that_are_not_there(layered: Layered) -> None:
    with pytest.raises(HostFailed, match="cannot pack what is seen of the layer none: No such file"):
        _ = [chunk async for chunk in layered.trees.tar(("none",))]
