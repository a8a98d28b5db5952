"""`docker diff` with the real docker command: on our engine and on dockerd, after the same was done inside."""

from __future__ import annotations

import asyncio
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.bench.pair import pair
from tests.engine.host.archives import config, entry, saved, tar

BUSYBOX = Path(shutil.which("busybox") or "/bin/busybox")
DIRECTORIES = ("bin", "etc", "etc/conf", "etc/empty", "opt", "opt/old")
FILES = ("etc/file", "etc/conf/a", "etc/conf/b", "opt/old/x", "opt/keep", "etc/same", "etc/times")

CASES = {
    "nothing": "true",
    "add": "echo x > /new; mkdir -p /made/deep; echo y > /made/deep/file",
    "modify": "echo longer >> /etc/file",
    "delete": "rm /etc/file; rm -r /opt/old",
    "replace a directory by a file": "rm -r /etc/conf; echo x > /etc/conf",
    "replace a file by a directory": "rm /etc/file; mkdir -p /etc/file/sub",
    "make a directory anew": "rm -r /etc/conf; mkdir /etc/conf; echo new > /etc/conf/c",
    "chmod": "chmod 700 /etc/file /opt",
    "chown": "chown 7:8 /etc/file",
    "touch": "touch /etc/times /opt/old",
    "rename a directory": "mv /opt/old /opt/renamed; mv /etc/conf /etc/moved",
    "rename a file": "mv /etc/file /etc/renamed",
    "links": "ln /etc/same /etc/hard; ln -s /etc /etc/soft",
    "fifo": "mkfifo /etc/pipe; rm /etc/pipe; mkfifo /pipe",
    "opened and not written": ": >> /etc/same",
    "new and gone again": "echo x > /gone; rm /gone; mkdir /gone2; rmdir /gone2",
}


def image() -> bytes:
    applets = ("sh", "mkdir", "rm", "chmod", "chown", "touch", "mv", "ln", "mkfifo", "true", "rmdir")
    layer = tar(
        *(entry(name, type=tarfile.DIRTYPE, mode=0o755, mtime=1_700_000_000) for name in DIRECTORIES),
        entry("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
        *(entry(f"bin/{name}", type=tarfile.SYMTYPE, linkname="busybox") for name in applets),
        *(entry(name, b"text\n", mtime=1_700_000_000) for name in FILES),
    )
    return saved([layer], ["diff:latest"], image=config([layer], architecture="amd64", config={"Env": ["PATH=/bin"]}))


async def docker(socket: str, *args: str, stdin: bytes = b"") -> str:
    program = shutil.which("docker")
    assert program, "there is no docker command: make test unpacks one below build/"
    process = await asyncio.create_subprocess_exec(
        *(program, "--host", f"unix://{socket}", *args), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(stdin)
    assert process.returncode == 0, args
    return out.decode()


async def diffs(socket: str) -> dict[str, list[str]]:
    """What each case says, sorted: the order of siblings is dockerd's whim."""
    await docker(socket, "load", stdin=image())
    found = {}
    for number, (case, script) in enumerate(CASES.items()):
        name = f"case-{number}"
        await docker(socket, "run", "--name", name, "--network", "none", "diff:latest", "sh", "-c", script)
        found[case] = sorted((await docker(socket, "diff", name)).splitlines())
        await docker(socket, "rm", name)
    return found


@pytest.mark.timeout(300)
async def test_docker_diff_says_what_it_says_of_dockerd() -> None:
    async with pair() as engines:
        ours, theirs = await asyncio.gather(diffs(engines.ours.socket), diffs(engines.peer.socket))
    assert ours == theirs
    assert ours["nothing"] == [] and ours["modify"] == ["C /etc", "C /etc/file"]
