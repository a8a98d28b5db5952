"""Layers compared: what the top one changes, what two stacks have apart, and what upper layers hide of lower ones."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Final, NamedTuple

from engine.host.tree import Chain, Found, Tree, deletes, is_opaque, kind_of, open_file, parted, path_of, scan
from engine.model.tree import Change, ChangeKind, Difference, to_text

CAPABILITY: Final = "security.capability"
MOST: Final = 10_000
"""Differences that are looked for."""
BLOCK: Final = 1 << 20


def changes(layers: Sequence[str]) -> tuple[Change, ...]:
    """What the top layer changes of the tree below it, as Docker tells it (reference 8.8); parents before children.

    Docker compares the whole merged tree with the one below. The same comes of the top layer alone: what is not in it is as
    it was. Raises `OSError`.
    """
    found: dict[str, ChangeKind] = {}
    with Tree(layers) as tree:
        waiting = [_Both("", tuple(range(1, len(layers))), opaque=False)]
        while waiting:
            both = waiting.pop()
            with tree.open(both.path, (0,)) as own, tree.open(both.path, both.lower) as lower:
                waiting += _changed(both, scan(own), scan(lower), found)
    for path in list(found):
        while (path := path.rpartition("/")[0]) and path not in found:
            found[path] = ChangeKind.MODIFIED
    return tuple(Change(path=to_text(path), kind=found[path]) for path in sorted(found, key=_tree_order))


class _Both(NamedTuple):
    """A directory of the top layer, and those below that were seen in its place before; none: it is new with all in it."""

    path: str
    lower: tuple[int, ...]
    opaque: bool


def _changed(both: _Both, own: dict[str, Chain], lower: dict[str, Chain], found: dict[str, ChangeKind]) -> Iterator[_Both]:
    """Note what one directory changes; the directories to go on with."""
    for name, chain in own.items():
        with suppress(FileNotFoundError):  # deleted meanwhile
            new, path = chain[0], f"{both.path}/{name}"
            before = _seen(lower.get(name))
            if deletes(new):
                if before:
                    found[path] = ChangeKind.DELETED
                continue
            if not before:
                found[path] = ChangeKind.ADDED
            elif _differs(before[0], new):
                found[path] = ChangeKind.MODIFIED
            if new.is_directory:
                layers = tuple(each.place.layer for each in before if each.is_directory)
                yield _Both(path, layers, is_opaque(new))
    if both.opaque:
        for name, chain in lower.items():
            if name not in own and _seen(chain):
                found[f"{both.path}/{name}"] = ChangeKind.DELETED


def _differs(old: Found, new: Found) -> bool:
    """Docker's rule. Of a directory neither size nor time counts; it tells one by a single bit, which sockets have too."""
    a, b = old.stat(), new.stat()
    if (a.st_mode, a.st_uid, a.st_gid, a.st_rdev) != (b.st_mode, b.st_uid, b.st_gid, b.st_rdev):
        return True
    if not a.st_mode & stat.S_IFDIR and (a.st_size != b.st_size or not _same_time(a.st_mtime_ns, b.st_mtime_ns)):
        return True
    return _capabilities(old) != _capabilities(new)


