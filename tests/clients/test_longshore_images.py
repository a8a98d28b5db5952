"""`longshore`'s verbs for images beside the real `docker` command, on one engine."""

from __future__ import annotations

import asyncio
import base64
import json
import tarfile
from pathlib import Path

import pytest

from tests.clients.test_longshore import Pair, Program, Said, ended, pair, screens
from tests.engine.host.archives import entry, saved, tar
from tests.registries import DebianRegistry, with_password

__all__ = ["pair"]

LAYER = tar(entry("new", b"x\n"))
USER, PASSWORD = "alice", "s3cret:word"


async def test_names_commits_and_history(pair: Pair) -> None:
    await pair.agree(
        "tag busybox @1:x",
        "images -q --no-trunc @1",
        "image ls -q @1:x",
        "images -q @1:nothing",
        "tag @9 @1",
        "rmi @1:x",
        "run --name @1 busybox sh -c 'echo x > /new; rm /bin/vi'",
        "diff @1",
        "commit -m why -a me -c 'ENV A=b' -c 'CMD [\"cat\",\"/new\"]' @1 @2:x",
        "commit -c 'RUN x' @1",
        "commit @9 @2:x",
        "run --rm @2:x",
        "history -q --no-trunc @2:x",
        "history @9",
        "rm @1",
        "rmi @9 @2:x",
        "rmi -f @9",
        "images -q @2",
        "diff @9",
    )
    await pair.end_alike("tag busybox UPPER", "history @9:y", "commit --no-such-flag @1", "push -a busybox:x")
    for program in pair:
        shown = await program("images --format json busybox" if program.own == "l" else "images --format '{{json .}}' busybox")
        assert json.loads(shown.out)["SharedSize" if program.own == "l" else "Repository"] is not None
        assert "busybox:latest" in (await program("image inspect busybox @9")).out


async def test_archives(pair: Pair, tmp_path: Path) -> None:
    await pair.agree("load", "import - @3", given=saved([LAYER], ["loaded:1"]))
    await pair.agree("import -m why -c 'CMD [\"true\"]' - @1:x", given=LAYER)
    await pair.agree("run --name @1 busybox sh -c 'echo x > /new'")
    for program in pair:
        archive, flat = tmp_path / f"{program.own}.tar", tmp_path / f"{program.own}-flat.tar"
        assert await program(f"save -o {archive} loaded:1 @1:x") == (0, "", "")
        assert await program(f"export -o {flat} @1") == (0, "", "")
        for path in (archive, flat):
            assert path.stat().st_mode & 0o777 == 0o600
        assert {path.name for path in tmp_path.iterdir() if path.name.startswith(program.own)} == {archive.name, flat.name}
        with tarfile.open(flat) as packed:
            file = packed.extractfile("new")
            assert file and file.read() == b"x\n"
        assert (await program("rmi loaded:1")).code == (await program(f"load -i {archive}")).code == 0
        assert (await program(f"import {flat} @2:x")).out == "sha256:<id>"
        assert (await program("run --rm @2:x cat /new")).out == "x"
    await pair.end_alike(
        "load -i /no/such/file",
        "import /no/such/file",
        f"save -o {tmp_path} busybox",
        "save -o /no/such/directory/x busybox",
        "export -o /no/such/directory/x @1",
    )
    await pair.agree("save no-such-image", "export @9")
    assert not list(tmp_path.glob(".*")), "nothing half written is left"


async def test_an_archive_goes_through_a_pipe(pair: Pair) -> None:
    await pair.agree("run --name @1 busybox sh -c 'echo x > /new'")
    for program in pair:
        exporting = await program.begin("export @1")
        data, _ = await exporting.communicate()
        importing = await program.begin('import -c \'CMD ["cat","/new"]\' - @1:x')
        out, _ = await importing.communicate(data)
        assert out.startswith(b"sha256:") and (await program("run --rm @1:x")).out == "x"


async def test_nothing_binary_goes_to_a_terminal(pair: Pair) -> None:
    assert (await pair.longshore("create --name @1 busybox")).code == 0
    async with screens(pair) as shown:
        for program, screen in shown:
            for line in ("save busybox", "export l1"):
                code = await ended(await screen.run(*program.words(line)), screen)
                assert code == 1 and "cowardly refusing to save to a terminal" in screen.text
                screen.seen.clear()


