"""Layers and union mounts, on the real kernel."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.host import Facts, User
from engine.host.layers import LayerStore, resolve, short_link
from engine.host.overlay import OverlayRootfs
from engine.host.syscalls import MNT_DETACH, mount, umount2
from engine.model.errors import EngineError, HostFailed

INIT, WRITABLE, CONTAINER, CHAIN = "aa" * 32 + "-init", "aa" * 32, "cc" * 32, "sha256:" + "dd" * 32


@pytest.fixture
async def rootfs(tmp_path: Path) -> AsyncIterator[OverlayRootfs]:
    port = OverlayRootfs(Facts(root=str(tmp_path)))
    yield port
    await port.unmount(WRITABLE)


def image_layer(rootfs: OverlayRootfs, name: str, parent: str = "", files: dict[str, str] | None = None) -> str:
    """A read-only layer with these files."""
    rootfs.layers.make(name, parent)
    for path, text in (files or {}).items():
        place = Path(rootfs.layers.diff(name), path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return name


async def container(rootfs: OverlayRootfs, *lower: str) -> str:
    """A container's two layers, mounted; the path of the union."""
    await rootfs.make_init(INIT, lower)
    await rootfs.make_writable(WRITABLE, INIT, lower, CHAIN, CONTAINER)
    return await rootfs.mount(WRITABLE)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


async def test_the_init_layer_obeys_the_step_laws(rootfs: OverlayRootfs) -> None:
    base = image_layer(rootfs, "base")
    assert await rootfs.look_layer(INIT) is None
    await rootfs.drop_layer(INIT)
    await rootfs.make_init(INIT, (base,))
    seen = await rootfs.look_layer(INIT)
    assert seen
    await rootfs.make_init(INIT, (base,))
    assert await rootfs.look_layer(INIT) == seen
    await rootfs.drop_layer(INIT)
    assert await rootfs.look_layer(INIT) is None
    await rootfs.drop_layer(INIT)
    assert os.listdir(f"{rootfs.layers.path}/l") == [short_link(base)]


async def test_the_writable_layer_and_the_mount_obey_the_step_laws(rootfs: OverlayRootfs, tmp_path: Path) -> None:
    base = image_layer(rootfs, "base")
    entry = tmp_path / "image/overlay2/layerdb/mounts" / CONTAINER
    await rootfs.make_init(INIT, (base,))
    assert await rootfs.look_layer(WRITABLE) is None
    await rootfs.drop_layer(WRITABLE, CONTAINER)
    for _ in range(2):
        await rootfs.make_writable(WRITABLE, INIT, (base,), CHAIN, CONTAINER)
        assert await rootfs.look_layer(WRITABLE)
    assert {name: (entry / name).read_text() for name in os.listdir(entry)} == {
        "mount-id": WRITABLE,
        "init-id": INIT,
        "parent": CHAIN,
    }

    assert await rootfs.look_mount(WRITABLE) is None
    await rootfs.unmount(WRITABLE)
    for _ in range(2):
        assert await rootfs.mount(WRITABLE) == rootfs.merged(WRITABLE)
        assert (await rootfs.look_mount(WRITABLE) or "").startswith(f"overlay on {rootfs.merged(WRITABLE)}\nlowerdir=")
    with pytest.raises(HostFailed, match="it is mounted"):
        await rootfs.drop_layer(WRITABLE, CONTAINER)
    for _ in range(2):
        await rootfs.unmount(WRITABLE)
        assert await rootfs.look_mount(WRITABLE) is None
        assert not os.path.exists(rootfs.merged(WRITABLE))
    for _ in range(2):
        await rootfs.drop_layer(WRITABLE, CONTAINER)
        assert await rootfs.look_layer(WRITABLE) is None
    assert not entry.exists()


async def test_the_layout_is_dockers(rootfs: OverlayRootfs) -> None:
    below, top = image_layer(rootfs, "below"), image_layer(rootfs, "top", "below")
    merged = await container(rootfs, top, below)
    own, init = rootfs.layers.directory(WRITABLE), rootfs.layers.directory(INIT)
    assert sorted(os.listdir(own)) == ["diff", "link", "lower", "merged", "work"]
    assert sorted(os.listdir(init)) == ["committed", "diff", "link", "lower", "work"]
    assert sorted(os.listdir(rootfs.layers.directory(below))) == ["committed", "diff", "link"]
    link = Path(own, "link").read_text()
    assert len(link) == 26 and set(link) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert os.readlink(f"{rootfs.layers.path}/l/{link}") == f"../{WRITABLE}/diff"
    assert Path(own, "lower").read_text() == ":".join(f"l/{short_link(layer)}" for layer in (INIT, top, below))
    assert [mode(own), mode(f"{own}/diff"), mode(f"{own}/work"), mode(f"{init}/committed")] == [0o710, 0o755, 0o700, 0o600]
    assert [mode(f"{rootfs.layers.path}/l"), mode(f"{own}/lower"), mode(rootfs.layers.path)] == [0o700, 0o644, 0o710]
    await rootfs.unmount(WRITABLE)
    assert not os.path.exists(merged)


