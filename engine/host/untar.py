"""A program of its own: unpack one layer, a tar on standard input, into a directory; as overlayfs wants to find it.

    python -I untar.py DIRECTORY FD < layer.tar

What does not become a file's content (headers, padding, whatever follows the archive) is written to the file descriptor FD, as
tar-split does it: gzipped JSON lines, from which and from the files the very same tar can be put together again. `type` 2 is a
piece of the tar, base64; `type` 1 a file whose content comes here, `size` bytes of it.

On standard output it says how many bytes the files have.

Exit codes: 0; 200 when the layer cannot be right, 201 when the disk takes no more files; else the errno of what the host
refused. All but 0 with a sentence that names the entry on standard error. It chroots into the directory before it reads a byte,
so that no name and no symlink in the layer can lead out. The whole input is read to its end, whatever follows the archive.

Deletions come as `.wh.<name>` and `.wh..wh..opq` (OCI image-spec, layer.md, "Whiteouts") and become what overlayfs knows: a
character device 0:0, and the attribute `trusted.overlay.opaque`. They speak of the layers below alone. An archive that brings
such a device itself deletes with it too, as under dockerd.

Imports nothing of ours but three modules that import nothing of ours: it runs isolated.
"""

from __future__ import annotations

import errno
import os
import posixpath
import resource
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING or __name__ != "__main__":
    from engine.host import tarreader
    from engine.host.disk import remove_tree
    from engine.host.tape import CHUNK, Split, Tape
    from engine.host.tarreader import Damaged, Entry, shown
else:
    sys.path.append(os.path.dirname(__file__))
    import tarreader
    from disk import remove_tree
    from tape import CHUNK, Split, Tape
    from tarreader import Damaged, shown

T = TypeVar("T")

REFUSED, TOO_MANY = 200, 201
MEMORY = 1 << 30
"""Bytes of address space: more than any layer needs, and no more than a host can spare."""
TOO_MUCH = "it takes more memory than any layer needs"
NICE = 5
"""Who talks with the engine meanwhile goes first."""
LOOK = 5000
"""Entries between two looks at how many files the disk still takes."""
SPARE = 20
"""A twentieth of the files that the disk takes is left to others."""
IMPOSSIBLE = (
    *(errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST, errno.EINVAL),
    *(errno.E2BIG, errno.ERANGE, errno.EFBIG),
)
"""What the kernel says of an entry that is to blame itself: a name too long, a link to nothing."""
WHITEOUT = ".wh."
OPAQUE_MARK = ".wh..wh..opq"
OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"


class Refused(Exception):
    """The entry cannot be right."""


class TooMany(Exception):
    """The disk takes no more files."""


