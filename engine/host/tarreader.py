"""Read a tar's headers: ustar, pax, GNU's and the old one (pax(1), "EXTENDED DESCRIPTION"; GNU tar's manual, "Tar Internals").

Whoever made the tar may wish us ill: every header costs time and memory in proportion to its own size, which is bounded, and a
number that no file can have is refused. Nothing is known here of what the entries become.

Imports nothing of ours: the unpacker runs isolated.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, Protocol

BLOCK: Final = 512
LARGEST_HEADER: Final = 1 << 20
"""Bytes of a pax header, a long name, or a sparse file's map. Go's archive/tar, which Docker reads with, has the same bound."""
LONGEST_NAME: Final = 4096
"""PATH_MAX of <linux/limits.h>: nothing with a longer name can be made."""
LARGEST_FILE: Final = (1 << 63) - 1
ZEROS: Final = bytes(BLOCK)
FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = "0", "1", "2", "3", "4", "5", "6"
SPARSE: Final = "S"
XATTR: Final = "SCHILY.xattr."
"""What the key of an extended attribute begins with, in a pax header."""
ATTRIBUTE: Final = XATTR.encode()

HEADER: Final = struct.Struct("100s8s8s8s12s12s8s1s100s6s2x32x32x8s8s155s8x4s")
OLD_MAP: Final = struct.Struct("12s12s")
DECIMAL: Final = re.compile(rb"-?[0-9]{1,19}")
TIME: Final = re.compile(rb"(-?)([0-9]{1,12})(?:\.([0-9]{0,9})[0-9]*)?")
OCTAL: Final = b"01234567"

Fragments = tuple[tuple[int, int], ...]
"""Of a sparse file: where each of its pieces goes, and how long it is."""


class Damaged(Exception):
    """No tar is like this."""


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def tell(self) -> int: ...
    def seek(self, position: int, /) -> object: ...


class Entry:
    """One entry; its content lies in the source behind it, to be read or not."""

    __slots__ = (
        "fragments",
        "gid",
        "kind",
        "link",
        "major",
        "minor",
        "mode",
        "name",
        "real",
        "size",
        "start",
        "time",
        "uid",
        "xattrs",
    )

    name: str
    """As it is, except for the slash at a directory's end. Bytes that are no UTF-8 are surrogates, as in `os.fsdecode`."""
    kind: str
    """One of the names above, or whatever else stands there. A sparse file is a `FILE` with fragments."""
    link: str
    mode: int
    uid: int
    gid: int
    time: int
    """Nanoseconds since 1970."""
    major: int
    minor: int
    start: int
    """Where the content begins in the source."""
    size: int
    """Bytes of content in the tar."""
    real: int
    """Bytes of the file."""
    fragments: Fragments | None
    xattrs: dict[str, bytes]


def entries(source: Source) -> Iterator[Entry]:
    """The entries in their order. Raises `Damaged`. `source` is read and skipped forward alone."""
    while entry := _next(source):
        yield entry
        after = entry.start + _padded(entry.size)
        source.seek(after)
        if source.tell() < after:
            raise Damaged("unexpected end of data")


def _next(source: Source) -> Entry | None:
    pax: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    name = link = b""
    while True:
        block = source.read(BLOCK)
        if block == ZEROS or not block:
            return None
        if len(block) < BLOCK:
            raise Damaged("unexpected end of data")
        kind = block[156:157]
        if kind not in b"xgLK":
            return _entry(source, block, pax, pieces, name, link)
        _check(block)
        data = _extra(source, _number(block[124:136]))
        if kind == b"x":
            pax, pieces = _records(data)
        elif kind == b"L":
            name = data.partition(b"\0")[0]
        elif kind == b"K":
            link = data.partition(b"\0")[0]