async def test_writes_land_in_the_writable_layer_alone(rootfs: OverlayRootfs) -> None:
    base = image_layer(rootfs, "base", files={"etc/motd": "below", "gone": "x"})
    merged = await container(rootfs, base)
    Path(merged, "etc/motd").write_text("above")
    os.unlink(f"{merged}/gone")
    diff = rootfs.layers.diff(WRITABLE)
    assert Path(diff, "etc/motd").read_text() == "above"
    assert Path(rootfs.layers.diff(base), "etc/motd").read_text() == "below"
    assert stat.S_ISCHR(os.lstat(f"{diff}/gone").st_mode)
    os.link(f"{merged}/etc/motd", f"{merged}/etc/again")
    assert await rootfs.sizes(WRITABLE) == (len("above"), 3)
    await rootfs.unmount(WRITABLE)
    assert Path(await rootfs.mount(WRITABLE), "etc/motd").read_text() == "above"


async def test_the_init_layer_fills_in_what_the_image_lacks(rootfs: OverlayRootfs) -> None:
    merged = await container(rootfs)
    assert sorted(os.listdir(merged)) == [".dockerenv", "dev", "etc", "proc", "sys"]
    assert sorted(os.listdir(f"{merged}/dev")) == ["console", "pts", "shm"]
    assert os.readlink(f"{merged}/etc/mtab") == "/proc/mounts"
    for file in (".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/console"):
        assert mode(f"{merged}/{file}") == 0o755 and os.path.getsize(f"{merged}/{file}") == 0


async def test_the_init_layer_hides_files_and_links_in_the_way_and_keeps_directories(rootfs: OverlayRootfs) -> None:
    below = image_layer(rootfs, "below", files={"etc/hosts": "image's", "etc/keep": "kept", "elsewhere/old": ""})
    os.chmod(rootfs.layers.diff(below) + "/etc", 0o700)
    os.chown(rootfs.layers.diff(below) + "/etc", 7, 8)
    os.setxattr(rootfs.layers.diff(below) + "/etc", "user.note", b"1")
    top = image_layer(rootfs, "top", below)
    diff = rootfs.layers.diff(top)
    os.symlink("/elsewhere", f"{diff}/dev")
    os.symlink("/somewhere", f"{diff}/proc")
    os.makedirs(f"{diff}/etc/hostname/inside")
    os.chmod(f"{diff}/etc", 0o700)
    os.chown(f"{diff}/etc", 7, 8)
    os.setxattr(f"{diff}/etc", "user.note", b"2")
    merged = await container(rootfs, top, below)
    assert os.path.getsize(f"{merged}/etc/hosts") == 0
    assert Path(merged, "etc/keep").read_text() == "kept"
    assert os.listdir(f"{merged}/etc/hostname") == ["inside"]
    assert sorted(os.listdir(f"{merged}/dev")) == ["console", "pts", "shm"]
    assert stat.S_ISDIR(os.lstat(f"{merged}/proc").st_mode)
    etc = os.stat(f"{merged}/etc")
    assert (etc.st_uid, etc.st_gid, mode(f"{merged}/etc")) == (7, 8, 0o700)
    assert os.getxattr(f"{merged}/etc", "user.note") == b"2"


async def test_lookup_through_layers_sees_what_overlayfs_sees(rootfs: OverlayRootfs) -> None:
    below = image_layer(rootfs, "below", files={"a/x": "", "b/x": "", "c/x": "", "d/x": ""})
    top = image_layer(rootfs, "top", below, files={"a/y": "", "b/y": "", "c": ""})
    diff = rootfs.layers.diff(top)
    os.setxattr(f"{diff}/b", "trusted.overlay.opaque", b"y")
    os.mknod(f"{diff}/d", stat.S_IFCHR, os.makedev(0, 0))
    layers = [diff, rootfs.layers.diff(below)]
    assert resolve(layers, "a") == [f"{layer}/a" for layer in layers]
    assert resolve(layers, "b") == [f"{diff}/b"]
    assert resolve(layers, "c") == resolve(layers, "d") == resolve(layers, "a/x") == resolve(layers, "none") == []


async def test_more_layers_than_a_page_of_options_holds(rootfs: OverlayRootfs) -> None:
    parent, lower = "", list[str]()
    for number in range(80):
        parent = image_layer(rootfs, f"layer{number}", parent, {f"file{number}": str(number)})
        lower.insert(0, parent)
    here = os.getcwd()
    merged = await container(rootfs, *lower)
    assert {f"file{number}" for number in range(80)} <= set(os.listdir(merged))
    assert "lowerdir=l/" in (await rootfs.look_mount(WRITABLE) or "")
    assert os.getcwd() == here


