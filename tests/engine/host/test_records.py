"""Records on a real disk, a full one and a read-only one."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.host import Facts
from engine.host.records import DiskRecords
from engine.host.syscalls import MNT_DETACH, MS_RDONLY, MS_REMOUNT, mount, umount2
from engine.model.errors import HostFailed

ID, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def records(tmp_path: Path) -> DiskRecords:
    return DiskRecords(Facts(root=str(tmp_path)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    root = tmp_path / "small"
    root.mkdir()
    mount("small", str(root), "tmpfs", data="size=64k")
    yield root
    umount2(str(root), MNT_DETACH)


async def test_what_is_saved_is_loaded_by_the_next_engine(records: DiskRecords, tmp_path: Path) -> None:
    await records.save("containers", ID, b'{"ID": 1}', sync=True)
    await records.save("containers", ID, b'{"ID": 2}')
    await records.save("network", "n1", b"{}", sync=True)
    again = DiskRecords(Facts(root=str(tmp_path)))
    assert await again.load("containers") == {ID: b'{"ID": 2}'}
    assert await again.load("network") == {"n1": b"{}"}
    assert (tmp_path / "network/n1.json").is_file()
    directory = tmp_path / "containers" / ID
    assert os.listdir(directory) == ["config.v2.json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "config.v2.json")] == [0o710, 0o600]


async def test_nothing_is_loaded_where_nothing_was_saved(records: DiskRecords) -> None:
    assert await records.load("containers") == await records.load("network") == {}


async def test_loading_sweeps_what_a_crash_left(records: DiskRecords, tmp_path: Path) -> None:
    await records.save("containers", ID, b"{}")
    await records.save("network", "n1", b"{}")
    for directory in (f"{OTHER}-removing/checkpoints", f"{OTHER}/checkpoints"):
        (tmp_path / "containers" / directory).mkdir(parents=True)
    for file in (f"{OTHER}-removing/config.v2.json", f"{OTHER}/config.v2.json.tmp", f"{ID}/config.v2.json.tmp"):
        (tmp_path / "containers" / file).write_text("{}")
    (tmp_path / "network/n2.json.tmp").write_text("{}")
    (tmp_path / f"containers/{ID}/hostconfig.json").write_text("kept")
    assert await records.load("containers") == {ID: b"{}"}
    assert await records.load("network") == {"n1": b"{}"}
    assert os.listdir(tmp_path / "containers") == [ID]
    assert sorted(os.listdir(tmp_path / "containers" / ID)) == ["config.v2.json", "hostconfig.json"]
    assert os.listdir(tmp_path / "network") == ["n1.json"]


@pytest.mark.parametrize("damaged", [b"", b'{"half', b"[]", b"\0" * 4096])
async def test_a_damaged_record_stays_and_is_left_out(records: DiskRecords, tmp_path: Path, damaged: bytes) -> None:
    await records.save("containers", ID, b"{}")
    await records.save("containers", OTHER, damaged)
    assert await records.load("containers") == {ID: b"{}"}
    path = tmp_path / "containers" / OTHER / "config.v2.json"
    assert path.read_bytes() == damaged
    assert records.unreadable[str(path)].startswith(f"the record {path} cannot be read: ")


async def test_forgetting_takes_the_directory_too_and_can_be_done_twice(records: DiskRecords, tmp_path: Path) -> None:
    await records.save("containers", ID, b"{}")
    await records.save("network", "n1", b"{}")
    (tmp_path / "containers" / ID / "checkpoints").mkdir()
    (tmp_path / "containers" / f"{ID}-removing/leftover").mkdir(parents=True)
    for _ in range(2):
        await records.forget("containers", ID)
        await records.forget("network", "n1")
        assert os.listdir(tmp_path / "containers") == os.listdir(tmp_path / "network") == []


async def test_a_full_disk_keeps_the_old_record_and_says_so(small_disk: Path) -> None:
    records = DiskRecords(Facts(root=str(small_disk)))
    await records.save("containers", ID, b"{}")
    with pytest.raises(HostFailed, match=r"cannot save the record of abababababab: No space left on device; make room"):
        await records.save("containers", ID, b" " * (128 << 10))
    with pytest.raises(HostFailed, match="No space left on device"):
        await records.save("containers", OTHER, b" " * (128 << 10))
    assert os.listdir(small_disk / "containers") == [ID]
    assert os.listdir(small_disk / "containers" / ID) == ["config.v2.json"]
    assert await records.load("containers") == {ID: b"{}"}


async def test_a_read_only_disk_is_said(small_disk: Path) -> None:
    records = DiskRecords(Facts(root=str(small_disk)))
    await records.save("containers", ID, b"{}")
    mount("small", str(small_disk), "tmpfs", MS_REMOUNT | MS_RDONLY)
    with pytest.raises(HostFailed, match="Read-only file system; make the file system writable"):
        await records.save("containers", OTHER, b"[]")
    with pytest.raises(HostFailed, match="Read-only file system; make the file system writable"):
        await records.forget("containers", ID)
    assert await records.load("containers") == {ID: b"{}"}
