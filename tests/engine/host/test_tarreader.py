"""The reader of tars beside Python's own, and on noise."""

from __future__ import annotations

import io
import tarfile

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.host import tarreader
from engine.host.tarreader import Damaged, Entry, entries
from tests.engine.host.archives import entry, tar

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300)
KINDS = (tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)


@st.composite
def infos(draw: st.DrawFn) -> tarfile.TarInfo:
    info = tarfile.TarInfo("x" + draw(NAMES).strip("/"))
    info.type = draw(st.sampled_from(KINDS))
    info.size = draw(st.integers(0, 1500)) if info.isreg() else 0
    info.linkname = draw(NAMES) if info.islnk() or info.issym() else ""
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 1 << 31)), draw(st.integers(0, 1 << 31))
    info.mtime = draw(st.integers(0, 1 << 34))
    if info.ischr() or info.isblk():
        info.devmajor, info.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 1 << 20))
    return info


@given(st.lists(infos(), max_size=4), st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_it_reads_what_python_has_written(infos: list[tarfile.TarInfo], format: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, encoding="utf-8") as archive:
        for number, info in enumerate(infos):
            archive.addfile(info, io.BytesIO(bytes([number]) * info.size))
    found = list(entries(io.BytesIO(buffer.getvalue())))
    assert [seen(each) for each in found] == [
        (
            *(info.name.rstrip("/") if info.isdir() else info.name, info.type.decode(), info.linkname, info.mode),
            *(info.uid, info.gid, info.mtime * 10**9, info.size, info.devmajor, info.devminor),
        )
        for info in infos
    ]
    for number, each in enumerate(found):
        assert buffer.getvalue()[each.start : each.start + each.size] == bytes([number]) * each.size


def seen(each: Entry) -> tuple[object, ...]:
    own = (each.name, each.kind, each.link, each.mode, each.uid, each.gid, each.time, each.size)
    return (*own, each.major, each.minor)


WHOLE = tar(
    entry("d", type=tarfile.DIRTYPE),
    entry("n" * 200, b"1" * 600, pax_headers={"mtime": "1.5", "SCHILY.xattr.user.x": "y"}),
    entry("link", type=tarfile.SYMTYPE, linkname="d"),
)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=5), st.integers(0, len(WHOLE)))
@example([], 0)
@settings(deadline=None)
def test_what_is_damaged_is_said_or_read(changes: list[tuple[int, int]], end: int) -> None:
    """With checksums that are right again: or nearly all of it would stop there."""
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    for start in range(0, len(data), 512):
        if data[start + 257 : start + 262] == b"ustar":
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    try:
        for each in entries(io.BytesIO(data[:end])):
            assert 0 <= each.size <= tarreader.LARGEST_FILE and len(each.name) < tarreader.LONGEST_NAME
    except Damaged:
        pass


def test_numbers() -> None:
    number = tarreader._number
    assert [number(each) for each in (b"0000644\0", b" 644 \0\0\0", b"\0" * 8, b"        ")] == [0o644, 0o644, 0, 0]
    assert number(b"\x80" + (5).to_bytes(11, "big")) == 5 and number(b"\xff" * 12) == -1
    assert tarreader._time(b"-1.5") == -1_500_000_000 and tarreader._time(b"1.1234567891") == 1_123_456_789
