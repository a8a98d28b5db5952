"""Files as entries of a tar, with all that a container can tell of them: owners, times, attributes, links, devices.

What is packed may belong to a running and hostile container: every name is opened below a directory that is open already, and
no symlink is followed. Holes in a file become zeros, as in Docker's archives; the unpacker makes them holes again.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Final

from engine.host.syscalls import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from engine.host.tarreader import XATTR
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
END: Final = bytes(2 * tarfile.BLOCKSIZE)


class Packer:
    """One archive. It remembers files with several names: they are packed once, then linked."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], str] = {}

    def pack(self, fd: int, name: str, path: str) -> Iterator[bytes]:
        """The entry of `name` in the directory `fd`, to be called `path`. Blocks.

        Raises `FileNotFoundError`, before anything of it is yielded, when it was deleted meanwhile; `OSError`, `HostFailed`.
        """
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) not in TYPES:
            return
        entry = _entry(fd, name, path, found)
        inode = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and not entry.isdir():
            first = self._first.setdefault(inode, path)
            if first != path:
                entry.type, entry.linkname, entry.size, entry.pax_headers = tarfile.LNKTYPE, first, 0, {}
        yield header(entry)
        if entry.isreg():
            yield from _content(fd, name, entry.size)


def header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def xattrs(fd: int, name: str) -> dict[str, bytes]:
    path = f"/proc/self/fd/{fd}/{name}"
    return {key: os.getxattr(path, key, follow_symlinks=False) for key in sorted(os.listxattr(path, follow_symlinks=False))}


def _entry(fd: int, name: str, path: str, found: os.stat_result) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type = TYPES[stat.S_IFMT(found.st_mode)]
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    seconds, nanoseconds = divmod(found.st_mtime_ns, 10**9)
    entry.mtime = seconds
    headers = {"mtime": f"{seconds}.{nanoseconds:09}"} if nanoseconds else {}
    for key, value in xattrs(fd, name).items():
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
