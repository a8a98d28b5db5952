"""What a container has written, as the tar of a layer: deletions as AUFS' whiteouts (OCI image-spec, layer.md, "Whiteouts")."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from engine.host.layers import OPAQUE
from engine.host.packing import END, SAFELY, Packer, header, xattrs
from engine.host.syscalls import openat2
from engine.host.untar import OPAQUE_MARK, WHITEOUT

AS_MADE: Final = (stat.S_IFDIR | 0o755, 0, 0)
"""Mode and owners of every layer's root when it is made. Only a root that was changed is told of, so that a container that has
written nothing makes the empty tar that Docker's tools know by its digest."""


def diff_tar(diff: str) -> Iterator[bytes]:
    """The tar, piece by piece, names in order. `diff`: the upper directory. Blocks; raises `OSError`, `HostFailed`."""
    packer = Packer()
    root = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        own = os.fstat(root)
        if (own.st_mode, own.st_uid, own.st_gid) != AS_MADE:
            yield from packer.pack(root, ".", ".")
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
                    with suppress(FileNotFoundError):
                        yield from _one(packer, fd, name, os.path.normpath(f"{path}/{name}"), directories)
                waiting += reversed(directories)
            finally:
                os.close(fd)
        yield END
    finally:
        os.close(root)


def _one(packer: Packer, fd: int, name: str, path: str, directories: list[str]) -> Iterator[bytes]:
    """The entries of one name. Raises `FileNotFoundError` when it was deleted meanwhile."""
    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        yield header(_mark(os.path.dirname(path), WHITEOUT + name))
        return
    yield from packer.pack(fd, name, path)
    if stat.S_ISDIR(found.st_mode):
        directories.append(path)
        if xattrs(fd, name).get(OPAQUE) == b"y":
            yield header(_mark(path, OPAQUE_MARK))


def _mark(directory: str, name: str) -> tarfile.TarInfo:
    """A whiteout: an empty file without a time, for what is gone has none."""
    entry = tarfile.TarInfo(os.path.normpath(f"{directory or '.'}/{name}"))
    entry.mode = 0o600
    return entry
