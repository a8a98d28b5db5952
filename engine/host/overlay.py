"""The file system of one container: its two layers, and the union mount over them (Documentation/filesystems/overlayfs.rst)."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from engine.host import Facts, Sighting, User
from engine.host.disk import make_directories, make_directory, names, read_text, remove_tree
from engine.host.layers import LayerStore, content_size
from engine.host.mounts import Mount, MountTable
from engine.host.netns import in_new_thread
from engine.host.syscalls import (
    CLONE_FS,
    MNT_DETACH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    UMOUNT_NOFOLLOW,
    mount,
    openat2,
    umount2,
    unshare,
)
from engine.host.threads import long, short
from engine.host.tools import doing
from engine.model.errors import HostFailed
from engine.spec.users import find_user

INDEX_PARAMETER: Final = "/sys/module/overlay/parameters/index"
LARGEST_ACCOUNT_FILE: Final = 16 << 20
"""Bytes of `/etc/passwd` we read: the container wrote it, and it may be endless."""


class OverlayRootfs:
    """The port `Rootfs`."""

    def __init__(self, facts: Facts) -> None:
        self.layers = LayerStore(facts.root)
        self._mounts_directory = os.path.join(facts.root, "image/overlay2/layerdb/mounts")
        self._table = MountTable(self.layers.path)
        self._index_off = "index=off," if os.path.exists(INDEX_PARAMETER) else ""

    def merged(self, mount_id: str) -> str:
        return os.path.join(self.layers.directory(mount_id), "merged")

    async def make_init(self, init_id: str, lower: tuple[str, ...]) -> None:
        def make() -> None:
            self.layers.make(init_id, lower[0] if lower else "")
            self.layers.fill_init(init_id, lower)

        with doing(f"make the init layer {init_id[:12]}"):
            await short(make)

    async def make_writable(self, mount_id: str, init_id: str, lower: tuple[str, ...], chain_id: str, id: str) -> None:
        def make() -> None:
            self.layers.make(mount_id, init_id)
            self.layers.make_last(mount_id)
            entry = os.path.join(self._mounts_directory, id)
            make_directories(entry, 0o755)
            contents = {"mount-id": mount_id, "init-id": init_id, "parent": chain_id}
            for name, text in contents.items():
                if text:
                    with open(os.path.join(entry, name), "w") as file:
                        file.write(text)

        with doing(f"make the writable layer {mount_id[:12]}"):
            await short(make)

    async def drop_layer(self, layer: str, id: str = "") -> None:
        def drop() -> None:
            if self._table.get(self.merged(layer)):
                raise HostFailed(f"cannot remove the layer {layer[:12]}: it is mounted")
            self.layers.drop(layer)
            if id:
                remove_tree(os.path.join(self._mounts_directory, id))

        with doing(f"remove the layer {layer[:12]}"):
            await long(drop)

    async def look_layer(self, layer: str) -> str | None:
        """The directory's names, then the layers below."""
        directory = self.layers.directory(layer)
        found = await short(names, directory)
        lower = await short(read_text, os.path.join(directory, "lower"))
        return "\n".join(filter(None, ("  ".join(found), lower and f"lower: {lower}"))) or None

    async def mount(self, mount_id: str) -> str:
        merged = self.merged(mount_id)
        with doing(f"mount the layers of {mount_id[:12]}"):
            await short(self._mount, mount_id, merged)
        return merged

    async def unmount(self, mount_id: str) -> None:
        with doing(f"unmount the layers of {mount_id[:12]}"):
            await short(_unmount, self.merged(mount_id))

    async def look_mount(self, mount_id: str) -> str | None:
        """As mount(8) shows it: what is mounted where, then each option on its own line."""
        merged = self.merged(mount_id)
        found = await short(self._table.get, merged)
        return _shown(merged, found) if found else None

    async def sightings(self) -> set[Sighting]:
        with doing("list the layers"):
            layers = await short(names, self.layers.path)
        mounts = [path.removesuffix("/merged") for path in await short(self._table.paths, "overlay")]
        return {("mount", id) for id in mounts} | {("layer", id) for id in layers}

    async def make_directory(self, mount_id: str, path: str) -> None:
        with doing(f"make the working directory {path}"):
            await short(_make_directory, self.merged(mount_id), path)

    async def user(self, mount_id: str, user: str, groups: tuple[str, ...]) -> User:
        def look_up() -> User:
            with _opened(self.merged(mount_id)) as root:
                return find_user(user, groups, _account_file(root, "etc/passwd"), _account_file(root, "etc/group"))

        with doing(f"look up the user {user or 'root'}"):
            return await short(look_up)

    async def sizes(self, mount_id: str) -> tuple[int, int]:
        with doing(f"measure the layer {mount_id[:12]}"):
            return await long(content_size, self.layers.diff(mount_id))

    def _mount(self, mount_id: str, merged: str) -> None:
        if self._table.get(merged):
            return
        own = self.layers.directory(mount_id)
        lower = read_text(os.path.join(own, "lower"))
        if not lower:
            raise HostFailed(f"cannot mount the layers of {mount_id[:12]}: there is no such layer")
        make_directory(merged, 0o700)
        try:
            self._mount_overlay(mount_id, lower, merged)
        except (OSError, HostFailed):
            with suppress(OSError):  # the first error is the one to tell
                os.rmdir(merged)
            raise
        os.chown(os.path.join(own, "work/work"), 0, 0)  # made by the kernel at the mount

    def _mount_overlay(self, mount_id: str, lower: str, merged: str) -> None:
        limit = os.sysconf("SC_PAGESIZE")
        options = self._options(mount_id, lower, self.layers.path + "/")
        if len(os.fsencode(options)) < limit:
            mount("overlay", merged, "overlay", data=options)
            return
        # The kernel takes one page of options. Paths from the store's own directory leave room for three times the layers.
        options = self._options(mount_id, lower, "")
        if len(os.fsencode(options)) >= limit:
            count = lower.count(":") + 1
            raise HostFailed(f"cannot mount the layers of {mount_id[:12]}: {count} layers are too many for one mount")
        in_new_thread(lambda: _mount_from(self.layers.path, merged, options))

    def _options(self, mount_id: str, lower: str, start: str) -> str:
        below = ":".join(start + link for link in lower.split(":"))
        own = start + mount_id
        return f"{self._index_off}lowerdir={below},upperdir={own}/diff,workdir={own}/work"


