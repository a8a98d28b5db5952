"""The real `docker` command asks Debian's dockerd and our engine the same things about the same images: the same words come."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.bench.peer import Dockerd
from tests.bench.wire import image as busybox
from tests.clients.test_docker import Docker, Said
from tests.conftest import SpawnEngine
from tests.engine.host.archives import config, digest, entry, layer_of, saved, tar
from tests.engines import EngineProcess
from tests.real.test_saved_images import dockerd

__all__ = ["dockerd"]

BASE, TOP, OTHER = (tar(entry(name, name.encode() * size)) for name, size in (("base", 1000), ("top", 500), ("other", 2000)))
HISTORY = [
    {"created": "2024-01-01T00:00:00Z", "created_by": "ADD base"},
    {"created": "2024-01-02T00:00:00Z", "created_by": "ENV A=1", "empty_layer": True, "comment": "buildkit"},
    {"created_by": "COPY top"},
    {"created": "2024-01-03T00:00:00Z", "created_by": 'CMD ["sh"]', "empty_layer": True},
]
PLATFORM = {"architecture": "amd64"}
WEB = config([BASE, TOP], history=HISTORY, created="2024-01-03T00:00:00Z", **PLATFORM, config={"Labels": {"tier": "front"}})
API = config([BASE, OTHER], created="2024-02-01T00:00:00Z", **PLATFORM)
NAMELESS = config([OTHER], created="2024-03-01T00:00:00Z", **PLATFORM)
OLD = config(
    [OTHER],
    created="2024-03-01T01:00:00.123456780+01:00",
    architecture="amd64",
    variant="v2",
    container="7" * 64,
    container_config={"Cmd": ["/bin/sh", "-c", "#(nop)"], "Env": ["A=b"]},
    docker_version="1.2.3",
    author="me",
    **{"os.version": "10.0"},
    config={"Cmd": ["sh"], "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000}, "OnBuild": ["RUN x"]},
)
SHELL = layer_of(busybox())
LOW = tar(*(entry(name, b"x", mtime=1) for name in ("opt/hidden", "opt/seen", "opt/dir/below")))
WHITEOUTS = tar(*(entry(f"opt/{name}", type=tarfile.CHRTYPE, mtime=1) for name in ("hidden", "dir", "none")))
"""Character devices 0:0, which overlayfs takes for deletions, and so does dockerd."""
ARCHIVES = {
    "old": saved([OTHER], ["old:1"], image=OLD),
    "hides": saved([SHELL, LOW, WHITEOUTS], ["hides:1"], image=config([SHELL, LOW, WHITEOUTS], **PLATFORM)),
    "web": saved([BASE, TOP], ["web:1", "web:2", "other/web:1"], image=WEB),
    "api": saved([BASE, OTHER], ["api:1"], image=API),
    "none": saved([OTHER], None, image=NAMELESS),
    "bench": busybox(),
}
ID = digest(WEB)[7:]
IN_NO_ORDER = ("images", "image prune")
"""dockerd keeps names and images in Go's maps, and says them in the order they come out."""


@dataclass
class Both:
    """Two engines that have the same images."""

    theirs: Docker
    ours: Docker
    directory: Path
    began: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._ids: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.hidden = ""
        """A pattern of what is not compared."""

    async def say(self, words: str) -> tuple[Said, Said]:
        """What each of them says to a command. Ids that are alike in nothing but their place are told as numbers."""
        words = words.replace("DIRECTORY", str(self.directory)).replace(
            "TIMES", f"--since {self.began:.6f} --until {time.time():.6f}"
        )
        command = shlex.split(words)
        both = await asyncio.gather(self.theirs(*command), self.ours(*command))
        theirs, ours = (self._plain(said, ids) for said, ids in zip(both, self._ids, strict=True))
        if words.startswith(IN_NO_ORDER):
            theirs.out, ours.out = ("\n".join(sorted(said.out.splitlines())) for said in (theirs, ours))
        return theirs, ours

    async def same(self, script: str) -> str:
        """Both must say the same to every line; the output of the last."""
        out = ""
        for words in filter(None, map(str.strip, script.splitlines())):
            theirs, ours = await self.say(words)
            assert ours == theirs, (words, self.ours.engine.said())
            out = ours.out
        return out

    def _plain(self, said: Said, ids: dict[str, str]) -> Said:
        if made := re.fullmatch(r"(sha256:)?([0-9a-f]{64})\n", said.out):
            ids[made[2]] = f"<{len(ids)}>"
        for id, number in ids.items():
            said.out, said.err = (text.replace(id, number).replace(id[:12], number) for text in (said.out, said.err))
        if self.hidden:
            said.out = re.sub(self.hidden, "...", said.out)
        return said


@pytest.fixture
async def both(dockerd: Dockerd, spawn_engine: SpawnEngine, tmp_path: Path) -> Both:
    peer = EngineProcess(dockerd.directory)
    peer.socket = dockerd.socket
    ours = Docker(await spawn_engine())
    await ours.good("rmi", "busybox")
    for name, data in ARCHIVES.items():
        (tmp_path / f"{name}.tar").write_bytes(data)
    return Both(Docker(peer), ours, tmp_path)


