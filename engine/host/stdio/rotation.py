"""The files of one log: `x` is being written, `x.1` was before it, `x.2` before that, and older ones may be `.gz`.

Every file has a generation, a number that grows with each rotation and never changes, so that a reader finds the file that
follows the one it has read, whatever that is called by now. Names change under a lock, in steps of which each leaves a state
that `tidy` can go on from after a kill:

    x.next made    x.3 .. x.1 one further, the last first    x to x.1    x.next to x
"""

from __future__ import annotations

import errno
import gzip
import logging
import os
import re
import tempfile
import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from typing import Final

log = logging.getLogger(__name__)

CHUNK: Final = 256 * 1024
MODE: Final = 0o640

_compressing: Final = ThreadPoolExecutor(1, thread_name_prefix="gzip")


@dataclass
class Opened:
    """One file of a log, open for reading. An object, so that it is closed also when nobody waits any more for its opening."""

    generation: int
    file: FileIO
    packed: bool
    size: int
    """When it was opened."""
    changed: float
    """When it was last written to, in seconds since 1970."""
    offset: int = 0
    """Where to read on."""
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        self.file.close()

    def unpack(self, directory: str) -> None:
        """From here on it is a plain file without a name, in a thread that may be the last to care. Raises `OSError`."""
        if self.packed:
            with tempfile.TemporaryFile(dir=directory) as plain, self.file, gzip.GzipFile(fileobj=self.file) as packed:
                try:
                    while chunk := packed.read(CHUNK):
                        plain.write(chunk)
                except (EOFError, zlib.error) as error:
                    raise OSError(errno.EIO, f"the compressed log is damaged: {error}") from error
                plain.flush()
                self.file, self.packed, self.size = FileIO(os.dup(plain.fileno())), False, plain.tell()
                if self.closed:
                    self.file.close()


class LogFiles:
    """The names. One object for all who read and write a log in this process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.generation = 0
        """Of the file that is being written."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._packing: Future[None] | None = None

    def tidy(self) -> None:
        """Bring in order what a kill left half done."""
        with self._lock:
            for left in (self._next, self._half_packed):
                with suppress(FileNotFoundError):
                    os.unlink(left)
            for index, names in enumerate((names for _, names in sorted(self._rotated().items())), start=1):
                whole, *doubled = sorted(names, key=lambda name: not name.endswith(".gz"))
                for name in doubled:
                    os.unlink(name)
                if whole not in (wanted := self._names(index)):
                    os.rename(whole, wanted[whole.endswith(".gz")])

    def rotate(self, keep: int) -> int:
        """Begin a new file, keeping at most `keep` with it: its descriptor. After `OSError` the next call goes on."""
        fd = open_for_writing(self._next)
        try:
            with self._lock:
                for index, names in sorted(self._rotated().items(), reverse=True):
                    for name in names:
                        if index + 1 >= keep:
                            os.unlink(name)
                        else:
                            os.rename(name, self._names(index + 1)[name.endswith(".gz")])
                if keep > 1:
                    with suppress(FileNotFoundError):  # somebody has removed it
                        os.rename(self.path, self._names(1)[0])
                os.rename(self._next, self.path)
                self.generation += 1
        except OSError:
            os.close(fd)
            raise
        return fd

    def open_all(self) -> list[Opened]:
        """Every file, oldest first."""
        with self._lock:
            # Where one is there packed and plain, the packed one is whole.
            rotated = sorted(self._rotated().items(), reverse=True)
            opened = [self._open(max(names), index) for index, names in rotated]
            with suppress(FileNotFoundError):
                opened.append(self._open(self.path, 0))
            return opened

    def open_after(self, generation: int) -> Opened | None:
        """The file that followed; the oldest there is when that is gone, too. None: there was no rotation since."""
        with self._lock:
            rotated = self._rotated()
            for index in range(self.generation - generation - 1, 0, -1):
                if index in rotated:
                    return self._open(max(rotated[index]), index)
            return self._open(self.path, 0) if self.generation > generation else None

    def pack(self) -> None:
        """Compress what is rotated, one file after the other, in the background."""
        with self._lock:
            if self._packing is None:
                self._stop.clear()
                self._packing = _compressing.submit(self._pack_all)

    def stop_packing(self) -> None:
        """Blocks for as long as a quarter of a megabyte takes to compress. What is not done is done after the next `pack`."""
        packing = self._packing
        if packing:
            self._stop.set()
            if packing.cancel():
                self._packing = None
            else:
                packing.result()

    @property
    def _next(self) -> str:
        return self.path + ".next"

    @property
    def _half_packed(self) -> str:
        return self.path + ".gz.tmp"

    def _names(self, index: int) -> tuple[str, str]:
        """Plain and packed."""
        return f"{self.path}.{index}", f"{self.path}.{index}.gz"

    def _rotated(self) -> dict[int, list[str]]:
        directory, name = os.path.split(self.path)
        found: dict[int, list[str]] = {}
        for entry in os.listdir(directory) if os.path.isdir(directory) else ():
            if match := re.fullmatch(re.escape(name) + r"\.([1-9][0-9]{0,5})(\.gz)?", entry, re.ASCII):
                found.setdefault(int(match[1]), []).append(os.path.join(directory, entry))
        return found

    def _open(self, path: str, index: int) -> Opened:
        file = FileIO(path)
        status = os.fstat(file.fileno())
        return Opened(self.generation - index, file, path.endswith(".gz"), status.st_size, status.st_mtime)

    def _pack_all(self) -> None:
        try:
            while (fd := self._open_next_plain()) is not None:
                with open(fd, "rb") as plain:
                    self._pack(plain.fileno())
        except OSError as error:
            self._packing = None
            if os.path.exists(os.path.dirname(self.path)):
                log.warning("cannot compress the rotated log %s: %s; it stays as it is", self.path, error.strerror)

    def _open_next_plain(self) -> int | None:
        """The oldest file that is to be compressed. None: there is none, and the work ends in the same moment."""
        with self._lock:
            for index in sorted(self._rotated(), reverse=True):
                with suppress(FileNotFoundError):
                    if not self._stop.is_set():
                        return os.open(self._names(index)[0], os.O_RDONLY | os.O_CLOEXEC)
            self._packing = None
            return None

    def _pack(self, plain: int) -> None:
        before = os.fstat(plain)
        with suppress(FileNotFoundError):
            os.unlink(self._half_packed)  # left when the disk was full
        with open(open_for_writing(self._half_packed), "wb") as file:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=int(before.st_mtime)) as packed:
                while not self._stop.is_set() and (chunk := os.read(plain, CHUNK)):
                    packed.write(chunk)
            file.flush()
            os.fdatasync(file.fileno())
        os.utime(self._half_packed, ns=(before.st_atime_ns, before.st_mtime_ns))
        with self._lock:
            if not self._stop.is_set():
                for index in self._rotated():  # its name may be another by now, or none
                    name, packed_name = self._names(index)
                    with suppress(FileNotFoundError):
                        if os.path.samestat(os.stat(name), before):
                            os.rename(self._half_packed, packed_name)
                            os.unlink(name)
                            return
        os.unlink(self._half_packed)


def open_for_writing(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