def _mount_from(directory: str, merged: str, options: str) -> None:
    """Mount with a working directory of the thread's own: chdir(2) would move the whole engine otherwise."""
    unshare(CLONE_FS)
    os.chdir(directory)
    mount("overlay", merged, "overlay", data=options)


def _unmount(merged: str) -> None:
    """Detach every mount there is (two, when somebody mounted it twice), then the directory, as Docker does."""
    while True:
        try:
            umount2(merged, MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # not mounted; not there
                raise
            break
    with suppress(FileNotFoundError):
        os.rmdir(merged)


def _shown(merged: str, found: Mount) -> str:
    wanted = [option for option in found.options.split(",") if option.split("=")[0] in ("lowerdir", "upperdir", "workdir")]
    return "\n".join((f"{found.fstype} on {merged}", *wanted))


@contextmanager
def _opened(directory: str) -> Iterator[int]:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _make_directory(root: str, path: str) -> None:
    """mkdir -p inside `root`; symlinks lead where they would lead the container, never out."""
    with _opened(root) as fd:
        made = ""
        for part in posixpath.normpath("/" + path).strip("/").split("/"):
            inside = posixpath.join(made, part)
            try:
                os.close(openat2(fd, inside, os.O_PATH | os.O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
            except FileNotFoundError:
                parent = openat2(fd, made or ".", os.O_RDONLY | os.O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
                try:
                    os.mkdir(part, dir_fd=parent)
                    os.chmod(part, 0o755, dir_fd=parent)
                finally:
                    os.close(parent)
            made = inside


def _account_file(root: int, path: str) -> str:
    """A text file of the container's, empty when it has none. It is not trusted: it may be a FIFO or a link to anywhere."""
    try:
        fd = openat2(root, path, os.O_RDONLY | os.O_NONBLOCK, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except FileNotFoundError:
        return ""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise HostFailed(f"cannot read /{path} in the container: it is not a regular file")
        return file.read(LARGEST_ACCOUNT_FILE).decode(errors="replace")
