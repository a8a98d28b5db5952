"""Layers made to do harm: each is refused with the entry's name, or stays inside; and around the layer nothing moves."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from engine.host import Facts, unpack
from engine.host.disk import remove_tree
from engine.host.images import ImageStore
from engine.host.tarreader import LARGEST_HEADER
from engine.host.unpack import UNTAR
from engine.host.untar import REFUSED
from engine.model.errors import Invalid
from tests.engine.host.archives import entry, saved, tar
from tests.engine.host.test_layers import directories, load, store
from tests.engine.host.test_untar import untar

__all__ = ["store"]

BLOCK = 512
FILE, LINK, SYMLINK, DIRECTORY = b"0", b"1", b"2", b"5"


def block(name: bytes = b"f", size: bytes = b"5", kind: bytes = FILE, **fields: bytes) -> bytes:
    """A header with whatever we please in it."""
    places = {"mode": (100, 8), "uid": (108, 8), "mtime": (136, 12), "link": (157, 100), "magic": (257, 8), "sparse": (386, 97)}
    header = bytearray(BLOCK)
    header[: len(name)] = name
    header[100:107] = b"0000644"
    header[124 : 124 + len(size)] = size
    header[156:157] = kind
    header[257:265] = b"ustar\00000"
    for field, value in fields.items():
        start, length = places[field]
        header[start : start + length] = value.ljust(length, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n".encode()
    length = len(text) + len(str(len(text)))
    return b"%d%b" % (length if len(str(length)) + len(text) == length else length + 1, text)


def pax(records: bytes, then: bytes = b"", size: int | None = None) -> bytes:
    head = block(b"pax", b"%o" % (len(records) if size is None else size), b"x")
    return head + padded(records) + (then or block() + padded(b"hello"))


def sparse(real: int, numbers: list[int], data: bytes = b"") -> bytes:
    """GNU's version 1.0."""
    lines = padded("".join(f"{number}\n" for number in numbers).encode())
    records = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", "holes")
    records += record("GNU.sparse.realsize", str(real))
    return pax(records, block(b"GNUSparseFile.0/holes", b"%o" % len(lines + data)) + lines + padded(data))


def base256(number: int, length: int = 12) -> bytes:
    return (
        ((1 << (8 * length)) + number).to_bytes(length + 1, "big")[-length:]
        if number < 0
        else ((number | 1 << (8 * length - 1)).to_bytes(length, "big"))
    )


