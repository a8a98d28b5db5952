"""A program of its own: unpack one layer, a tar on standard input, into a directory; as overlayfs wants to find it.

    python -I untar.py DIRECTORY FD < layer.tar

What does not become a file's content (headers, padding, whatever follows the archive) is written to the file descriptor FD, as
tar-split does it: gzipped JSON lines, from which and from the files the very same tar can be put together again. `type` 2 is a
piece of the tar, base64; `type` 1 a file whose content comes here, `size` bytes of it.

Exit codes: 0; 200 when the layer cannot be right; else the errno of what the host refused. Either with a sentence that names
the entry on standard error. It chroots into the directory before it reads a byte, so that no name and no symlink in the layer
can lead out. The whole input is read to its end, whatever follows the archive.

Deletions come as `.wh.<name>` and `.wh..wh..opq` (OCI image-spec, layer.md, "Whiteouts") and become what overlayfs knows: a
character device 0:0, and the attribute `trusted.overlay.opaque`. They speak of the layers below alone.

Imports nothing of ours: it runs isolated.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import posixpath
import shutil
import stat
import sys
import tarfile
from collections.abc import Callable
from decimal import Decimal
from io import FileIO
from typing import Any, BinaryIO

from isal import isal_zlib

CHUNK = 1 << 18
ZEROS = bytes(CHUNK)
REFUSED = 200
WHITEOUT = ".wh."
OPAQUE_MARK = ".wh..wh..opq"
OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"
XATTR = "SCHILY.xattr."
"""PAX key of an extended attribute."""


class Refused(Exception):
    """The entry cannot be right."""


class Split:
    """The file that keeps what is no file's content."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = 0
        self._lines: list[str] = []
        self._size = 0
        self._packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)  # 31: with a gzip header

    def piece(self, data: bytes) -> None:
        self._add(f'{{"type":2,"payload":"{base64.b64encode(data).decode()}","position":{self._position}}}\n')

    def file(self, name: str, size: int) -> None:
        entry: dict[str, str | int | None] = {"type": 1}
        try:
            name.encode()
            entry["name"] = name
        except UnicodeEncodeError:
            entry["name_raw"] = base64.b64encode(os.fsencode(name)).decode()
        if size:
            entry["size"] = size
        self._add(json.dumps(entry | {"payload": None, "position": self._position}) + "\n")

    def close(self) -> None:
        self._write()
        write_all(self._fd, self._packer.flush())

    def _add(self, line: str) -> None:
        self._position += 1
        self._lines.append(line)
        self._size += len(line)
        if self._size > CHUNK:
            self._write()

    def _write(self) -> None:
        write_all(self._fd, self._packer.compress("".join(self._lines).encode()))
        self._lines, self._size = [], 0


class Tape:
    """The tar, read forward alone, as `tarfile` reads a file. What is read goes to the split, except by `content`."""

    def __init__(self, stream: BinaryIO, split: Split) -> None:
        self._stream = stream
        self._split = split
        self._position = 0
        self._held: list[bytes] = []
        self._size = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        self._held.append(data)
        self._size += len(data)
        if self._size > CHUNK:
            self._note()
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("it points back")
        while self._position < position and self.read(min(CHUNK, position - self._position)):
            pass

    def content(self, name: str, size: int, file: FileIO) -> None:
        """Copy a file's content. Many zeros in a row become a hole: most likely they were one."""
        self._note()
        self._split.file(name, size)
        self._copy(size, file, self._stream.read)
        file.truncate(size)
        self._position += size

    def fragments(self, entry: tarfile.TarInfo, file: FileIO) -> None:
        """Copy what a sparse file has. Where it has how much is not in the split: it keeps the content itself."""
        fragments: Any = entry.sparse  # pairs of offset and size
        for offset, size in fragments:
            file.seek(offset)
            self._copy(size, file, self.read)
        file.truncate(entry.size)

    def end(self) -> None:
        """Read the rest, whatever it is."""
        while self.read(CHUNK):
            pass
        self._note()
        self._split.close()

    @staticmethod
    def _copy(size: int, file: FileIO, read: Callable[[int], bytes]) -> None:
        while size:
            data = read(min(CHUNK, size))
            if not data:
                raise tarfile.ReadError("unexpected end of data")
            if len(data) == CHUNK and data == ZEROS:
                file.seek(CHUNK, os.SEEK_CUR)
            else:
                write_all(file.fileno(), data)
            size -= len(data)

    def _note(self) -> None:
        if self._size:
            self._split.piece(b"".join(self._held))
        self._held, self._size = [], 0


class Unpacker:
    def __init__(self) -> None:
        self._directory_times: dict[str, int] = {}

    def unpack(self, tape: Tape) -> None:
        """Unpack every entry below the current directory, in the archive's order."""
        name = ""
        try:
            archive: Any
            with tarfile.TarFile(fileobj=tape) as archive:  # type: ignore[arg-type]  # read, seek and tell are all it uses
                while entry := archive.next():
                    archive.members.clear()  # it would keep every one
                    name = entry.name
                    tape.seek(entry.offset_data)
                    self._unpack(tape, entry)
        except tarfile.TarError as error:
            raise Refused(f"the archive is damaged{after(name)}: {error}") from error
        except (Refused, ValueError, ArithmeticError) as error:  # the latter two: a number no file can have
            raise Refused(f"entry {name!r}: {error}") from error
        except OSError as error:
            raise OSError(error.errno, f"entry {name!r}: {error.strerror}") from error
        for path, time in self._directory_times.items():  # last: every file made inside moves them
            if os.path.isdir(path):
                os.utime(path, ns=(time, time))

    def _unpack(self, tape: Tape, entry: tarfile.TarInfo) -> None:
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
            self._make(tape, entry, path)
        if not entry.islnk():  # another name of a file that has its attributes already
            self._set_attributes(entry, path)

    def _make(self, tape: Tape, entry: tarfile.TarInfo, path: str) -> None:
        if entry.isdir():
            make_directory(path)
            return
        make_way(path)
        if entry.isreg():
            with open(path, "xb", buffering=0) as file:
                if entry.issparse():
                    tape.fragments(entry, file)
                else:
                    tape.content(entry.name, entry.size, file)
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


def write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def main(directory: str, split: int) -> int:
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
    except Refused as error:
        print(error, file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return error.errno or errno.EIO
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
