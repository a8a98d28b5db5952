"""Files that last: written whole or not at all. Everything here blocks; call it in a thread. Raises `OSError`.

Imports nothing of ours: the unpacker runs isolated.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEEP = 100
"""Levels that are gone down with a file descriptor and a frame of the stack for each."""
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
    """Unlink a directory and all below, however deep that goes. One that is not there is fine."""
    with suppress(FileNotFoundError):
        top = os.open(path, DIRECTORY)
        try:
            while _empty(top, top, 0):
                pass
        finally:
            os.close(top)
        os.rmdir(path)


def _empty(directory: int, top: int, depth: int) -> bool:
    """Unlink all in a directory. What lies too deep is moved up into `top`; whether anything was."""
    moved = False
    with os.scandir(directory) as found:
        entries = list(found)
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
        elif depth == DEEP:
            os.rename(entry.name, secrets.token_hex(16), src_dir_fd=directory, dst_dir_fd=top)
            moved = True
        else:
            below = os.open(entry.name, DIRECTORY, dir_fd=directory)
            try:
                moved |= _empty(below, top, depth + 1)
            finally:
                os.close(below)
            os.rmdir(entry.name, dir_fd=directory)
    return moved


def remove_file(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def names(path: str) -> list[str]:
    """Names in a directory, sorted; none when there is no such directory."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
