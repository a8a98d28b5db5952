"""Layers as one tree, without a mount: the merge of Documentation/filesystems/overlayfs.rst, done by looking.

It works alike for what runs, what is stopped and what is only an image, and it shows what a mount hides: which layer a path
comes from, whiteouts, opaque directories. The layers may be written to meanwhile, and by somebody hostile: every step of a
path is opened below the one before it, symlinks are never followed, and only directories and regular files are opened.

Renamed directories (`trusted.overlay.redirect`) and copied-up metadata (`metacopy`) are not known here: the kernel makes them
only where its `redirect_dir` and `metacopy` are switched on, and Docker's layers cannot be made with them.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO, Final, NamedTuple

from engine.host.layers import OPAQUE
from engine.host.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from engine.model.errors import Invalid, NotFound
from engine.model.tree import Content, Entry, EntryKind, Hidden, Listing, to_name, to_text

PREVIEW: Final = 64 * 1024
"""Bytes of a file that are shown."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: Final[dict[int, EntryKind]] = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class Place(NamedTuple):
    """A directory of one layer, opened."""

    layer: int
    fd: int


class Found(NamedTuple):
    """One name in one layer."""

    place: Place
    name: str
    is_directory: bool
    entry: os.DirEntry[str]

    def stat(self) -> os.stat_result:
        return self.entry.stat(follow_symlinks=False)


Merge = tuple[Place, ...]
"""The directories that are merged into one, top first."""
Chain = list[Found]
"""One name in all the layers that have it, top first."""


class Tree:
    """The layers of one container or image: paths of their `diff` directories, top first. Close it after use."""

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        self.root: Merge = ()
        self._opened = ExitStack()
        with ExitStack() as opened:
            for number, path in enumerate(layers):
                fd = os.open(path, _DIRECTORY)
                opened.callback(os.close, fd)
                self.root += (Place(number, fd),)
            self._opened = opened.pop_all()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @contextmanager
    def directory(self, path: str) -> Iterator[Merge]:
        """The merged directory at a path. Raises `NotFound`, and `Invalid` for what is no directory."""
        opened, merge, shown = ExitStack(), self.root, ""
        try:
            for name in _parts(path):
                shown += "/" + name
                above, (merge, opened) = opened, _step(merge, name, to_text(shown))
                above.close()
            yield merge
        finally:
            opened.close()

    @contextmanager
    def open(self, path: str, layers: Iterable[int]) -> Iterator[Merge]:
        """The directories at a path in these layers, whatever hides them. One that has just gone is left out.

        One call for each, however deep: so a walk keeps no descriptor of the directories above it.
        """
        with ExitStack() as opened:
            merge: Merge = ()
            for layer in layers:
                try:
                    fd = openat2(
                        self.root[layer].fd, path.lstrip("/") or ".", _DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
                    )
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    if error.errno == errno.ELOOP:  # a symlink now
                        continue
                    raise
                opened.callback(os.close, fd)
                merge += (Place(layer, fd),)
            yield merge


def listing(layers: Sequence[str], path: str) -> Listing:
    """One merged directory. Raises `NotFound`, `Invalid`, `OSError`."""
    with Tree(layers) as tree, tree.directory(path) as merge:
        entries = []
        for name, chain in sorted(scan(merge).items()):
            with suppress(FileNotFoundError):  # deleted meanwhile
                entries.append(_entry(name, chain))
        where = "/" + "/".join(map(to_text, _parts(path)))
        return Listing(path=where, layers=tuple(place.layer for place in merge), entries=tuple(entries))


