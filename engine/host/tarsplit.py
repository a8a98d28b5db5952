"""A layer's tar, put together again from its files and from `tar-split.json.gz`, which the unpacker wrote (`untar.py`)."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from isal import igzip, igzip_lib
from msgspec import Struct

from engine.host.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from engine.model.errors import HostFailed

CHUNK: Final = 1 << 20
FILE, PIECE = 1, 2
DAMAGES: Final[tuple[Any, ...]] = (EOFError, igzip.BadGzipFile, igzip_lib.IsalError, msgspec.MsgspecError)
REMEDY: Final = "remove the image and load or pull it again"


class Entry(Struct):
    """A line: a piece of the tar, or a file whose content comes here."""

    type: int
    payload: bytes | None = None
    name: str = ""
    name_raw: bytes = b""
    """Where the name is no UTF-8."""
    size: int = 0


def tar(split: str, diff: str, diff_id: str) -> Iterator[bytes]:
    """The tar of a layer, byte for byte. Blocks; raises `OSError`, and `HostFailed` when it does not come out as `diff_id`.

    `split`: path of the tar-split; `diff`: the directory of the layer's files.
    """
    digest = hashlib.sha256()
    with _readable(diff_id), _opened(diff) as root:
        for chunk in together(_pieces(split, root, diff_id)):
            digest.update(chunk)
            yield chunk
    if "sha256:" + digest.hexdigest() != diff_id:
        raise changed(diff_id, "its content is another")


def tar_size(split: str, diff_id: str) -> int:
    """Bytes of the tar. Blocks; raises as `tar` does."""
    with _readable(diff_id):
        return sum(len(entry.payload or b"") if entry.type == PIECE else entry.size for entry in _entries(split))


def changed(diff_id: str, how: str) -> HostFailed:
    return HostFailed(f"cannot give back the layer {diff_id}: it was changed on the disk: {how}", REMEDY)


def together(pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
    """The same bytes in larger chunks."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _entries(split: str) -> Iterator[Entry]:
    decoder = msgspec.json.Decoder(Entry)
    opened: Any = igzip.IGzipFile
    with opened(split, "rb") as lines:
        for line in lines:
            yield decoder.decode(line)


def _pieces(split: str, root: int, diff_id: str) -> Iterator[bytes]:
    for entry in _entries(split):
        if entry.type == PIECE:
            yield entry.payload or b""
        elif entry.size:
            yield from _content(root, entry, diff_id)


def _content(root: int, entry: Entry, diff_id: str) -> Iterator[bytes]:
    """A file's content. The tree is the layer's own: its symlinks are followed inside it, as they were when it was unpacked."""
    name = os.fsdecode(entry.name_raw) if entry.name_raw else entry.name
    path = posixpath.normpath(name.lstrip("/"))
    try:
        fd = openat2(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        raise changed(diff_id, f"{name!r}: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
            raise changed(diff_id, f"{name!r} is not the file of {entry.size} bytes that it was")
        while chunk := os.read(fd, CHUNK):
            yield chunk
    finally:
        os.close(fd)


@contextmanager
def _readable(diff_id: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise HostFailed(f"cannot give back the layer {diff_id}: there is no record of how its tar was made", REMEDY) from error
    except DAMAGES as error:
        raise changed(diff_id, f"tar-split.json.gz: {error}") from error


@contextmanager
def _opened(directory: str) -> Iterator[int]:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
