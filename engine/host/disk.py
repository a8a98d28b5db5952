"""Files that last: written whole or not at all. Everything here blocks; call it in a thread. Raises `OSError`."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

TEMPORARY = ".tmp"
"""Ending of a file that is being written. One that is found at start was left by a crash."""


def make_directory(path: str, mode: int) -> bool:
    """mkdir(2) with exactly this mode, whatever the umask. False when the directory was there: it is left as it is."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return False
    os.chmod(path, mode)
    return True


def make_directories(path: str, mode: int) -> None:
    """The directory and all its missing parents, each with this mode."""
    if not os.path.isdir(path):
        make_directories(os.path.dirname(path), mode)
        make_directory(path, mode)


def write_file(path: str, data: bytes, mode: int) -> None:
    """Replace a file in one move: temporary file, fdatasync, rename. Without the fdatasync a power cut empties it."""
    temporary = path + TEMPORARY
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        try:
            write_all(fd, data)
            os.fchmod(fd, mode)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            os.unlink(temporary)
        raise


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all is written."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_text(path: str) -> str | None:
    """A small file's text, stripped; None when there is no such file."""
    try:
        return read_file(path).decode().strip()
    except FileNotFoundError:
        return None


def sync_file(path: str) -> None:
    """fdatasync(2) a file that is written already."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """fsync(2) a directory: the names in it last."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: str) -> None:
    """Unlink a directory and all below. One that is not there is fine."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_file(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def names(path: str) -> list[str]:
    """Names in a directory, sorted; none when there is no such directory."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