def content(layers: Sequence[str], path: str) -> Content:
    """The beginning of a regular file. Raises `NotFound`, `Invalid`, `OSError`."""
    parts = _parts(path)
    where = "/" + "/".join(map(to_text, parts))
    if not parts:
        raise Invalid("cannot show the content of /: it is a directory")
    with Tree(layers) as tree, tree.directory(where.rpartition("/")[0] or "/") as merge:
        for place in merge:
            try:
                found = os.stat(parts[-1], dir_fd=place.fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if is_whiteout(found):
                break
            with open_file(place, parts[-1]) as file:
                return Content(path=where, layer=place.layer, size=os.fstat(file.fileno()).st_size, data=file.read(PREVIEW))
    raise NotFound(f"there is no {where}")


@contextmanager
def open_file(place: Place, name: str) -> Iterator[BinaryIO]:
    """A regular file. Raises `Invalid` for anything else, which is not opened: a FIFO would wait, a device may do anything."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise Invalid(f"cannot show the content of {to_text(name)}: it is a {kind_of(found)}")
        # The very inode that was looked at, whatever has its name by now.
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            yield file
    finally:
        os.close(fd)


def scan(merge: Merge) -> dict[str, Chain]:
    """Every name in the directories of a merge, with all the layers that have it. What vanishes meanwhile is left out."""
    chains: dict[str, Chain] = {}
    for place in merge:
        with os.scandir(place.fd) as entries:
            for entry in entries:
                found = Found(place, entry.name, entry.is_dir(follow_symlinks=False), entry)
                if entry.name in chains:
                    chains[entry.name].append(found)
                else:
                    chains[entry.name] = [found]
    return chains


def parted(chain: Chain) -> tuple[Chain, Chain]:
    """What is seen of a name, and what that hides. Seen is one thing, or the directories that are merged."""
    seen = 1
    if chain[0].is_directory and not is_opaque(chain[0]):
        while seen < len(chain) and chain[seen].is_directory:
            seen += 1
            if is_opaque(chain[seen - 1]):
                break
    return chain[:seen], chain[seen:]


def is_opaque(found: Found) -> bool:
    return _opaque(path_of(found.place, found.name))


def path_of(place: Place, name: str) -> str:
    """A name below an opened directory, for calls that take no directory."""
    return f"/proc/self/fd/{place.fd}/{name}"


def is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def deletes(found: Found) -> bool:
    """Is it a whiteout? Only what is neither file, directory nor symlink is looked at."""
    entry = found.entry
    if found.is_directory or entry.is_file(follow_symlinks=False) or entry.is_symlink():
        return False
    return is_whiteout(found.stat())


def kind_of(found: os.stat_result) -> EntryKind:
    return "whiteout" if is_whiteout(found) else _KINDS.get(stat.S_IFMT(found.st_mode), "device")


def _entry(name: str, chain: Chain) -> Entry:
    seen, hidden = parted(chain)
    top = seen[0].stat()
    kind = kind_of(top)
    return Entry(
        name=to_text(name),
        kind=kind,
        layers=tuple(found.place.layer for found in seen),
        size=top.st_size if kind == "file" else 0,
        mode=stat.S_IMODE(top.st_mode),
        uid=top.st_uid,
        gid=top.st_gid,
        mtime=top.st_mtime,
        target=_target(seen[0]) if kind == "symlink" else "",
        opaque=seen[0].is_directory and is_opaque(seen[0]),
        hides=tuple(_hidden(found) for found in hidden),
    )


def _hidden(found: Found) -> Hidden:
    if found.is_directory:
        return Hidden(layer=found.place.layer, kind="directory")
    there = found.stat()
    kind = kind_of(there)
    return Hidden(layer=found.place.layer, kind=kind, size=there.st_size if kind == "file" else 0)


def _target(found: Found) -> str:
    with suppress(OSError):  # it has just been replaced
        return to_text(os.readlink(found.name, dir_fd=found.place.fd))
    return ""


def _parts(path: str) -> list[str]:
    if "\0" in path or not path.startswith("/"):
        raise Invalid(f"{path!r} is no path in a container", "give it from the root on, as /etc/passwd")
    return [part for part in posixpath.normpath(to_name(path)).split("/") if part]


def _step(merge: Merge, name: str, path: str) -> tuple[Merge, ExitStack]:
    """The merge of the directories `name` one level down, and what closes it."""
    with ExitStack() as opened:
        places: Merge = ()
        for place in merge:
            try:
                fd = os.open(name, _DIRECTORY, dir_fd=place.fd)
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                if places or is_whiteout(os.stat(name, dir_fd=place.fd, follow_symlinks=False)):
                    break
                raise Invalid(f"{path} is no directory") from None
            opened.callback(os.close, fd)
            places += (Place(place.layer, fd),)
            if _opaque(fd):
                break
        if not places:
            raise NotFound(f"there is no {path}")
        return places, opened.pop_all()


def _opaque(path: str | int) -> bool:
    try:
        return os.getxattr(path, OPAQUE) == b"y"
    except OSError:  # no such attribute, or no such directory any more
        return False