async def test_too_deep_a_pile_is_refused(tmp_path: Path) -> None:
    store, parent = LayerStore(str(tmp_path)), ""
    for number in range(129):
        store.make(f"layer{number}", parent)
        parent = f"layer{number}"
    with pytest.raises(HostFailed, match="max depth exceeded"):
        store.make("one-more", parent)


async def test_a_mount_from_outside_is_seen_at_once_and_a_double_one_is_cleared(rootfs: OverlayRootfs) -> None:
    merged = await container(rootfs)
    umount2(merged, MNT_DETACH)
    assert await rootfs.look_mount(WRITABLE) is None
    await rootfs.mount(WRITABLE)
    mount("over", merged, "tmpfs")
    assert await rootfs.look_mount(WRITABLE) == f"tmpfs on {merged}"
    await rootfs.unmount(WRITABLE)
    assert await rootfs.look_mount(WRITABLE) is None
    assert not os.path.exists(merged)


async def test_a_busy_mount_is_detached_and_what_cannot_be_removed_is_said(rootfs: OverlayRootfs) -> None:
    merged = await container(rootfs)
    with open(f"{merged}/busy", "w"):
        await rootfs.unmount(WRITABLE)
    os.makedirs(f"{merged}/left by somebody")
    with pytest.raises(HostFailed, match="Directory not empty"):
        await rootfs.unmount(WRITABLE)
    os.rmdir(f"{merged}/left by somebody")


async def test_mounting_a_layer_that_is_not_there_leaves_nothing(rootfs: OverlayRootfs) -> None:
    with pytest.raises(HostFailed, match="there is no such layer"):
        await rootfs.mount(WRITABLE)
    with pytest.raises(HostFailed, match="there is no such layer"):
        await rootfs.make_init(INIT, ("missing",))
    assert await rootfs.look_layer(WRITABLE) is None


async def test_a_failed_mount_takes_its_directory_back(rootfs: OverlayRootfs) -> None:
    await rootfs.make_init(INIT, ())
    await rootfs.make_writable(WRITABLE, INIT, (), "", CONTAINER)
    os.rename(rootfs.layers.directory(WRITABLE) + "/work", rootfs.layers.directory(WRITABLE) + "/gone")
    with pytest.raises(HostFailed, match="cannot mount the layers"):
        await rootfs.mount(WRITABLE)
    assert not os.path.exists(rootfs.merged(WRITABLE))


async def test_a_working_directory_is_made_inside_the_root(rootfs: OverlayRootfs, tmp_path: Path) -> None:
    base = image_layer(rootfs, "base", files={"real/x": "", "file": ""})
    diff = rootfs.layers.diff(base)
    os.symlink("/real", f"{diff}/absolute")
    os.symlink("../../../../real", f"{diff}/upwards")
    merged = await container(rootfs, base)
    for path in ("/srv/app", "srv/app", "/srv/../srv/app/", "/absolute/one", "/upwards/two", "/../three"):
        await rootfs.make_directory(WRITABLE, path)
    assert sorted(os.listdir(f"{merged}/real")) == ["one", "two", "x"]
    assert os.path.isdir(f"{merged}/three") and mode(f"{merged}/srv/app") == 0o755
    with pytest.raises(HostFailed, match="cannot make the working directory /file"):
        await rootfs.make_directory(WRITABLE, "/file")
    with pytest.raises(HostFailed, match="Not a directory"):
        await rootfs.make_directory(WRITABLE, "/file/below")


async def test_users_are_those_of_the_root_and_of_nobody_else(rootfs: OverlayRootfs, tmp_path: Path) -> None:
    accounts = {"etc/real": "root:x:0:0::/:\nweb:x:33:44::/:\n", "etc/group": "adm:x:4:web\n"}
    base = image_layer(rootfs, "base", files=accounts)
    os.symlink("/etc/real", rootfs.layers.diff(base) + "/etc/passwd")
    merged = await container(rootfs, base)
    assert await rootfs.user(WRITABLE, "web", ("7",)) == User(uid=33, gid=44, groups=(44, 4, 7))
    with pytest.raises(EngineError, match="unable to find user daemon: no matching entries in passwd file"):
        await rootfs.user(WRITABLE, "daemon", ())
    os.unlink(f"{merged}/etc/passwd")
    assert await rootfs.user(WRITABLE, "", ()) == User(groups=(0,))
    os.mkfifo(f"{merged}/etc/passwd")
    with pytest.raises(HostFailed, match="not a regular file"):
        await rootfs.user(WRITABLE, "web", ())