OK = tar(entry("ok", b"1"))[: 2 * BLOCK]
REFUSALS: dict[str, tuple[bytes, str]] = {
    "climbs out, with control characters": (tar(entry("../\x1b[31m\nup", b"x")), r"entry '../\x1b[31m\nup': "),
    "climbs out at length": (tar(entry("../" + "x" * 3000, b"x")), "entry '../xxxx"),
    "a name longer than any path": (pax(record("path", "d/" * 2500 + "f")), "a name of 5001 bytes"),
    "a link longer than any path": (pax(record("linkpath", "x" * 5000), block(kind=SYMLINK)), "entry 'f': a name of 5000"),
    "a name longer than any name": (tar(entry("n" * 300, b"x")), "File name too long"),
    "a NUL in a name": (pax(record("path", "a\0b")), r"entry 'a\x00b': embedded null"),
    "a hard link to nothing": (tar(entry("hard", type=tarfile.LNKTYPE, linkname="none")), "entry 'hard': No such file"),
    "a hard link to a host's file": (tar(entry("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd")), "entry 'hard': No such"),
    "a hard link through a symlink": (
        tar(
            entry("etc", type=tarfile.SYMTYPE, linkname="/etc"),
            entry("hard", type=tarfile.LNKTYPE, linkname="etc/passwd"),
        ),
        "entry 'hard': ",
    ),
    "a hard link to a directory": (
        tar(entry("d", type=tarfile.DIRTYPE), entry("hard", type=tarfile.LNKTYPE, linkname="d")),
        "entry 'hard': a directory has no second name",
    ),
    "a hard link to itself": (tar(entry("a", b"1"), entry("a", type=tarfile.LNKTYPE, linkname="a")), "entry 'a': No such file"),
    "the root is a file": (tar(entry("./.", b"x")), "the root is not a directory"),
    "the root is a symlink": (tar(entry("a/..", type=tarfile.SYMTYPE, linkname="/")), "the root is not a directory"),
    "deletes what is above": (tar(entry("a/.wh...")), "entry 'a/.wh...': it deletes nothing"),
    "deletes where it is": (tar(entry("a/.wh..")), "entry 'a/.wh..': it deletes nothing"),
    "an overlay mark": (tar(entry("o", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"})), "entry 'o': it carries"),
    "another overlay mark": (tar(entry("o", pax_headers={"SCHILY.xattr.trusted.overlay.metacopy": ""})), ""),
    "an attribute too large": (tar(entry("o", pax_headers={"SCHILY.xattr.user.x": "x" * 70_000})), "entry 'o': "),
    "an attribute without a name": (pax(record("SCHILY.xattr.", "x")), "entry 'f': "),
    "a negative size": (block(size=base256(-5)) + padded(b"hello"), "entry 'f': no file has -5 bytes"),
    "a negative size in pax": (pax(record("size", "-5")), "entry 'f': no file has -5 bytes"),
    "a size beyond all": (block(size=base256(1 << 70)) + padded(b"hello"), "entry 'f': no file has"),
    "a size in letters": (block(size=b"zzz"), "b'zzz' is no number"),
    "a size in many digits": (pax(record("size", "9" * 30)), "entry 'f': a pax header is damaged"),
    "more than there is": (block(size=b"77777777777") + padded(b"hello"), "after 'f': unexpected end"),
    "an owner nobody can be": (pax(record("uid", "99999999999")), "entry 'f': "),
    "a time that never is": (pax(record("mtime", "1e999999999")), "entry 'f': a pax header is damaged"),
    "a time far off": (pax(record("mtime", "9" * 30)), "entry 'f': a pax header is damaged"),
    "a wrong checksum": (OK + block().replace(b"ustar", b"Ustar"), "after 'ok': a header is damaged: its checksum"),
    "nonsense behind an entry": (OK + b"nonsense" * 64, "after 'ok': a header is damaged"),
    "cut in a header": (OK + block()[:100], "after 'ok': unexpected end"),
    "cut in the content": (OK + block(size=b"2000") + bytes(BLOCK), "after 'f': unexpected end"),
    "cut in the padding": (OK + block() + b"hello", "after 'f': unexpected end"),
    "cut in a pax header": (OK + block(size=b"7000", kind=b"x") + bytes(BLOCK), "after 'ok': unexpected end"),
    "a pax header without end": (OK + pax(b"", size=LARGEST_HEADER + 1), "after 'ok': a header of 1048577 bytes"),
    "a pax header of minus one": (block(size=base256(-1), kind=b"x"), "a header of -1 bytes"),
    "a long name without end": (block(size=base256(1 << 40), kind=b"L"), "a header of 1099511627776 bytes"),
    "a pax header that lies": (pax(b"999 path=x\n"), "a pax header is damaged"),
    "a pax header of no records": (pax(b"2 " * 500_000), "a pax header is damaged"),
    "a pax header of digits": (pax(b"1" * LARGEST_HEADER), "a pax header is damaged"),
    "a sparse map without end": (sparse(10, [10**18, 0, 1], b"x"), "entry 'holes': the map of a sparse file is damaged"),
    "a sparse map of too many": (sparse(1 << 30, [300_000] + [0] * 600_000), "entry 'holes': the map"),
    "a sparse map that goes back": (sparse(100, [2, 50, 1, 10, 1], b"xx"), "entry 'holes': the map"),
    "a sparse map out of the file": (sparse(10, [1, 50, 1], b"x"), "entry 'holes': the map"),
    "a sparse map of minus one": (sparse(10, [1, -1, 1], b"x"), "entry 'holes': the map"),
    "a sparse map of more than there is": (sparse(10_000, [1, 0, 10_000], b"x"), "entry 'holes': the map"),
    "a sparse file beyond all": (sparse(1 << 63, [1, 0, 1], b"x"), "entry 'holes': the map"),
    "a sparse file too large for the disk": (sparse((1 << 63) - 1, [1, 0, 1], b"x"), "entry 'holes': File too large"),
    "an old sparse map cut off": (block(kind=b"S", sparse=b"\x00" * 96 + b"\x01"), "entry 'f': the map"),
    "an old sparse map that goes back": (
        block(kind=b"S", size=b"2", sparse=struct.pack("12s12s12s12s", b"20", b"1", b"10", b"1")),
        "entry 'f': the map",
    ),
    "of no known kind": (tar(entry("strange", type=b"Z", size=0)), "entry 'strange': unknown type 'Z'"),
}


class Around:
    """A directory with the layer in it, and much that must not move."""

    def __init__(self, place: Path) -> None:
        self.place, self.layer, self.outside = place, place / "layer", place / "outside"
        self.layer.mkdir()
        self.outside.mkdir()
        (self.outside / "file").write_text("mine")
        (self.outside / "file").chmod(0o640)
        (self.outside / "d").mkdir()
        (self.outside / "link").symlink_to("file")
        os.mkfifo(self.outside / "pipe")
        self.before = self.everything()

    def everything(self) -> dict[str, Any]:
        found = {}
        for path in (self.place, *self.place.rglob("*"), Path("/"), Path("/etc/passwd")):
            if path == self.layer or self.layer in path.parents:
                continue
            s = path.lstat()
            held = path.read_bytes() if stat.S_ISREG(s.st_mode) else b""
            own = (s.st_mode, s.st_uid, s.st_gid, s.st_nlink, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
            found[str(path)] = (own, held, os.listxattr(path, follow_symlinks=False))
        return found

    def untouched(self) -> bool:
        return self.everything() == self.before


@pytest.fixture
def around(tmp_path: Path) -> Around:
    return Around(tmp_path)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_right_is_refused_by_name(around: Around, name: str) -> None:
    data, reason = REFUSALS[name]
    done = untar(around.layer, data)
    said = done.stderr.decode()
    assert done.returncode == REFUSED and reason in said, (done.returncode, said)
    assert said.isprintable() or (said[:-1].isprintable() and said[-1] == "\n" and len(said) < 1000), said
    assert around.untouched()


def test_what_points_out_stays_inside(around: Around) -> None:
    outside = str(around.outside)
    link = {"type": tarfile.SYMTYPE}
    done = untar(
        around.layer,
        tar(
            entry(f"{outside}/here", b"0"),
            entry("absolute", linkname=outside, **link),
            entry("absolute/through", b"1"),
            entry("absolute/.wh.file"),
            entry("absolute/.wh..wh..opq"),
            entry("set-id", linkname=f"{outside}/file", mode=0o4777, uid=5, gid=5, mtime=1, **link),
            entry("hard", type=tarfile.LNKTYPE, linkname="set-id", mode=0o4777, uid=6),
            entry("file", linkname=f"{outside}/file", **link),
            entry("file", b"in its place"),
            entry("d", type=tarfile.DIRTYPE, mode=0o755),
            entry("d/e", b"1"),
            entry("d", linkname=outside, **link),
            entry("d/e", b"2"),
            entry("d", type=tarfile.DIRTYPE, mode=0o700),
            entry("d/f", b"3"),
            entry("round", linkname="about", **link),
            entry("about", linkname="round", **link),
            entry("round/trip", b"4"),
            entry("//etc/passwd", b"5"),
            entry("pipe", type=tarfile.FIFOTYPE),
            entry("pipe", b"6"),
            entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
            entry("null", b"7"),
            entry(".wh..wh..opq"),
            entry(".", type=tarfile.DIRTYPE, mode=0o711, uid=7),
        ),
    )
    assert (done.returncode, done.stderr) == (0, b"") and around.untouched()
    own = around.layer
    assert sorted(os.listdir(f"{own}{outside}")) == ["e", "file", "here", "through"]
    assert (own / "file").read_text() == "in its place" and not (own / "file").is_symlink()
    assert os.listdir(own / "d") == ["f"] and stat.S_IMODE((own / "d").stat().st_mode) == 0o700
    assert (own / "round/trip").read_text() + (own / "pipe").read_text() + (own / "null").read_text() == "467"
    assert (own / "hard").is_symlink() and (own / "set-id").lstat().st_uid == 5
    assert os.getxattr(own, "trusted.overlay.opaque") == b"y" and own.stat().st_uid == 7


def test_a_deep_tree_is_kept_and_gives_way(around: Around) -> None:
    deep = pax(record("path", "a/" * 1100 + "f"), block(size=b""))
    assert (untar(around.layer, deep + padded(b"")).returncode, os.listdir(around.layer)) == (0, ["a"])
    done = untar(around.layer, deep + tar(entry("a", b"in its place")))
    assert (done.returncode, done.stderr) == (0, b"") and (around.layer / "a").read_text() == "in its place"


def test_deeper_than_any_path_is_long(around: Around) -> None:
    far = "/".join(["d" * 250] * 15)
    link = pax(record("path", "near") + record("linkpath", far), block(kind=SYMLINK, size=b""))
    done = untar(around.layer, pax(record("path", f"{far}/f"), block(size=b"")) + link + pax(record("path", f"near/{far}/f")))
    assert (done.returncode, done.stderr) == (REFUSED, b"a directory of it lies deeper than any path is long\n")
    remove_tree(str(around.layer))
    assert not around.layer.exists()


LIMITED = f"""
import resource, runpy, sys
limit = resource.setrlimit
def less(which, _):
    have = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit(which, (have + (24 << 20), have + (24 << 20)))
resource.setrlimit = less
runpy.run_path({UNTAR!r}, run_name="__main__")
"""
"""The unpacker itself, but for a gigabyte it gets 24 MB more than it has: those are full in a second, not in half a minute."""


def one_directory_by_many_names(count: int) -> bytes:
    """By way of two links that lead nowhere else, 3 kB of name each time and four bytes in memory for a character."""
    links = [f"{way}\U0001f6a2" + "s" * 240 for way in "01"]
    made = [pax(record("path", name), block(kind=SYMLINK, link=b".", size=b"")) for name in links]
    for number in range(count):
        name = "/".join(links[number >> bit & 1] for bit in range(12))
        made.append(pax(record("path", f"{name}/d"), block(kind=DIRECTORY, size=b"")))
    return b"".join(made)


def peak() -> int:
    """The most memory that this process has had since it was reset, in bytes (proc(5), `VmHWM`)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


async def test_a_layer_that_takes_too_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes it is the child: it reaches its limit, and the engine has none of it."""
    image = saved([one_directory_by_many_names(1500)], ["x:1"])
    store = ImageStore(Facts(root=str(tmp_path / "root")))
    await store.load_all()
    (tmp_path / "limited.py").write_text(LIMITED)
    with monkeypatch.context() as limited:
        limited.setattr(unpack, "UNTAR", str(tmp_path / "limited.py"))
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): begin to measure anew
        before = peak()
        with pytest.raises(Invalid, match=r"the layer 0/layer.tar: entry '[01].*: it takes more memory than any layer needs"):
            await load(store, image)
        assert peak() - before < 16 << 20
    assert not await store.load_all() and not directories(tmp_path / "root")
    await load(store, image)  # with the gigabyte it fits: nothing else was wrong with it
    assert len(directories(tmp_path / "root")) == 1


async def test_nothing_is_left_of_a_deep_tree(store: ImageStore, tmp_path: Path) -> None:
    layer = pax(record("path", "a/" * 1200 + "f"), block(size=b"")) + tar(entry("../up", b"x"))
    with pytest.raises(Invalid, match="leads out of the layer"):
        await load(store, saved([layer], ["x:1"]))
    assert not directories(tmp_path)


def test_a_hundred_thousand_entries(around: Around) -> None:
    done = untar(around.layer, block(b".wh..wh.plnk", size=b"") * 100_000)
    assert (done.returncode, done.stderr) == (0, b"") and os.listdir(around.layer) == []
