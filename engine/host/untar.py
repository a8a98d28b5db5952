"""A program of its own: unpack one layer, a tar on standard input, into a directory; as overlayfs wants to find it.

    python -I untar.py DIRECTORY < layer.tar

Exit codes: 0; 200 when the layer cannot be right; else the errno of what the host refused. Either with a sentence that names
the entry on standard error. It chroots into the directory before it reads a byte, so that no name and no symlink in the layer
can lead out. The whole input is read to its end, whatever follows the archive.

Deletions come as `.wh.<name>` and `.wh..wh..opq` (OCI image-spec, layer.md, "Whiteouts") and become what overlayfs knows: a
character device 0:0, and the attribute `trusted.overlay.opaque`. They speak of the layers below alone.

Imports nothing of ours: it runs isolated.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
import sys
import tarfile
from decimal import Decimal
from typing import BinaryIO

CHUNK = 1 << 18
REFUSED = 200
WHITEOUT = ".wh."
OPAQUE_MARK = ".wh..wh..opq"
OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"
XATTR = "SCHILY.xattr."
"""PAX key of an extended attribute."""


class Refused(Exception):
    """The entry cannot be right."""


class Unpacker:
    def __init__(self) -> None:
        self._directory_times: dict[str, int] = {}

    def unpack(self, stream: BinaryIO) -> None:
        """Unpack every entry below the current directory, in the archive's order."""
        name = ""
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as archive:
                for entry in archive:
                    name = entry.name
                    self._unpack(archive, entry)
        except tarfile.TarError as error:
            raise Refused(f"the archive is damaged{after(name)}: {error}") from error
        except (Refused, ValueError, ArithmeticError) as error:  # the latter two: a number no file can have
            raise Refused(f"entry {name!r}: {error}") from error
        except OSError as error:
            raise OSError(error.errno, f"entry {name!r}: {error.strerror}") from error
        for path, time in self._directory_times.items():  # last: every file made inside moves them
            if os.path.isdir(path):
                os.utime(path, ns=(time, time))

    def _unpack(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = inside(entry.name)
        directory, base = posixpath.split(path)
        if base.startswith(WHITEOUT):
            make_parents(directory)
            self._white_out(directory, base)
            return
        if path == ".":
            if not entry.isdir():
                raise Refused("the root is not a directory")
        else:
            make_parents(directory)
            self._make(archive, entry, path)
        if not entry.islnk():  # another name of a file that has its attributes already
            self._set_attributes(entry, path)

    def _make(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if entry.isdir():
            make_directory(path)
            return
        make_way(path)
        if entry.isreg():
            source = archive.extractfile(entry)
            assert source, "a regular file has content"
            with open(path, "xb") as file:
                shutil.copyfileobj(source, file, CHUNK)
        elif entry.issym():
            if not entry.linkname.startswith("/"):  # an absolute one begins at the container's root
                inside(posixpath.join(posixpath.dirname(path), entry.linkname))
            os.symlink(entry.linkname, path)
        elif entry.islnk():
            os.link(inside(entry.linkname), path, follow_symlinks=False)
        elif entry.isfifo():
            os.mkfifo(path)
        elif entry.ischr() or entry.isblk():
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            os.mknod(path, kind, os.makedev(entry.devmajor, entry.devminor))
        else:
            raise Refused(f"unknown type {entry.type!r}")

    def _set_attributes(self, entry: tarfile.TarInfo, path: str) -> None:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)  # first: it clears set-id bits and capabilities
        for key, value in entry.pax_headers.items():
            if key.startswith(XATTR):
                set_xattr(path, key.removeprefix(XATTR), value.encode("utf-8", "surrogateescape"))
        if not entry.issym():
            os.chmod(path, stat.S_IMODE(entry.mode))
        time = int(Decimal(entry.pax_headers.get("mtime", entry.mtime)) * 10**9)
        if entry.isdir():
            self._directory_times[path] = time
        else:
            os.utime(path, ns=(time, time), follow_symlinks=False)

    def _white_out(self, directory: str, base: str) -> None:
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
        raise Refused(f"{name!r} leads out of the layer")
    return path


def make_parents(directory: str) -> None:
    """Directories an archive has no entry for. A symlink to a directory will do: it leads nowhere outside."""
    path = ""
    for part in directory.split("/") if directory else ():
        path = posixpath.join(path, part)
        if not os.path.isdir(path):
            make_directory(path)


def make_directory(path: str) -> None:
    """A directory that an earlier entry made is met again; anything else gives way."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        os.mkdir(path, 0o755)
        return
    if stat.S_ISDIR(there.st_mode):
        return
    os.unlink(path)
    os.mkdir(path, 0o755)
    if stat.S_ISCHR(there.st_mode) and there.st_rdev == 0:  # a whiteout: the new directory does not merge with the deleted one
        os.setxattr(path, OPAQUE_ATTRIBUTE, b"y")


def make_way(path: str) -> None:
    """Remove what an earlier entry left at `path`."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def set_xattr(path: str, name: str, value: bytes) -> None:
    if name.startswith("trusted.overlay."):  # it would steer overlayfs itself
        raise Refused(f"it carries the attribute {name}")
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # this file system keeps no such attribute: left out, as Docker does
            raise


def after(name: str) -> str:
    return f" after {name!r}" if name else ""


def main(directory: str) -> int:
    os.umask(0)
    os.chroot(directory)
    os.chdir("/")
    # From here on no import may find anything: it would come out of the layer, and run as root.
    sys.path.clear()
    sys.meta_path.clear()
    try:
        Unpacker().unpack(sys.stdin.buffer)
    except Refused as error:
        print(error, file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return error.errno or errno.EIO
    while sys.stdin.buffer.read(CHUNK):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
