"""A file system made of layers, as people look at it: which layer every path comes from, and what it hides.

Layers are numbered from the top: 0 is the writable layer of a container, or the top-most layer of an image.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Literal, Protocol

from msgspec import Struct

LayerKind = Literal["rw", "init", "ro"]
EntryKind = Literal["directory", "file", "symlink", "device", "fifo", "socket", "whiteout"]

_BYTES = {0xDC00 + byte: 0xEF00 + byte for byte in range(0x80, 0x100)}
_BACK = {there: here for here, there in _BYTES.items()}


def to_text(name: str) -> str:
    """A name as Python reads it from a disk, as text that JSON can carry: a byte that is no UTF-8 becomes U+EF80 to U+EFFF."""
    return name.translate(_BYTES)


def to_name(text: str) -> str:
    """Back again."""
    return text.translate(_BACK)


class Layer(Struct, frozen=True, kw_only=True):
    kind: LayerKind
    id: str
    """Its directory in `overlay2/`."""
    diff_id: str = ""
    """Of an image's layer: the digest of its tar."""
    made_by: str = ""
    """The instruction that made it, from the image's history."""
    created: datetime | None = None
    size: int = 0
    """Bytes of its own content."""
    wasted: int = 0
    """Those of them that layers above hide or delete: shipped with the image, and never seen."""


class Stack(Struct, frozen=True, kw_only=True):
    """What a container or an image stands on."""

    name: str
    layers: tuple[Layer, ...]
    """Top first."""
    mount: tuple[str, ...] = ()
    """The union mount as the kernel has it, a line for each option; none: only directories."""
    image: str = ""
    """Id of the image; empty where it is gone."""


class Hidden(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something of the same name further down."""

    layer: int
    kind: EntryKind
    size: int = 0
    """Bytes of a file; 0 for anything else."""


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One name in a merged directory."""

    name: str
    kind: EntryKind
    layers: tuple[int, ...]
    """Where it comes from: one layer, or of a merged directory all, top first. The first gives mode, owner and times."""
    size: int = 0
    """Bytes of a file."""
    mode: int = 0
    """Permission bits, with set-user-ID, set-group-ID and sticky."""
    uid: int = 0
    gid: int = 0
    mtime: float = 0.0
    """Seconds since 1970."""
    target: str = ""
    """Where a symlink points, as it is written there."""
    opaque: bool = False
    """A directory with the opaque mark: nothing below is merged into it."""
    hides: tuple[Hidden, ...] = ()


class Listing(Struct, frozen=True, kw_only=True):
    path: str
    layers: tuple[int, ...]
    """The layers that this directory is merged from."""
    entries: tuple[Entry, ...]
    """By name. Whiteouts are entries too, though a process does not see them."""


class ChangeKind(IntEnum):
    """Docker's numbers."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


class Change(Struct, frozen=True, kw_only=True):
    path: str
    kind: ChangeKind


class Content(Struct, frozen=True, kw_only=True):
    """The beginning of a file."""

    path: str
    layer: int
    size: int
    """Bytes of the whole file."""
    data: bytes


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A path that is not the same in both of two trees. What is in one only is told once, not with all below it."""

    path: str
    only: Literal["", "first", "second"] = ""
    """The one that has it; empty: both, and `what` tells what differs."""
    kind: EntryKind = "file"
    what: tuple[str, ...] = ()
    """Some of `kind`, `mode`, `owner`, `target`, `size`, `content`, `capabilities`."""


class Comparison(Struct, frozen=True, kw_only=True):
    first: str
    second: str
    differences: tuple[Difference, ...]
    more: bool = False
    """There are more than were looked for."""


class TreeInterface(Protocol):
    """Questions about the files of a container or an image. `target`: its name, id or unique prefix; a container's comes first.

    Nothing is mounted for the answer, and nothing a container has made is followed or obeyed. Paths are absolute, with names
    as `to_text` writes them. All raise `NotFound` for what is not there, and `Invalid` for a path that cannot be.
    """

    async def stack(self, target: str) -> Stack: ...

    async def listing(self, target: str, path: str = "/") -> Listing:
        """One merged directory. A symlink is not followed: `Invalid`, as for anything else that is no directory."""

    async def content(self, target: str, path: str) -> Content:
        """The first 64 KiB of a regular file. Raises `Invalid` for anything else."""

    async def changes(self, target: str) -> tuple[Change, ...]:
        """What a container has changed, against its image; of an image what its top layer changes. As `docker diff`."""

    async def compare(self, first: str, second: str) -> Comparison: ...