async def test_prune_asks_first(pair: Pair) -> None:
    for program in pair:
        for line, given in (("container prune", b"n\n"), ("image prune", b"")):
            assert (await program("create --name @1 busybox")).code == 0
            said = await program(line, given)
            assert said.code == 0 and "Are you sure you want to continue? [y/N]" in said.out and "WARNING!" in said.out
            assert (await program("rm @1")).out == "@1"
        assert (await program("run --name @1 busybox sh -c 'echo x > /new'")).code == 0
        assert (await program("commit @1")).code == 0
        said = await program("container prune -f --filter label=nobody")
        assert "<id>" not in said.out and "Total reclaimed space:" in said.out
        said = await program("container prune", b"y\n")
        assert "Deleted Containers:\n<id>" in said.out.split("[y/N] ")[1]
        said = await program("image prune -f")
        assert "Deleted Images:\ndeleted: sha256:<id>" in said.out and "Total reclaimed space:" in said.out
        said = await program("image prune -f")
        assert "deleted" not in said.out
        assert (await program("run --name @1 busybox true")).code == (await program("tag busybox @1:x")).code == 0
        said = await program("system prune -f")
        assert "<id>" in said.out and "untagged" not in said.out
        assert (await program("rmi @1:x")).code == 0
        docker = program is pair.docker
        used = (await program("system df")).out.splitlines()
        assert used[1].split()[:3] == ["Images", "1", "0"] and used[2].split()[:3] == ["Containers", "0", "0"], used
        assert docker or json.loads((await program("system df --format json")).out)["LayersSize"]


@pytest.fixture
async def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DebianRegistry:
    """A registry with a password that only we know: the engine has been started without it."""
    kept = tmp_path / "docker"
    kept.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(kept))
    return DebianRegistry(tmp_path / "r", with_password(tmp_path / "auth", USER, PASSWORD))


def log_in(registry: DebianRegistry, directory: Path) -> None:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (directory / "docker/config.json").write_text(json.dumps({"auths": {registry.name: {"auth": auth}}}))


async def test_pull_and_push(pair: Pair, registry: DebianRegistry, tmp_path: Path) -> None:
    async with registry:
        web = f"{registry.name}/web"

        async def both(line: str) -> tuple[Said, Said]:
            """One after the other, so that each finds the same. Layers come in any order."""
            said = [await program(line) for program in pair]
            docker, longshore = [Said(each.code, "\n".join(sorted(each.out.splitlines())), each.err) for each in said]
            return docker, longshore

        for program in pair:
            assert (await program("load", saved([LAYER], [f"{web}:latest", f"{web}:2"]))).code == 0
        for refused in await both(f"push {web}"):
            assert refused.code == 1 and "docker login" in refused.err
        log_in(registry, tmp_path)
        first = await pair.longshore(f"push {web}")
        assert first.code == 0 and "Using default tag: latest" in first.out and ": Pushed" in first.out
        for line in (
            f"push {web}:2",
            f"push -q {web}:2",
            f"push -a {web}",
            f"pull {web}",
            f"pull -q {web}:2",
            f"pull -a {web}",
        ):
            docker, longshore = await both(line)
            assert docker == longshore and docker.code == 0, line
        docker, longshore = await both(f"pull -a {web}:2")
        assert docker.code == longshore.code != 0
        for line in (f"pull {web}:3", f"push {web}:3"):
            docker, longshore = await both(line)
            assert docker == longshore and docker.code == 1, line

        async def anew(program: Program) -> Said:
            assert (await program(f"rmi -f {web}:latest {web}:2")).code == 0
            said = await program(f"run --rm {web}:2 true")
            return Said(said.code, said.out, "\n".join(sorted(said.err.splitlines())))

        said = [await anew(program) for program in pair]
        assert said[0] == said[1] and f"Unable to find image '{web}:2' locally" in said[0].err


async def test_pulls_move_on_a_terminal(pair: Pair, registry: DebianRegistry, tmp_path: Path) -> None:
    async with registry:
        log_in(registry, tmp_path)
        web = f"{registry.name}/web:1"
        layers = [tar(entry(f"file{number}", bytes([number]) * 100_000)) for number in range(4)]
        program = pair.longshore
        assert (await program("load", saved(layers, [web]))).code == (await program(f"push {web}")).code == 0
        assert (await program(f"rmi {web}")).code == 0
        async with screens(pair) as ((_, _), (_, screen)):
            process = await screen.run(*program.words(f"pull {web}"))
            assert await ended(process, screen) == 0, screen.text
            text = screen.text
        assert text.count("Pulling fs layer") == text.count("Pull complete") == 4
        assert "\x1b[" in text and text.endswith(f"{web}\n")
        assert (await asyncio.wait_for(program(f"images -q {web}"), 30)).out == "<short>"
