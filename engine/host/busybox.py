"""A first image without a registry: the host's static busybox, packed as a `docker save` archive."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from engine.host.disk import read_file
from engine.host.threads import long
from engine.host.tools import doing, find, tell
from engine.model.errors import HostFailed

TAG: Final = "busybox:latest"
REMEDY: Final = "install it: apt install busybox-static"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD: Final = (
    "root:x:0:0:root:/root:/bin/sh\n"
    "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "www-data:x:33:33:www-data:/var/www:/bin/false\n"
    "nobody:x:65534:65534:nobody:/home:/bin/false\n"
)
GROUP: Final = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwheel:x:10:root\nwww-data:x:33:\nnogroup:x:65534:\n"
DIRECTORIES: Final = (
    *(("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("proc", 0o755), ("root", 0o700), ("sys", 0o755)),
    *(("tmp", 0o1777), ("usr", 0o755), ("usr/bin", 0o755), ("usr/sbin", 0o755), ("var", 0o755), ("var/www", 0o755)),
)
PT_INTERP: Final = 3


async def archive(architecture: str) -> bytes:
    """The archive; the same bytes whenever the busybox is the same. Raises `HostFailed` with the remedy when there is none."""
    path = find("busybox")
    if path is None:
        raise HostFailed("cannot make the busybox image: there is no busybox on this host", REMEDY)
    with doing("make the busybox image"):
        program = await long(read_file, path)
        time = int(os.stat(path).st_mtime)
    if not is_static(program):
        raise HostFailed(f"cannot make the busybox image: {path} needs libraries, which a container does not have", REMEDY)
    applets = (await tell("busybox", "--list")).split()
    return await long(pack, program, applets, time, architecture)


def is_static(program: bytes) -> bool:
    """Does the program run without an interpreter? (elf(5): no PT_INTERP among the program headers.)"""
    if program[:4] != b"\x7fELF":
        return False
    order = "<" if program[5] == 1 else ">"
    offset_at, counts_at, word = (32, 54, "Q") if program[4] == 2 else (28, 42, "I")
    (offset,) = struct.unpack_from(order + word, program, offset_at)
    size, count = struct.unpack_from(order + "HH", program, counts_at)
    kinds = (struct.unpack_from(order + "I", program, offset + number * size)[0] for number in range(count))
    return PT_INTERP not in kinds


def pack(program: bytes, applets: list[str], time: int, architecture: str) -> bytes:
    """Layer, config and manifest."""
    layer = _tar(_layer(program, applets), time)
    created = datetime.fromtimestamp(time, UTC)
    config = msgspec.json.encode(
        {
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": {"Env": [f"PATH={PATH}"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": created, "created_by": "the host's static busybox and a link for each of its programs"}],
        }
    )
    config_name = _digest(config).removeprefix("sha256:") + ".json"
    manifest = msgspec.json.encode([{"Config": config_name, "RepoTags": [TAG], "Layers": ["layer.tar"]}])
    files = {"layer.tar": layer, config_name: config, "manifest.json": manifest}
    return _tar((_file(name, data, 0o644) for name, data in files.items()), time)


Entry = tuple[tarfile.TarInfo, bytes]


def _layer(program: bytes, applets: list[str]) -> Iterator[Entry]:
    for name, mode in DIRECTORIES:
        yield _entry(name, tarfile.DIRTYPE, mode), b""
    yield _file("bin/busybox", program, 0o755)
    for applet in sorted({os.path.basename(applet) for applet in applets} - {"busybox"}):
        yield _entry(f"bin/{applet}", tarfile.LNKTYPE, 0o755, "bin/busybox"), b""
    yield _file("etc/group", GROUP.encode(), 0o644)
    yield _file("etc/passwd", PASSWD.encode(), 0o644)
    yield _entry("usr/bin/env", tarfile.SYMTYPE, 0o777, "../../bin/env"), b""  # where scripts look for it


def _entry(name: str, type: bytes, mode: int, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = type, mode, link
    return entry


def _file(name: str, data: bytes, mode: int) -> Entry:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(data)
    return entry, data


def _tar(entries: Iterator[Entry], time: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry, data in entries:
            entry.mtime = time
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