def _entry(source: Source, block: bytes, pax: dict[bytes, bytes], pieces: list[bytes], name: bytes, link: bytes) -> Entry:
    _check(block)
    fields = HEADER.unpack(block)
    own, magic, prefix, star = _text(fields[0]), fields[9], fields[12], fields[13]
    path = pax.get(b"GNU.sparse.name") or pax.get(b"path") or name or own
    if path is own and magic == b"ustar\0" and (before := _text(prefix[:131] if star == b"tar\0" else prefix)):
        path = before + b"/" + own
    try:
        entry = _filled(fields, pax)
        entry.link = _decoded(pax.get(b"linkpath") or link or _text(fields[8]))
        if entry.kind == SPARSE:
            entry.kind, entry.real = FILE, _number(block[483:495])
            entry.fragments = _old_map(source, block)
        elif pax and entry.kind == FILE:
            _pax_map(source, entry, pax, pieces)
        if entry.fragments is not None:
            _check_map(entry)
        if fields[7] == b"\0" and path.endswith(b"/"):  # before ustar there was no other way to say it
            entry.kind, entry.size = DIRECTORY, 0
        entry.name = _decoded(path.rstrip(b"/") or path[:1] if entry.kind == DIRECTORY else path)
    except Damaged as error:
        raise Damaged(f"entry {shown(path.decode('utf-8', 'surrogateescape'))}: {error}") from error
    entry.start = source.tell()
    return entry


def _filled(fields: tuple[bytes, ...], pax: dict[bytes, bytes]) -> Entry:
    _, mode, uid, gid, size, time, _, kind, _, _, major, minor, _, _ = fields
    entry = Entry()
    entry.kind = FILE if kind in (b"\0", b"7") else kind.decode("latin-1")
    entry.mode = _number(mode)
    entry.uid = _decimal(pax[b"uid"]) if b"uid" in pax else _number(uid)
    entry.gid = _decimal(pax[b"gid"]) if b"gid" in pax else _number(gid)
    entry.time = _time(pax[b"mtime"]) if b"mtime" in pax else _number(time) * 10**9
    entry.size = _decimal(pax[b"size"]) if b"size" in pax else _number(size)
    entry.major, entry.minor = (_number(major), _number(minor)) if entry.kind in (CHARACTER, BLOCK_DEVICE) else (0, 0)
    entry.xattrs = _xattrs(pax) if pax else {}
    if entry.kind in (HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO):
        entry.size = 0
    elif not 0 <= entry.size <= LARGEST_FILE:
        raise Damaged(f"no file has {entry.size} bytes")
    entry.real, entry.fragments = entry.size, None
    return entry


def _xattrs(pax: dict[bytes, bytes]) -> dict[str, bytes]:
    return {_decoded(key.removeprefix(ATTRIBUTE)): value for key, value in pax.items() if key.startswith(ATTRIBUTE)}


def _check(block: bytes) -> None:
    said = _number(block[148:156])
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    if said != total and said != total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):  # some add signed bytes
        raise Damaged("a header is damaged: its checksum is wrong")


def _extra(source: Source, size: int) -> bytes:
    if not 0 <= size <= LARGEST_HEADER:
        raise Damaged(f"a header of {size} bytes, and at most {LARGEST_HEADER} are read")
    data = source.read(_padded(size))
    if len(data) < size:
        raise Damaged("unexpected end of data")
    return data[:size]


def _records(data: bytes) -> tuple[dict[bytes, bytes], list[bytes]]:
    """A pax header: its values, and the numbers of GNU's oldest sparse map, in their order.

    An empty value is none, except an attribute's.
    """
    found: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 9)
        length = data[at:space]
        end = at + int(length) if space > at and length.isdigit() else 0
        equals = data.find(b"=", space, end)
        if not space < equals < end <= len(data) or data[end - 1] != 10:
            raise Damaged("a pax header is damaged")
        key, value = data[space + 1 : equals], data[equals + 1 : end - 1]
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            pieces.append(value)
        elif value or key.startswith(ATTRIBUTE):
            found[key] = value
        at = end
    return found, pieces


