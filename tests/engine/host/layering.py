"""Layers made as they are made in life: by writing through a real overlay mount, one layer on top of the other."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.host.syscalls import MNT_DETACH, mount, umount2

Operation = tuple[str, str, str]
"""What to do, with which path, and a text or a second path."""


class Layering:
    """A directory with layers `0`, `1`, ... from the bottom up."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.count = 0

    @property
    def layers(self) -> list[str]:
        """Their directories, top first."""
        return [str(self.directory / str(number)) for number in reversed(range(self.count))]

    def add(self, write: Callable[[Path], None]) -> None:
        """One more layer, written by `write` as a process would write into the mounted union."""
        below = self.layers
        own = self.directory / str(self.count)
        own.mkdir()
        if below:
            with self._mounted(below, own) as union:
                write(union)
        else:
            write(own)
        self.count += 1

    @contextmanager
    def union(self, skip: int = 0) -> Iterator[Path]:
        """All layers but the top-most `skip`, mounted to be read."""
        layers = self.layers[skip:]
        if len(layers) == 1:
            yield Path(layers[0])
        else:
            with self._mounted(layers, None) as union:
                yield union

    @contextmanager
    def _mounted(self, lower: list[str], upper: Path | None) -> Iterator[Path]:
        point, work = (Path(tempfile.mkdtemp(prefix=name, dir=self.directory)) for name in ("union", "work"))
        options = "lowerdir=" + ":".join(lower) + (f",upperdir={upper},workdir={work}" if upper else "")
        try:
            mount("overlay", str(point), "overlay", data=options)
            yield point
        finally:
            with suppress(OSError):
                umount2(str(point), MNT_DETACH)
            point.rmdir()
            shutil.rmtree(work)


def perform(operations: Iterable[Operation], root: Path) -> None:
    """Do each, as far as it can be done."""
    for what, path, more in operations:
        with suppress(OSError):
            _perform(what, root / path, more, root)


def _perform(what: str, path: Path, more: str, root: Path) -> None:
    match what:
        case "write":
            # Without waiting: the path may be a FIFO, which nobody reads.
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o644), "w") as file:
                file.write(more)
        case "directory":
            path.mkdir(parents=True)
        case "symlink":
            path.symlink_to(more)
        case "fifo":
            os.mkfifo(path)
        case "link":
            os.link(root / more, path, follow_symlinks=False)
        case "rename":
            os.rename(path, root / more)
        case "remove":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        case "mode":
            path.chmod(0o600)
        case "owner":
            os.chown(path, 7, 8, follow_symlinks=False)
        case "touch":
            os.utime(path, (1, 1), follow_symlinks=False)
        case "open":
            with path.open("r+b"):  # copied up, and nothing changed
                pass
        case "capability":
            os.setxattr(path, "security.capability", bytes.fromhex("0100000202000000000000000000000000000000"))


def walked(root: Path) -> dict[str, os.stat_result]:
    """Every path below a directory, as a process sees it."""
    found = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            place = os.path.join(directory, name)
            found[place[len(str(root)) :]] = os.lstat(place)
    return found


def docker_changes(before: Path, after: Path) -> set[tuple[str, int]]:
    """`docker diff` as reference 8.8 tells it, from two whole trees: slow, and plainly right."""
    a, b = walked(before), walked(after)
    changed = set()
    for path in b:
        if path not in a:
            changed.add((path, 1))
        elif _differ(a[path], b[path]) or _capability(before, path) != _capability(after, path):
            changed.add((path, 0))
    for path in a:
        parent = os.path.dirname(path)
        there = b.get(parent)
        if path not in b and (parent == "/" or (there and stat.S_ISDIR(there.st_mode) and stat.S_ISDIR(a[parent].st_mode))):
            changed.add((path, 2))
    known = {path for path, _ in changed}
    above = {str(parent) for path in known for parent in Path(path).parents} - known - {"/"}
    return changed | {(path, 0) for path in above}


def _differ(a: os.stat_result, b: os.stat_result) -> bool:
    if (a.st_mode, a.st_uid, a.st_gid, a.st_rdev) != (b.st_mode, b.st_uid, b.st_gid, b.st_rdev):
        return True
    return not stat.S_ISDIR(a.st_mode) and (a.st_size, a.st_mtime_ns) != (b.st_size, b.st_mtime_ns)


def _capability(root: Path, path: str) -> bytes:
    try:
        return os.getxattr(f"{root}{path}", "security.capability", follow_symlinks=False)
    except OSError:
        return b""
