"""The tar of a layer on its way through the unpacker, and the record of all in it that is no file's content.

The record is tar-split's: gzipped JSON lines, see `untar.py`. It imports nothing of ours but the reader of tars: the unpacker
runs isolated.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from isal import isal_zlib

if TYPE_CHECKING or __name__ != "tape":
    from engine.host.tarreader import Damaged, Fragments
else:
    from tarreader import Damaged

CHUNK = 1 << 18
ZEROS = bytes(CHUNK)


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
        try:
            name.encode()
            named = f'"name":{json.dumps(name)}'
        except UnicodeEncodeError:
            named = f'"name_raw":"{base64.b64encode(os.fsencode(name)).decode()}"'
        sized = f'"size":{size},' if size else ""
        self._add(f'{{"type":1,{named},{sized}"payload":null,"position":{self._position}}}\n')

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
    """The tar, read forward alone: a `tarreader.Source`. What is read goes to the split, except by `content`."""

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
        while self._position < position and self.read(min(CHUNK, position - self._position)):
            pass

    def content(self, name: str, size: int, fd: int) -> None:
        """Copy a file's content. Many zeros in a row become a hole: most likely they were one."""
        self._note()
        self._split.file(name, size)
        self._copy(size, fd, self._stream.read)
        self._position += size

    def fragments(self, fragments: Fragments, size: int, fd: int) -> None:
        """Copy what a sparse file has. Where it has how much is not in the split: it keeps the content itself."""
        for offset, length in fragments:
            os.lseek(fd, offset, os.SEEK_SET)
            self._copy(length, fd, self.read)
        os.ftruncate(fd, size)

    def end(self) -> None:
        """Read the rest, whatever it is."""
        while self.read(CHUNK):
            pass
        self._note()
        self._split.close()

    @staticmethod
    def _copy(size: int, fd: int, read: Callable[[int], bytes]) -> None:
        left, hole = size, False
        while left:
            data = read(min(CHUNK, left))
            if not data:
                raise Damaged("unexpected end of data")
            hole = data == ZEROS
            if hole:
                os.lseek(fd, CHUNK, os.SEEK_CUR)
            else:
                write_all(fd, data)
            left -= len(data)
        if hole:
            os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_CUR))

    def _note(self) -> None:
        if self._size:
            self._split.piece(b"".join(self._held))
        self._held, self._size = [], 0


def write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
