"""The child that unpacks a layer: what it keeps, what it refuses, and that nothing gets out."""

import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from engine.host.unpack import UNTAR
from engine.host.untar import REFUSED
from tests.engine.host.archives import entry, tar

BASE = tar(entry("etc/motd", b"hello"), entry("bin", type=tarfile.DIRTYPE, mode=0o755))
TOP = tar(entry("etc/.wh.motd"), entry("etc/new", b"new"))


def untar(directory: Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
    with open(os.devnull, "w") as split:
        command = (sys.executable, "-I", "-X", "utf8", UNTAR, directory, str(split.fileno()))
        return subprocess.run(command, input=data, capture_output=True, pass_fds=(split.fileno(),))


def test_kinds_modes_owners_times_and_attributes_are_kept(tmp_path: Path) -> None:
    capability = b"\x01\x00\x00\x02\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    kept = capability.decode("utf-8", "surrogateescape")
    headers = {"SCHILY.xattr.security.capability": kept, "mtime": "1500000000.123456789"}
    done = untar(
        tmp_path,
        tar(
            entry(".", type=tarfile.DIRTYPE, mode=0o711),
            entry("d", type=tarfile.DIRTYPE, mode=0o1777, mtime=1000, uid=70000, gid=7),
            entry("d/su", b"12345", mode=0o4755, uid=5, gid=6, pax_headers=headers),
            entry("d/again", type=tarfile.LNKTYPE, linkname="d/su"),
            entry("d/link", type=tarfile.SYMTYPE, linkname="/etc/passwd", uid=9, mtime=77),
            entry("d/pipe", type=tarfile.FIFOTYPE, mode=0o600),
            entry("d/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            entry("d/caf\u00e9 \udcff", b"67"),
            entry("implied/parents/file", b""),
        ),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"18\n", b"")
    d, su, link = (os.lstat(tmp_path / name) for name in ("d", "d/su", "d/link"))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o711
    assert (stat.S_IMODE(d.st_mode), d.st_uid, d.st_gid, d.st_mtime) == (0o1777, 70000, 7, 1000)
    assert (stat.S_IMODE(su.st_mode), su.st_uid, su.st_gid, su.st_nlink) == (0o4755, 5, 6, 2)
    assert su.st_mtime_ns == 1500000000123456789 and (link.st_uid, link.st_mtime) == (9, 77)
    assert os.getxattr(tmp_path / "d/su", "security.capability") == capability
    assert stat.S_ISFIFO(os.lstat(tmp_path / "d/pipe").st_mode)
    assert os.lstat(tmp_path / "d/null").st_rdev == os.makedev(1, 3)
    assert (tmp_path / "d/caf\u00e9 \udcff").read_bytes() == b"67"
    assert stat.S_IMODE((tmp_path / "implied/parents").stat().st_mode) == 0o755


def test_whiteouts_speak_of_the_layers_below_alone(tmp_path: Path) -> None:
    done = untar(
        tmp_path,
        tar(
            entry("a/.wh.gone"),
            entry("b/.wh..wh..opq"),
            entry("kept", b"1"),
            entry(".wh.kept"),
            entry(".wh.new"),
            entry("new", b"2"),
            entry(".wh.again"),
            entry("again", type=tarfile.DIRTYPE, mode=0o755),
            entry("before", type=tarfile.DIRTYPE, mode=0o755),
            entry(".wh.before"),
            entry(".wh..wh.plnk", b"bookkeeping"),
        ),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    gone = os.lstat(tmp_path / "a/gone")
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    assert [os.getxattr(tmp_path / name, "trusted.overlay.opaque") for name in ("b", "again", "before")] == [b"y"] * 3
    assert (tmp_path / "kept").read_text() + (tmp_path / "new").read_text() == "12"
    assert sorted(os.listdir(tmp_path)) == ["a", "again", "b", "before", "kept", "new"]


def test_a_later_entry_replaces_an_earlier_one(tmp_path: Path) -> None:
    directory = entry("x", type=tarfile.DIRTYPE, mode=0o755)
    done = untar(tmp_path, tar(directory, entry("x/y", b""), entry("x", b"file"), directory, entry("x", b"end")))
    assert done.returncode == 0 and (tmp_path / "x").read_text() == "end"


ESCAPES = {
    "../up": entry("../up", b"x"),
    "a/../../up": entry("a/../../up", b"x"),
    "link": entry("link", type=tarfile.SYMTYPE, linkname="../../etc"),
    "hard": entry("hard", type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
    "a/.wh...": entry("a/.wh..."),
    ".wh.": entry(".wh."),
    "steers": entry("steers", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/x"}),
    "odd": entry("odd", pax_headers={"mtime": "nan"}),
    "strange": entry("strange", type=b"Z", size=0),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_an_entry_that_cannot_be_right_is_named(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "layer"
    inside.mkdir()
    done = untar(inside, tar(ESCAPES[name]))
    assert done.returncode == REFUSED and f"entry {name!r}: ".encode() in done.stderr
    assert os.listdir(tmp_path) == ["layer"]


def test_names_and_links_that_point_out_stay_inside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "layer", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    done = untar(
        inside,
        tar(
            entry("link", type=tarfile.SYMTYPE, linkname=str(outside)),
            entry(f"{outside}/absolute", b"1"),
            entry("link/through", b"2"),
        ),
    )
    assert done.returncode == 0 and os.listdir(outside) == []
    assert sorted(os.listdir(f"{inside}{outside}")) == ["absolute", "through"]


def test_no_code_of_the_layer_is_ever_imported(tmp_path: Path) -> None:
    """A module lies where Python looks for it, inside the layer; an import after the chroot must not find it."""
    library = Path(f"{tmp_path}{os.path.dirname(os.__file__)}")
    library.mkdir(parents=True)
    (library / "late.py").write_text("open('/ran', 'w').close()")
    program = f"""
import sys
sys.path.append({os.path.dirname(UNTAR)!r})
import untar
untar.Unpacker.unpack = lambda self, tape: __import__("late")
untar.main({str(tmp_path)!r}, 1)
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], stdin=subprocess.DEVNULL, capture_output=True)
    assert b"ModuleNotFoundError: No module named 'late'" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_what_follows_the_archive_is_read_too(tmp_path: Path) -> None:
    assert untar(tmp_path, BASE + b"\0" * (5 << 20)).returncode == 0