class Unpacker:
    def __init__(self) -> None:
        self._directory_times: dict[str, int] = {}
        self._parents: set[str] = {""}
        """Directories that are surely there. Forgotten as soon as anything has given way to something else."""

    def unpack(self, tape: Tape) -> None:
        """Unpack every entry below the current directory, in the archive's order."""
        name = ""
        try:
            for number, entry in enumerate(tarreader.entries(tape)):
                name = entry.name
                if number % LOOK == 0:
                    look_for_room()
                self._unpack(tape, entry)
        except Damaged as error:
            raise Refused(f"the archive is damaged{f' after {shown(name)}' if name else ''}: {error}") from error
        except (Refused, TooMany) as error:
            raise type(error)(f"entry {shown(name)}: {error}") from error
        except MemoryError as error:
            self._directory_times, self._parents = {}, set()  # or there is none for a sentence
            raise Refused(f"entry {shown(name)}: {TOO_MUCH}") from error
        except (ValueError, ArithmeticError) as error:  # a number that no file can have, a NUL in a name
            raise Refused(f"entry {shown(name)}: {error}") from error
        except OSError as error:
            sentence = f"entry {shown(name)}: {error.strerror}"
            raise Refused(sentence) if error.errno in IMPOSSIBLE else OSError(error.errno, sentence) from error
        for path, time in self._directory_times.items():  # last: every file made inside moves them
            if os.path.isdir(path):
                os.utime(path, ns=(time, time))

    def _unpack(self, tape: Tape, entry: Entry) -> None:
        path = inside(entry.name)
        directory, base = posixpath.split(path)
        if path == "." and entry.kind != tarreader.DIRECTORY:
            raise Refused("the root is not a directory")
        self._make_parents(directory)
        if base.startswith(WHITEOUT):
            self._white_out(directory, base)
        elif entry.kind == tarreader.DIRECTORY:
            if path != ".":
                self._make_directory(path)
                self._parents.add(path)
            set_attributes(entry, path)
            self._directory_times[path] = entry.time
        elif entry.kind == tarreader.FILE:
            fd = self._put(path, lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            try:
                if entry.fragments is None:
                    tape.content(entry.name, entry.size, fd)
                else:
                    tape.fragments(entry.fragments, entry.real, fd)
                set_attributes(entry, fd)
                os.utime(fd, ns=(entry.time, entry.time))
            finally:
                os.close(fd)
        elif entry.kind == tarreader.HARD_LINK:  # another name of a file that has its attributes already
            target = inside(entry.link)
            if os.path.isdir(target) and not os.path.islink(target):
                raise Refused("a directory has no second name")
            self._put(path, lambda: os.link(target, path, follow_symlinks=False))
        else:
            self._put(path, lambda: make(entry, path))
            set_attributes(entry, path)
            os.utime(path, ns=(entry.time, entry.time), follow_symlinks=False)

    def _put(self, path: str, make: Callable[[], T]) -> T:
        """Make something at `path`, in place of whatever an earlier entry left there."""
        try:
            return make()
        except FileExistsError:
            self._parents = {""}
            make_way(path)
            return make()

    def _make_parents(self, directory: str) -> None:
        """Directories an archive has no entry for. A symlink to a directory will do: it leads nowhere outside."""
        if directory in self._parents:
            return
        path, missing = directory, list[str]()
        while path and not os.path.isdir(path):  # from below: what is not there is soon told
            missing.append(path)
            path = posixpath.dirname(path)
        for path in reversed(missing):
            self._make_directory(path)
        self._parents.add(directory)

    def _make_directory(self, path: str) -> None:
        """A directory that an earlier entry made is met again; anything else gives way."""
        try:
            os.mkdir(path, 0o755)
            return
        except FileExistsError:
            there = os.lstat(path)
        if stat.S_ISDIR(there.st_mode):
            return
        self._parents = {""}
        os.unlink(path)
        os.mkdir(path, 0o755)
        if stat.S_ISCHR(there.st_mode) and there.st_rdev == 0:  # a whiteout: it does not merge with the directory it deleted
            os.setxattr(path, OPAQUE_ATTRIBUTE, b"y")

    @staticmethod
    def _white_out(directory: str, base: str) -> None:
        if base == OPAQUE_MARK:
            os.setxattr(directory or ".", OPAQUE_ATTRIBUTE, b"y")
            return
        name = base.removeprefix(WHITEOUT)
        if name in ("", ".", "..") or "/" in name:
            raise Refused("it deletes nothing that has a name")
        if name.startswith(WHITEOUT):  # aufs' own bookkeeping
            return
        path = posixpath.join(directory, name)
        if not os.path.lexists(path):
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        elif os.path.isdir(path) and not os.path.islink(path):  # made by this layer: only what lies below is deleted
            os.setxattr(path, OPAQUE_ATTRIBUTE, b"y")


def inside(name: str) -> str:
    """The name relative to the layer's root. Raises `Refused` when it climbs out."""
    path = posixpath.normpath(name.lstrip("/") or ".")
    if path == ".." or path.startswith("../"):
        raise Refused(f"{shown(name)} leads out of the layer")
    return path


def make(entry: Entry, path: str) -> None:
    """What is neither a file nor a directory nor a hard link."""
    if entry.kind == tarreader.SYMLINK:
        if not entry.link.startswith("/"):  # an absolute one begins at the container's root
            inside(posixpath.join(posixpath.dirname(path), entry.link))
        os.symlink(entry.link, path)
    elif entry.kind == tarreader.FIFO:
        os.mkfifo(path)
    elif entry.kind in (tarreader.CHARACTER, tarreader.BLOCK_DEVICE):
        kind = stat.S_IFCHR if entry.kind == tarreader.CHARACTER else stat.S_IFBLK
        os.mknod(path, kind, os.makedev(entry.major, entry.minor))
    else:
        raise Refused(f"unknown type {entry.kind!r}")


def set_attributes(entry: Entry, path: str | int) -> None:
    """All but the time. `path` may be an open file."""
    follow = isinstance(path, int)
    os.chown(path, entry.uid, entry.gid, follow_symlinks=follow)  # first: it clears set-id bits and capabilities
    for name, value in entry.xattrs.items():
        if name.startswith("trusted.overlay."):  # it would steer overlayfs itself
            raise Refused(f"it carries the attribute {shown(name)}")
        try:
            os.setxattr(path, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno != errno.ENOTSUP:  # this file system keeps no such attribute: left out, as Docker does
                raise
    if entry.kind != tarreader.SYMLINK:
        os.chmod(path, stat.S_IMODE(entry.mode))


def look_for_room() -> None:
    disk = os.statvfs(".")
    if disk.f_files and disk.f_favail * SPARE < disk.f_files:
        raise TooMany("the disk takes no more files")


def make_way(path: str) -> None:
    """Remove what an earlier entry left at `path`."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def size(directory: str) -> int:
    """Bytes of the files below; several names of one file count once."""
    total = 0
    met: set[int] = set()
    below = [directory]
    while below:
        with os.scandir(below.pop()) as found:
            for each in found:
                if each.is_dir(follow_symlinks=False):
                    below.append(each.path)
                    continue
                own = each.stat(follow_symlinks=False)
                if own.st_nlink == 1 or own.st_ino not in met:
                    met.add(own.st_ino)
                    total += own.st_size
    return total


def measured() -> int:
    """The layer's size. Raises `Refused` where its directories go deeper than a path can say, by way of symlinks."""
    try:
        return size(".")
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise Refused("a directory of it lies deeper than any path is long") from error


def main(directory: str, split: int) -> int:
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.umask(0)
    os.chroot(directory)
    os.chdir("/")
    # From here on no import may find anything: it would come out of the layer, and run as root.
    sys.path.clear()
    sys.meta_path.clear()
    try:
        with open(sys.stdin.fileno(), "rb", buffering=CHUNK, closefd=False) as stream:
            tape = Tape(stream, Split(split))
            Unpacker().unpack(tape)
            tape.end()
        print(measured())
    except (Refused, TooMany) as error:
        print(error, file=sys.stderr)
        return REFUSED if isinstance(error, Refused) else TOO_MANY
    except MemoryError:
        print(TOO_MUCH, file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return error.errno or errno.EIO
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
