"""`docker commit`, `export` and `import` with the real docker command: on our engine, and beside dockerd after the same."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bench.pair import pair
from tests.clients.test_docker import Docker, until_now
from tests.clients.test_docker_diff import docker, image
from tests.conftest import SpawnEngine
from tests.engine.host.archives import entry, tar

WRITE = (
    "rm /etc/file; rm -r /opt/old; rm -r /etc/conf; mkdir /etc/conf; echo new > /etc/conf/c; ln /etc/same /etc/hard;"
    "ln -s ../nowhere /etc/soft; mkfifo /pipe; chown 7:8 /opt/keep; chmod 6755 /opt/keep; echo x > /new; sleep 1000"
)
LOOK = (
    "busybox find / -xdev -not -path '/proc*' -not -path '/sys*' -not -path '/dev*' | busybox sort; echo $A; busybox cat /new"
)
CAPABILITY = b"\x01\x00\x00\x02\x20" + bytes(15)
CHANGES = ("ENV A=b", 'CMD ["sh"]', "LABEL x=y", "EXPOSE 80", "WORKDIR /opt", "USER 0:0")


async def output(socket: str, *args: str, stdin: bytes = b"") -> bytes:
    """Of a command that may write an archive."""
    process = await asyncio.create_subprocess_exec(
        *("docker", "--host", f"unix://{socket}", *args), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(stdin)
    assert process.returncode == 0, args
    return out


@dataclass
class Made:
    """What one engine makes of the same container."""

    shown: dict[str, Any]
    history: list[str]
    archive: bytes
    exported: bytes
    events: list[str]

    def layers(self) -> list[list[tuple[Any, ...]]]:
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as packed:
            file = packed.extractfile("manifest.json")
            assert file
            (manifest,) = json.load(file)
            found = [packed.extractfile(name) for name in manifest["Layers"]]
            return [listing(layer.read()) for layer in found if layer]


def listing(data: bytes) -> list[tuple[Any, ...]]:
    """What each entry of a tar says, in the order of names. Of a whiteout only its name says anything."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        for each in packed:
            attributes = {key: each.pax_headers[key] for key in each.pax_headers if key.startswith("SCHILY.xattr.")}
            file = packed.extractfile(each) if each.isreg() else None
            deleted = os.path.basename(each.name).startswith(".wh.")
            content = file.read() if file else b""
            own = () if deleted else (each.type, each.linkname, each.mode & 0o7777, each.uid, each.gid, attributes, content)
            found.append((each.name.strip("/"), *own))
    return sorted(found, key=lambda each: each[0])


async def made(socket: str) -> Made:
    await docker(socket, "load", stdin=image())
    id = await docker(socket, "run", "-d", "--name", "web", "--network", "none", "diff:latest", "sh", "-c", WRITE)
    merged = Path(json.loads(await docker(socket, "inspect", "web"))[0]["GraphDriver"]["Data"]["MergedDir"])
    while not (merged / "new").exists() or not (merged / "new").stat().st_size:
        await asyncio.sleep(0.01)
    os.setxattr(merged / "new", "security.capability", CAPABILITY)
    os.utime(merged / "new", ns=(1, 1_500_000_000_123_456_789))
    changes = [word for change in CHANGES for word in ("--change", change)]
    await docker(socket, "commit", "--author", "me", "--message", "why", *changes, id.strip(), "made:1")
    shown = json.loads(await docker(socket, "image", "inspect", "made:1"))[0]
    history = await docker(socket, "history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}|{{.Size}}", "made:1")
    exported = await output(socket, "export", "web")
    archive = await output(socket, "save", "made:1")
    past = (*until_now(), "--filter", "container=web", "--format", "{{.Action}}")
    events = (await docker(socket, "events", *past)).split()
    await docker(socket, "rm", "-f", "web")
    return Made(shown, history.splitlines(), archive, exported, events)