def _pax_map(source: Source, entry: Entry, pax: dict[bytes, bytes], pieces: list[bytes]) -> None:
    """What a pax header says of a sparse file, in one of the three ways there are."""
    if pax.get(b"GNU.sparse.major") == b"1":
        entry.real = _decimal(pax.get(b"GNU.sparse.realsize", b"0"))
        entry.fragments = _map_before_content(source, entry)
    elif b"GNU.sparse.map" in pax or pieces:
        pieces = pax[b"GNU.sparse.map"].split(b",") if b"GNU.sparse.map" in pax else pieces
        entry.real = _decimal(pax.get(b"GNU.sparse.size", b"0"))
        entry.fragments = _pairs([_decimal(each) for each in pieces])


def _map_before_content(source: Source, entry: Entry) -> Fragments:
    """Version 1.0: lines of numbers, the first says how many pairs follow; in whole blocks."""
    blocks: list[bytes] = []
    lines, wanted = 0, 1
    while lines < wanted:
        block = source.read(BLOCK)
        blocks.append(block)
        if len(block) < BLOCK or len(blocks) * BLOCK > min(LARGEST_HEADER, entry.size):
            raise Damaged("the map of a sparse file is damaged")
        if not lines and b"\n" in block:
            wanted = 1 + 2 * _decimal(b"".join(blocks).partition(b"\n")[0])
        lines += block.count(b"\n")
    entry.size -= len(blocks) * BLOCK
    return _pairs([_decimal(each) for each in b"".join(blocks).split(b"\n")[1:wanted]])


def _old_map(source: Source, block: bytes) -> Fragments:
    """GNU's own: four pairs in the header, and as many further blocks as it takes."""
    numbers: list[int] = []
    table, goes_on = block[386:482], block[482]
    while True:
        for offset, size in OLD_MAP.iter_unpack(table):
            if offset[0] and size[0]:
                numbers += (_number(offset), _number(size))
        if not goes_on:
            return _pairs(numbers)
        block = source.read(BLOCK)
        if len(block) < BLOCK or len(numbers) * 12 > LARGEST_HEADER:
            raise Damaged("the map of a sparse file is damaged")
        table, goes_on = block[:504], block[504]


def _pairs(numbers: list[int]) -> Fragments:
    if len(numbers) % 2:
        raise Damaged("the map of a sparse file is damaged")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _check_map(entry: Entry) -> None:
    """Its pieces follow one another, inside the file, and are all there."""
    end = 0
    for offset, size in entry.fragments or ():
        if offset < end or size < 0:
            raise Damaged("the map of a sparse file is damaged")
        end = offset + size
    if not end <= entry.real <= LARGEST_FILE or sum(size for _, size in entry.fragments or ()) > entry.size:
        raise Damaged("the map of a sparse file is damaged")


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the first bit is set (two's complement in the rest)."""
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if value >> (bits - 1) else value
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(OCTAL):
        raise Damaged(f"a header is damaged: {digits!r} is no number")
    return int(digits or b"0", 8)


def _decimal(text: bytes) -> int:
    if not DECIMAL.fullmatch(text):
        raise Damaged(f"a pax header is damaged: {text[:100]!r} is no number")
    return int(text)


def _time(text: bytes) -> int:
    found = TIME.fullmatch(text)
    if not found:
        raise Damaged(f"a pax header is damaged: {text[:100]!r} is no time")
    sign, seconds, fraction = found.groups()
    nanoseconds = int(seconds) * 10**9 + int((fraction or b"").ljust(9, b"0"))
    return -nanoseconds if sign else nanoseconds


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decoded(name: bytes) -> str:
    if len(name) >= LONGEST_NAME:
        raise Damaged(f"a name of {len(name)} bytes, and no path is that long")
    return name.decode("utf-8", "surrogateescape")


def shown(name: str) -> str:
    """A name in a sentence: in quotes, no control character in it, and not longer than a line or two."""
    return repr(name if len(name) <= 200 else name[:100] + "..." + name[-50:])


def _padded(size: int) -> int:
    return size + -size % BLOCK
