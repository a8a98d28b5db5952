"""The directories of `overlay2/`, exactly as Docker lays them out: `<id>/{diff,link,lower,work,committed}` and `l/`."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from engine.host.disk import make_directories, make_directory, read_text, remove_file, remove_tree, sync_file
from engine.model.errors import HostFailed

OPAQUE: Final = "trusted.overlay.opaque"
MAX_LOWER: Final = 128
"""Docker's own bound on the layers below one."""
DIRECTORIES: Final = ("dev/pts", "dev/shm", "proc", "sys")
EMPTY_FILES: Final = (".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console")
MTAB: Final = ("etc/mtab", "/proc/mounts")


class LayerStore:
    """Makes and removes layer directories. Everything blocks and raises `OSError`; all of it can be done twice."""

    def __init__(self, root: str) -> None:
        self.path = os.path.join(os.path.realpath(root), "overlay2")
        """Resolved: the kernel's mount table shows no symlinks."""

    def directory(self, layer: str) -> str:
        if layer in ("", ".", "..", "l") or "/" in layer:  # it may come from a damaged file, and may be unlinked next
            raise ValueError(f"no layer is named {layer!r}")
        return os.path.join(self.path, layer)

    def diff(self, layer: str) -> str:
        return os.path.join(self.path, layer, "diff")

    def make(self, layer: str, parent: str = "") -> None:
        """A layer, empty, on top of `parent`."""
        own = self.directory(layer)
        lower = self.lower(parent) if parent else ""
        make_directories(self.path, 0o710)
        make_directory(os.path.join(self.path, "l"), 0o700)
        make_directory(own, 0o710)
        make_directory(self.diff(layer), 0o755)
        link = short_link(layer)
        with suppress(FileExistsError):
            os.symlink(f"../{layer}/diff", os.path.join(self.path, "l", link))
        _write(os.path.join(own, "link"), link, 0o644)
        if parent:
            make_directory(os.path.join(own, "work"), 0o700)
            _write(os.path.join(self.directory(parent), "committed"), "", 0o600)
            _write(os.path.join(own, "lower"), lower, 0o644)

    def lower(self, parent: str) -> str:
        """What the `lower` file of a layer above `parent` says: short links, top-most first."""
        link = read_text(os.path.join(self.directory(parent), "link"))
        if link is None:
            raise HostFailed(f"cannot put a layer on {parent[:12]}: there is no such layer", "load the image again")
        below = read_text(os.path.join(self.directory(parent), "lower"))
        links = f"l/{link}:{below}" if below else f"l/{link}"
        if links.count(":") >= MAX_LOWER:
            raise HostFailed(f"cannot put a layer on {parent[:12]}: max depth exceeded, there are {MAX_LOWER} layers below")
        return links

    def make_last(self, layer: str) -> None:
        """Write the layer's `lower` out: after a power cut every mount is made from it alone."""
        sync_file(os.path.join(self.directory(layer), "lower"))

    def drop(self, layer: str) -> None:
        remove_file(os.path.join(self.path, "l", short_link(layer)))
        remove_tree(self.directory(layer))

    def fill_init(self, layer: str, lower: Iterable[str]) -> None:
        """Put the init layer's files in, unless the image has such a path.

        They go into `diff` directly: nothing need be mounted to write into the top-most layer.
        """
        below = [self.diff(each) for each in lower]
        diff = self.diff(layer)
        for path in DIRECTORIES:
            if self._clear(diff, below, path):
                make_directory(os.path.join(diff, path), 0o755)
        for path in EMPTY_FILES:
            if self._clear(diff, below, path):
                _write(os.path.join(diff, path), "", 0o755)
        path, target = MTAB
        if self._clear(diff, below, path):
            with suppress(FileExistsError):
                os.symlink(target, os.path.join(diff, path))

    def _clear(self, diff: str, below: list[str], path: str) -> bool:
        """Make way for `path`: its parents exist in `diff`; False when the image has a directory there.

        Files and symlinks in the way are not looked at: what is made in `diff` hides them.
        """
        if resolve(below, path):
            return False
        parent = ""
        for part in os.path.dirname(path).split("/") if "/" in path else ():
            parent = os.path.join(parent, part)
            copy_up(diff, resolve(below, parent), parent)
        return True


def resolve(layers: list[str], path: str) -> list[str]:
    """The directories that overlayfs would merge at `path`, top-most first; none when there is no directory there.

    The rules are those of Documentation/filesystems/overlayfs.rst: a file, a symlink or a whiteout hides what is below,
    and so does a directory marked opaque.
    """
    for part in path.split("/"):
        found = []
        for layer in layers:
            place = os.path.join(layer, part)
            try:
                kind = os.lstat(place).st_mode
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(kind):
                break
            found.append(place)
            if _is_opaque(place):
                break
        layers = found
    return layers


def copy_up(diff: str, sources: list[str], path: str) -> None:
    """Make a directory in the top layer as overlayfs does: with mode, owner and attributes of the one it will cover."""
    target = os.path.join(diff, path)
    if not make_directory(target, 0o755) or not sources:
        return
    source = os.stat(sources[0])
    os.chown(target, source.st_uid, source.st_gid)
    os.chmod(target, stat.S_IMODE(source.st_mode))
    for name in os.listxattr(sources[0]):
        if not name.startswith("trusted.overlay."):
            os.setxattr(target, name, os.getxattr(sources[0], name))


def short_link(layer: str) -> str:
    """26 letters for a layer, always the same ones: a half-made layer can be found and removed by its id alone."""
    return base64.b32encode(hashlib.sha256(layer.encode()).digest()).decode()[:26]


def content_size(diff: str) -> tuple[int, int]:
    """Bytes and number of the files below a directory; several names of one file count once as bytes."""
    size = count = 0
    seen: set[tuple[int, int]] = set()
    below = [diff]
    while below:
        # A running container may delete it meanwhile, or have gone deeper than a path can say.
        with suppress(OSError), os.scandir(below.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                    continue
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    count += 1
                    if (found.st_dev, found.st_ino) not in seen:
                        seen.add((found.st_dev, found.st_ino))
                        size += found.st_size
    return size, count


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, OPAQUE) == b"y"
    except OSError:  # no such attribute, or a file system without any
        return False


def _write(path: str, text: str, mode: int) -> None:
    with open(path, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