@pytest.mark.timeout(300)
async def test_the_same_is_made_of_the_same_and_each_takes_the_other_s() -> None:
    async with pair() as engines:
        ours, theirs = await asyncio.gather(made(engines.ours.socket), made(engines.peer.socket))
        assert ours.layers() == theirs.layers()
        assert listing(ours.exported) == listing(theirs.exported)
        assert ours.history == theirs.history and ours.history[0].startswith("sh -c rm /etc/file")
        for key in ("Author", "Comment", "Architecture", "Os", "Parent"):
            assert ours.shown[key] == theirs.shown[key] != "", key
        hostnames = {shown["Config"].pop("Hostname") for shown in (ours.shown, theirs.shown)}
        assert ours.shown["Config"] == theirs.shown["Config"] and len(hostnames) == 2
        assert ours.shown["RootFS"]["Layers"][0] == theirs.shown["RootFS"]["Layers"][0]
        assert sorted(ours.events) == sorted(theirs.events)

        for archive, its, other in (
            (ours.archive, ours, engines.peer.socket),
            (theirs.archive, theirs, engines.ours.socket),
        ):
            await docker(other, "rmi", "made:1")
            await docker(other, "load", stdin=archive)
            there = json.loads(await docker(other, "image", "inspect", "made:1"))[0]
            assert (there["Id"], there["RootFS"]) == (its.shown["Id"], its.shown["RootFS"])
        run = ("run", "--rm", "--network", "none", "made:1", "sh", "-c", LOOK)
        said = await asyncio.gather(*(docker(socket, *run) for socket in (engines.ours.socket, engines.peer.socket)))
        assert said[0] == said[1] and said[0].splitlines()[-2:] == ["b", "x"]


@pytest.fixture
async def here(spawn_engine: SpawnEngine) -> Docker:
    return Docker(await spawn_engine())


async def test_export_and_import(here: Docker, tmp_path: Path) -> None:
    await here.good("run", "--name", "web", "--network", "none", "busybox", "sh", "-c", "rm /bin/vi; echo x > /new")
    archive, packed = tmp_path / "web.tar", tmp_path / "web.tar.gz"
    await here.good("export", "-o", str(archive), "web")
    with tarfile.open(packed, "w:gz") as file:
        file.addfile(*_file("new", b"packed\n"))
    id = await here.good("import", "--message", "why", "--change", 'CMD ["cat", "/new"]', str(archive), "flat:1")
    assert await here.good("run", "--rm", "--network", "none", "flat:1") == "x"
    shown = json.loads(await here.good("image", "inspect", "flat:1"))[0]
    assert shown["Id"] == id and len(shown["RootFS"]["Layers"]) == 1 and shown["Comment"] == "why"
    said = await here("run", "--rm", "--network", "none", "flat:1", "ls", "/bin/vi", "/bin/sh")
    assert said.code == 1 and said.out == "/bin/sh\n"
    assert (await here.good("import", str(packed), "packed:1")).startswith("sha256:")
    assert (
        (await here("import", "--change", "RUN x", str(archive)))
        .err.strip()
        .endswith(
            "run is not a valid change command; the commands are "
            "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR"
        )
    )
    archive.write_bytes(b"no tar" * 1000)
    said = await here("import", str(archive))
    assert said.code == 1 and "damaged" in said.err
    archive.write_bytes(tar(entry("../out", b"x")))
    said = await here("import", str(archive))
    assert said.code == 1 and "leads out of the layer" in said.err
    assert len((await here.good("images", "-q")).split()) == 3


def _file(name: str, data: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, io.BytesIO(data)


async def test_a_commit_of_nothing_and_images_on_it(here: Docker) -> None:
    await here.good("create", "--name", "idle", "busybox", "true")
    id = await here.good("commit", "idle", "same:1")
    base, same = json.loads(await here.good("image", "inspect", "busybox", "same:1"))
    assert same["RootFS"] == base["RootFS"] and same["Id"] == id and same["Parent"] == base["Id"]
    assert (await here.good("history", "--format", "{{.Size}}", "same:1")).splitlines()[0] == "0B"
    await here.good("rm", "idle")
    await here.good("run", "--name", "more", "--network", "none", "same:1", "sh", "-c", "echo more > /more")
    await here.good("commit", "--pause=false", "more", "more:1")
    assert await here.good("run", "--rm", "--network", "none", "more:1", "cat", "/more") == "more"
    said = await here("rmi", same["Id"])
    assert said.code == 1 and "dependent child images" in said.err
