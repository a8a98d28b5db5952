"""What a container has written, as the tar of a layer: deletions as AUFS' whiteouts (OCI image-spec, layer.md, "Whiteouts")."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Final

from engine.host.layers import OPAQUE
from engine.host.syscalls import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from engine.host.untar import OPAQUE_MARK, WHITEOUT, XATTR
from engine.model.errors import HostFailed

CHUNK: Final = 1 << 20
OVERLAY: Final = "trusted.overlay."
REDIRECT: Final = "trusted.overlay.redirect"
SAFELY: Final = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
"""The container may be running, and swap a directory for a symlink while we look."""
TYPES: Final = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}
"""Of every kind a tar has. A socket is nobody's without its process, and left out."""


def diff_tar(diff: str) -> Iterator[bytes]:
    """The tar, piece by piece, names in order. `diff`: the upper directory. Blocks; raises `OSError`, `HostFailed`."""
    root = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        first: dict[tuple[int, int], str] = {}
        yield _header(_entry(root, ".", "."))
        waiting = ["."]
        while waiting:
            path = waiting.pop()
            try:
                fd = openat2(root, path, os.O_RDONLY | os.O_DIRECTORY, SAFELY)
            except FileNotFoundError:  # deleted meanwhile
                continue
            try:
                directories: list[str] = []
                for name in sorted(os.listdir(fd)):
                    yield from _one(fd, name, os.path.normpath(f"{path}/{name}"), directories, first)
                waiting += reversed(directories)
            finally:
                os.close(fd)
        yield bytes(2 * tarfile.BLOCKSIZE)
    finally:
        os.close(root)


def _one(fd: int, name: str, path: str, directories: list[str], first: dict[tuple[int, int], str]) -> Iterator[bytes]:
    """The entries of one name."""
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) not in TYPES:
            return
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            yield _header(_mark(os.path.dirname(path), WHITEOUT + name))
            return
        entry = _entry(fd, name, path)
    except FileNotFoundError:  # deleted meanwhile
        return
    if stat.S_ISDIR(found.st_mode):
        directories.append(path)
        yield _header(entry)
        if _xattrs(fd, name).get(OPAQUE) == b"y":
            yield _header(_mark(path, OPAQUE_MARK))
        return
    inode = (found.st_dev, found.st_ino)
    if inode in first:
        entry.type, entry.linkname, entry.size, entry.pax_headers = tarfile.LNKTYPE, first[inode], 0, {}
    elif found.st_nlink > 1:
        first[inode] = path
    yield _header(entry)
    if entry.isreg():
        yield from _content(fd, name, entry.size)


def _entry(fd: int, name: str, path: str) -> tarfile.TarInfo:
    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    entry = tarfile.TarInfo(path)
    entry.type = TYPES[stat.S_IFMT(found.st_mode)]
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    seconds, nanoseconds = divmod(found.st_mtime_ns, 10**9)
    entry.mtime = seconds
    headers = {"mtime": f"{seconds}.{nanoseconds:09}"} if nanoseconds else {}
    for key, value in _xattrs(fd, name).items():
        if key == REDIRECT:
            raise HostFailed(
                f"cannot pack {path!r}: the kernel has renamed this directory by a redirect",
                "switch it off: echo N > /sys/module/overlay/parameters/redirect_dir",
            )
        if not key.startswith(OVERLAY):
            headers[XATTR + key] = value.decode("utf-8", "surrogateescape")
    entry.pax_headers = headers
    if entry.isreg():
        entry.size = found.st_size
    elif entry.issym():
        entry.linkname = os.readlink(name, dir_fd=fd)
    elif entry.ischr() or entry.isblk():
        entry.devmajor, entry.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return entry


def _mark(directory: str, name: str) -> tarfile.TarInfo:
    """A whiteout: an empty file without a time, for what is gone has none."""
    entry = tarfile.TarInfo(os.path.normpath(f"{directory or '.'}/{name}"))
    entry.mode = 0o600
    return entry


def _xattrs(fd: int, name: str) -> dict[str, bytes]:
    path = f"/proc/self/fd/{fd}/{name}"
    return {key: os.getxattr(path, key, follow_symlinks=False) for key in sorted(os.listxattr(path, follow_symlinks=False))}


def _content(fd: int, name: str, size: int) -> Iterator[bytes]:
    """As many bytes as the header has told, whatever a running container does to the file meanwhile."""
    left = size
    try:
        file = openat2(fd, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, SAFELY)
    except FileNotFoundError:
        file = -1
    try:
        while left and file >= 0 and (data := os.read(file, min(CHUNK, left))):
            yield data
            left -= len(data)
    finally:
        if file >= 0:
            os.close(file)
    while left:
        yield bytes(min(CHUNK, left))
        left -= min(CHUNK, left)
    yield bytes(-size % tarfile.BLOCKSIZE)


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