def _same_time(a: int, b: int) -> bool:
    """Times of file systems that keep nanoseconds, and of tars that do not."""
    second = 10**9
    return a == b or (a // second == b // second and (a % second == 0 or b % second == 0))


def _capabilities(found: Found) -> bytes:
    with suppress(OSError):  # it has none
        return os.getxattr(path_of(found.place, found.name), CAPABILITY, follow_symlinks=False)
    return b""


def _seen(chain: Chain | None) -> Chain:
    """What is seen of a name: none where the top-most is a whiteout."""
    if not chain or deletes(chain[0]):
        return []
    return parted(chain)[0]


def _tree_order(path: str) -> str:
    return path.replace("/", "\0")


def waste(layers: Sequence[str]) -> tuple[int, ...]:
    """Bytes of each layer that layers above it hide or delete. Several names of one file count once. Raises `OSError`."""
    wasted = [0] * len(layers)
    counted: set[tuple[int, int]] = set()
    with Tree(layers) as tree:
        waiting: list[tuple[str, tuple[int, ...], bool]] = [("", tuple(range(len(layers))), False)]
        while waiting:
            path, where, hidden = waiting.pop()
            with tree.open(path, where) as merge:
                for name, chain in scan(merge).items():
                    seen, lost = ([], chain) if hidden else parted(chain)
                    if len(seen) > 1:  # a directory of one layer alone hides nothing
                        waiting.append((f"{path}/{name}", tuple(found.place.layer for found in seen), False))
                    for found in lost:
                        if found.is_directory:
                            waiting.append((f"{path}/{name}", (found.place.layer,), True))
                        else:
                            wasted[found.place.layer] += _size(found, counted)
    return tuple(wasted)


def _size(found: Found, counted: set[tuple[int, int]]) -> int:
    with suppress(FileNotFoundError):
        there = found.stat()
        if stat.S_ISREG(there.st_mode) and (there.st_dev, there.st_ino) not in counted:
            counted.add((there.st_dev, there.st_ino))
            return there.st_size
    return 0


def compare(first: Sequence[str], second: Sequence[str]) -> tuple[tuple[Difference, ...], bool]:
    """What two trees have apart, by path, and whether there is more. Layers that both stand on are not walked twice.

    Files of one size and one time are taken to be the same; those of one size and two times are read. Raises `OSError`.
    """
    found: list[Difference] = []
    with Tree(first) as a, Tree(second) as b:
        waiting = [("", tuple(range(len(first))), tuple(range(len(second))))]
        while waiting and len(found) <= MOST:
            path, in_a, in_b = waiting.pop()
            if [first[n] for n in in_a] == [second[n] for n in in_b]:
                continue
            with ExitStack() as opened:
                ours, theirs = (scan(opened.enter_context(t.open(path, n))) for t, n in ((a, in_a), (b, in_b)))
                for name in sorted(ours.keys() | theirs.keys()):
                    left, right = _seen(ours.get(name)), _seen(theirs.get(name))
                    where = f"{path}/{name}"
                    with suppress(FileNotFoundError):
                        if apart := _apart(where, left, right, same=_layers(left, first) == _layers(right, second)):
                            found.append(apart)
                        if left and right and left[0].is_directory and right[0].is_directory:
                            waiting.append((where, _numbers(left), _numbers(right)))
    found.sort(key=lambda each: _tree_order(each.path))
    return tuple(found[:MOST]), len(found) > MOST or bool(waiting)


def _numbers(chain: Chain) -> tuple[int, ...]:
    return tuple(found.place.layer for found in chain)


def _layers(chain: Chain, paths: Sequence[str]) -> list[str]:
    return [paths[found.place.layer] for found in chain]


def _apart(path: str, left: Chain, right: Chain, *, same: bool) -> Difference | None:
    if same:
        return None
    if not left or not right:
        only = left or right
        return Difference(path=to_text(path), only="first" if left else "second", kind=kind_of(only[0].stat()))
    a, b = left[0].stat(), right[0].stat()
    what = tuple(_what(left[0], a, right[0], b))
    return Difference(path=to_text(path), kind=kind_of(b), what=what) if what else None


def _what(left: Found, a: os.stat_result, right: Found, b: os.stat_result) -> Iterator[str]:
    if kind_of(a) != kind_of(b) or a.st_rdev != b.st_rdev:
        yield "kind"
        return
    if stat.S_IMODE(a.st_mode) != stat.S_IMODE(b.st_mode):
        yield "mode"
    if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid):
        yield "owner"
    if _capabilities(left) != _capabilities(right):
        yield "capabilities"
    if stat.S_ISLNK(a.st_mode):
        if os.readlink(left.name, dir_fd=left.place.fd) != os.readlink(right.name, dir_fd=right.place.fd):
            yield "target"
    elif stat.S_ISREG(a.st_mode):
        if a.st_size != b.st_size:
            yield "size"
        elif a.st_mtime_ns != b.st_mtime_ns and not _same_content(left, right):
            yield "content"


def _same_content(left: Found, right: Found) -> bool:
    with open_file(left.place, left.name) as a, open_file(right.place, right.name) as b:
        while True:
            one, other = a.read(BLOCK), b.read(BLOCK)
            if one != other:
                return False
            if not one:
                return True