async def test_the_same_words_as_dockerd(both: Both) -> None:
    await both.same("""
        load -i DIRECTORY/web.tar
        load -i DIRECTORY/api.tar
        load -i DIRECTORY/none.tar
        load -i DIRECTORY/bench.tar
        images --no-trunc --digests
        images -a --format '{{.Repository}} {{.Tag}} {{.ID}} {{.Digest}} {{.Size}}'
        images -q --filter dangling=true
        images -q --filter dangling=false
        images web
        images --filter reference=*/web --filter label=tier=front
        images -q --filter before=api:1
        history web:1
        history --no-trunc --format '{{json .}}' web:1
        history -q api:1
        image inspect -f '{{json .RootFS}} {{json .Metadata}} {{json .RepoTags}} {{json .RepoDigests}}{{.Parent}}' api:1
        image inspect -f '{{.Size}} {{.VirtualSize}} {{.GraphDriver.Name}} {{.Created}} {{json .Config.Labels}}' web:1
        tag web:1 new/name:v
        tag api:1 web:2
        tag nope x
        images --format '{{.Repository}}:{{.Tag}} {{.ID}}'
    """)
    await both.same("""
        create --name c1 web:1 sh
        rmi web:1 nope other/web:1
        rmi new/name:v
        rmi -f web:1
        ps -a --format '{{.Names}} {{.Image}}'
        system df
        rm c1
        image prune -f
        image prune -f --filter until=2020-01-01
        rmi web:2
        rmi api:1
        load -i DIRECTORY/web.tar
    """)
    await both.same(f"""
        rmi {ID[:12]}
        rmi web:1 web:2 new/name:v
        create --name c1 other/web:1 sh
        rmi {ID[:12]}
        rmi -f {ID[:12]}
        images -a
        ps -a --format '{{{{.Names}}}} {{{{.Image}}}}'
        rm c1
        system df
        load -i DIRECTORY/web.tar
        image prune -a -f --filter label!=tier
        image prune -a -f --filter label=tier
        load -i DIRECTORY/api.tar
        load -i DIRECTORY/bench.tar
        events TIMES --filter event=delete --filter event=untag --format '{{{{.Action}}}} {{{{json .Actor}}}}'
        events TIMES --filter event=load --filter event=tag --format '{{{{.Action}}}} {{{{json .Actor}}}}'
        events TIMES --filter event=prune --format '{{{{.Type}}}} {{{{json .Actor}}}}'
    """)


async def test_what_runs_and_what_was_made_from_it(both: Both) -> None:
    # Ids of containers and their layers, where they lie, who made them and when: none is like another.
    both.hidden = '[0-9a-f]{64}|/[^"]*/overlay2|20[0-9]{2}-[^"]*Z|(?<="DockerVersion": )"(20|0)[^"]*"'
    await both.same("""
        load -i DIRECTORY/bench.tar
        load -i DIRECTORY/api.tar
        load -i DIRECTORY/old.tar
        load -i DIRECTORY/hides.tar
        run --rm --network none hides:1 sh -c 'cd /opt; echo *; for x in hidden dir none; do test -e $x || echo no $x; done'
        rmi hides:1
        import -c 'CMD ["sh"]' DIRECTORY/web.tar flat:1
        import DIRECTORY/web.tar
        image inspect bench api:1 old:1 flat:1
        image inspect -f "{{.Created}}x" old:1
        rmi old:1 flat:1
        run -d --name r1 bench sleep 1000
        rmi bench
        rmi -f 267ba9d3850a
        run --name r2 -h box --label keep=1 bench sh -c 'echo hello > /file'
        commit r2 child
        image inspect child
        system df
        system df -v --format '{{range .Images}}{{.Repository}} {{.SharedSize}} {{.UniqueSize}} {{.Containers}} {{end}}'
        system df -v --format '{{range .Containers}}{{.Names}} {{.Image}} {{.Command}} {{.LocalVolumes}} {{.Size}} {{end}}'
        system df -v --format '{{json .Volumes}} {{json .BuildCache}}'
        image prune -a -f
        rmi -f child
        commit r2 child
        container prune -f --filter label!=keep
        container prune -f
        rmi -f bench
        image prune -f
        rm -f r1
        history -q child
        rmi child
        images -a
        events TIMES --filter type=container --filter event=prune --format '{{json .Actor.Attributes}}'
    """)


async def test_an_archive_goes_out_and_in_again(spawn_engine: SpawnEngine, tmp_path: Path) -> None:
    docker, archive = Docker(await spawn_engine()), tmp_path / "saved.tar"
    await docker.good("rmi", "busybox")
    for name in ("web", "api"):
        (tmp_path / name).write_bytes(ARCHIVES[name])
        await docker.good("load", "-i", str(tmp_path / name))
    await docker.good("tag", "api:1", "web:3")
    said = await docker("save", "-o", str(tmp_path / "nope.tar"), "web", "nope")
    assert (said.code, said.err) == (1, "Error response from daemon: No such image: nope:latest\n")
    before = await docker.good("images", "--no-trunc", "web", "--format", "{{.Tag}} {{.ID}}")
    await docker.good("save", "-o", str(archive), "web")
    with tarfile.open(archive) as opened:
        manifest = opened.extractfile("manifest.json")
        assert manifest
        assert sorted(name for each in json.load(manifest) for name in each["RepoTags"]) == ["web:1", "web:2", "web:3"]

    shown = json.loads(await docker.good("inspect", "--type", "image", "web:3"))[0]
    assert shown["Metadata"]["LastTagTime"].startswith("20") and shown["RepoTags"] == ["api:1", "web:3"]
    layers = shown["GraphDriver"]["Data"]
    assert Path(layers["UpperDir"], "other").exists() and Path(layers["LowerDir"], "base").exists()
    assert shown["RootFS"]["Layers"] == [digest(BASE), digest(OTHER)]

    await docker.good("rmi", "web:1", "web:2", "web:3", "other/web:1", "api:1")
    assert await docker.good("images", "-a", "-q") == "" and not Path(layers["UpperDir"]).exists()
    assert (await docker.good("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}")).startswith("Images 0 0B\n")
    await docker.good("load", "-i", str(archive))
    assert await docker.good("images", "--no-trunc", "web", "--format", "{{.Tag}} {{.ID}}") == before
