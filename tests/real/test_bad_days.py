"""Days on which the host is not as it should be: one sentence with a remedy, nothing half done, and it goes on when it can."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.client import Client
from engine.model.errors import EngineError, NotFound
from engine.model.status import Status
from tests.conftest import SpawnEngine
from tests.engine.host.archives import digest, entry, saved, tar
from tests.engine.host.registry.kit import opened, put, repository
from tests.engines import GONE, EngineProcess
from tests.leftovers import settle
from tests.real.watching import POLITE, run, sh, until, watching
from tests.registries import DebianRegistry

PlaceEngine = Callable[[], EngineProcess]

DISK = 64 << 20
"""Bytes of a small disk."""


async def refused(place: EngineProcess, *more: str) -> str:
    """The one sentence with which an engine refuses to start. It has made nothing that stays."""
    place.log.unlink(missing_ok=True)
    process = await place.launch(*more)
    async with asyncio.timeout(GONE):
        assert await process.wait() == 1, place.said()
    place.process = None
    *before, sentence = place.said().splitlines()
    assert sentence.startswith("longshored: ") and "; " in sentence, place.said()
    assert not [line for line in before if "Traceback" in line or line.startswith("longshored:")], place.said()
    assert not await asyncio.to_thread(settle, place.left)
    return sentence


# Refused at the start


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--no-such-option",), "No such option"),
        (("--bip", "10.1.2.3.4/24"), "10.84.0.1/16"),
        (("--bip", "10.84.0.0/16"), "10.84.0.1/16"),
        (("--default-address-pool", "base=10.84.0.0/16,size=8"), "16 to 30"),
        (("--default-address-pool", "10.84.0.0/16"), "base=10.84.0.0/14,size=16"),
        (("--data-root", "relative/path"), "begin it with /"),
        (("--config-file", "/no/such/file.json"), "leave --config-file out"),
        (("--group", "no-such-group"), "groupadd"),
        (("--pidfile", "/no/such/directory/pid"), "give another --pidfile"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_options_that_cannot_be(place_engine: PlaceEngine, options: tuple[str, ...], words: str) -> None:
    assert words in await refused(place_engine(), *options)


async def test_not_root(place_engine: PlaceEngine) -> None:
    place = place_engine()
    # Nobody, who may read where this Python lies.
    nobody = ("setpriv", "--reuid=65534", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    place.program = (*nobody, *place.program)
    assert "only root" in await refused(place)
    assert not Path(place.root).exists() and not Path(place.run).exists()


@pytest.mark.parametrize(("program", "package"), [("containerd", "containerd"), ("runc", "runc"), ("nft", "nftables")])
async def test_a_program_is_not_installed(place_engine: PlaceEngine, program: str, package: str) -> None:
    path = shutil.which(program)
    assert path
    place = place_engine()
    hide = f'mount --bind /dev/null {os.path.realpath(path)} && exec "$@"'
    place.program = ("unshare", "--mount", "sh", "-c", hide, "sh", *place.program)
    assert f"{program} is not installed; install it: apt install {package}" in await refused(place)
    assert not Path(place.root).exists()


async def test_the_data_root_is_a_file(place_engine: PlaceEngine) -> None:
    place = place_engine()
    place.directory.mkdir()
    Path(place.root).write_text("mine")
    assert place.root in await refused(place)
    assert Path(place.root).read_text() == "mine"


async def test_another_engine_has_the_roots(spawn_engine: SpawnEngine, place_engine: PlaceEngine) -> None:
    first, second = await spawn_engine(), place_engine()
    async with first.client() as client:
        await run(client, "web")
        own = second.options
        second.options = (*own[:2], *first.options[2:])
        assert "another engine is running" in await refused(second)
        second.options = (*first.options[:2], *own[2:])
        sentence = await refused(second)
        assert first.socket in sentence and "already running" in sentence
        assert (await client.inspect("web")).status is Status.RUNNING


async def test_the_socket_is_taken(place_engine: PlaceEngine) -> None:
    place = place_engine()
    Path(place.run).mkdir(parents=True)
    Path(place.socket).write_text("mine")
    assert "something else lies there" in await refused(place)
    assert Path(place.socket).read_text() == "mine"
    Path(place.socket).unlink()
    with socket.socket(socket.AF_UNIX) as somebody:
        somebody.bind(place.socket)
        somebody.listen()
        assert "already running" in await refused(place)
    # Nobody listens any more: a dead socket is no hindrance.
    await place.start()


async def test_the_bridge_is_somebody_elses(place_engine: PlaceEngine) -> None:
    place = place_engine()
    await sh("ip", "link", "add", place.bridge, "type", "bridge")
    try:
        process = await place.launch()
        assert await process.wait() == 1
        place.process = None
        assert "not ours; choose another name with --bridge" in place.said().splitlines()[-1]
        left = await asyncio.to_thread(settle, lambda: place.left() - {f"link {place.bridge}"})
        assert not left
    finally:
        await sh("ip", "link", "delete", place.bridge)


# The disk


@pytest.fixture
def small(place_engine: PlaceEngine) -> Iterator[EngineProcess]:
    """A place for an engine whose data root is a small disk of its own."""
    place = place_engine()
    Path(place.root).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "small", place.root], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place.root], check=True)


async def leave(place: EngineProcess) -> None:
    """Shut down, before the disk goes."""
    await place.shutdown()
    place.process = None


def fill(place: EngineProcess) -> Path:
    """Take all the room there is, to the last byte."""
    path = Path(place.root, "filler")
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


async def test_the_disk_is_full(small: EngineProcess, tmp_path: Path) -> None:
    await small.start()
    archive = tmp_path / "image.tar"
    archive.write_bytes(saved([tar(entry("big", os.urandom(1 << 20)))], ["big:1"]))
    talker: dict[str, Any] = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while true; do echo line; sleep 0.01; done"],
    }
    talker["Healthcheck"] = {"Test": ["CMD", "date", "+%N"], "Interval": 100_000_000}
    try:
        async with small.client() as client, watching(client) as screen:
            await run(client, "web", talker)
            before = await asyncio.to_thread(tree, small)
            filler = await asyncio.to_thread(fill, small)
            for attempt in (
                client.do("create", "", {"name": "next", "body": POLITE}),
                client.do("create", "", {"name": "next", "body": POLITE}),
                client.images_load(str(archive)),
            ):
                with pytest.raises(EngineError, match=r"No space left on device.*; make room on the disk"):
                    await attempt
            await screen.until(lambda: "No space left" in screen.world.engine.trouble)
            assert [row.name for row in await client.containers()] == ["web"] and len(await client.images()) == 1
            assert await asyncio.to_thread(tree, small) == before
            filler.unlink()
            await screen.until(lambda: not screen.world.engine.trouble)
            seen = (await client.inspect("web")).state.health
            await run(client, "next")
            while (await client.inspect("web")).state.health == seen:
                await asyncio.sleep(0.02)
            assert await client.images_load(str(archive)) == ["Loaded image: big:1"]
            assert "Traceback" not in small.said()
    finally:
        Path(small.root, "filler").unlink(missing_ok=True)
        await leave(small)


async def test_the_disk_becomes_full_while_a_layer_is_unpacked(small: EngineProcess, tmp_path: Path) -> None:
    """Small files take more of it than the layer's bytes. Nothing of the layer stays; what a pull has fetched waits."""
    layers = [tar(entry("first", b"1")), tar(*(entry(f"d/{number}", b"2") for number in range(6000)))]
    archive = tmp_path / "image.tar"
    archive.write_bytes(saved(layers, ["web:1"], packed=[gzip.compress(layer) for layer in layers]))
    full = (
        r"entry 'd/\d+': No space left on device: it takes more than [\d.]+ MB, and there is room for [\d.]+ MB; make room on"
    )
    filler, registries = Path(small.root, "filler"), opened(tmp_path / "ours")
    filler.write_bytes(b"x" * (DISK - (20 << 20)))
    await small.start()
    try:
        async with DebianRegistry(tmp_path / "r") as registry, small.client() as client:
            await put(repository(registries, registry.name, push=True), "1", layers)
            before = await asyncio.to_thread(tree, small)
            with pytest.raises(EngineError, match=full):
                await client.images_load(str(archive))
            assert await asyncio.to_thread(tree, small) == before
            with pytest.raises(EngineError, match=full):
                await pulled(client, f"{registry.name}/web:1")
            left = await asyncio.to_thread(tree, small) - before
            assert {os.path.basename(path).removesuffix(".part") for path in left} == {digest(layers[1])[7:], "distribution"}
            filler.unlink()
            told = await pulled(client, f"{registry.name}/web:1")
            begun = [line["progressDetail"] for line in told if line.get("status") == "Downloading"]
            assert {"current": len(layers[1]), "total": len(layers[1])} in begun, "it was there"
            await client.image_remove(f"{registry.name}/web:1")
            assert await client.images_load(str(archive)) == ["Loaded image: web:1"]
            assert "Traceback" not in small.said()
    finally:
        await registries.close()
        filler.unlink(missing_ok=True)
        await leave(small)


async def pulled(client: Client, reference: str) -> list[dict[str, Any]]:
    return [line async for line in client.pull(reference)]


def tree(place: EngineProcess) -> set[str]:
    """Names of the engine's directories and files, the filler excepted."""
    parts = ("containers", "overlay2", "image", "network", "tmp")
    return {str(path) for part in parts for path in Path(place.root, part).glob("*/*")}


async def test_the_disk_is_full_from_the_beginning(small: EngineProcess) -> None:
    filler = await asyncio.to_thread(fill, small)
    process = await small.launch()
    assert await process.wait() == 1
    small.process = None
    sentence = small.said().splitlines()[-1]
    assert sentence.startswith("longshored: ") and "Traceback" not in small.said()
    assert "disk" in sentence and "is full" in sentence
    assert small.left() == {f"mount {small.root}"}
    filler.unlink()
    await small.start()
    await leave(small)


async def test_the_data_root_cannot_be_written(small: EngineProcess) -> None:
    await sh("mount", "-o", "remount,ro", small.root)
    process = await small.launch()
    assert await process.wait() == 1
    small.process = None
    assert "Read-only file system; give another one, or make it writable" in small.said()
    assert small.left() == {f"mount {small.root}"}


# Under a running engine


def below(engine: EngineProcess, word: str) -> list[psutil.Process]:
    """Living processes with this word and the engine's exec root on their command lines."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or [""]
        if os.path.basename(line[0]) == word and engine.run in " ".join(line):
            found.append(process)
    return found


async def test_containerd_is_killed(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    async with engine.client() as client, watching(client) as screen:
        await run(client, "web")
        await run(client, "short")
        pid, short = (await client.inspect("web")).state.pid, (await client.inspect("short")).state.pid
        (containerd,) = below(engine, "containerd")
        containerd.send_signal(signal.SIGKILL)
        os.kill(short, signal.SIGKILL)  # while no containerd is there to tell of it
        await screen.until(lambda: "containerd" in screen.world.engine.trouble)
        await screen.until(lambda: not screen.world.engine.trouble)
        assert await client.wait("short") == 137
        (anew,) = below(engine, "containerd")
        assert anew.pid != containerd.pid
        c = await client.inspect("web")
        assert c.status is Status.RUNNING and c.state.pid == pid and psutil.pid_exists(pid)
        await run(client, "next")
        await client.do("stop", "web", {"t": 5})
        c = await client.inspect("web")
        assert (c.status, c.state.exit_code) == (Status.EXITED, 0)


async def test_a_shim_is_killed(spawn_engine: SpawnEngine) -> None:
    engine = await spawn_engine()
    async with engine.client() as client:
        id = await run(client, "web")
        layers = (await client.inspect("web")).layers
        assert layers
        (shim,) = below(engine, "containerd-shim-runc-v2")
        shim.send_signal(signal.SIGKILL)
        assert await client.wait("web") == 137
        c = await client.inspect("web")
        assert c.status is Status.EXITED and c.state.error
        assert layers.mount_id not in Path("/proc/mounts").read_text()
        assert not Path("/sys/fs/cgroup/freezer", engine.cgroup_parent.strip("/"), id).exists()
        await client.do("start", "web")
        await client.do("remove", "web", {"force": True})
        with pytest.raises(NotFound):
            await client.inspect("web")
        await until(lambda: not below(engine, "containerd-shim-runc-v2"))


async def test_containerd_cannot_come_back(spawn_engine: SpawnEngine) -> None:
    """It says so for as long as it is so; what needs no containerd goes on."""
    engine = await spawn_engine()
    config = Path(engine.run, "containerd")
    async with engine.client() as client, watching(client) as screen:
        await run(client, "web")
        (containerd,) = below(engine, "containerd")
        database = Path(engine.root, "containerd/io.containerd.metadata.v1.bolt/meta.db")
        hidden = database.rename(f"{database}.hidden")
        database.mkdir()
        containerd.send_signal(signal.SIGKILL)
        await screen.until(lambda: "cannot be started again" in screen.world.engine.trouble)
        assert (await client.inspect("web")).status is Status.RUNNING and len(await client.images()) == 1
        assert config.exists()
        database.rmdir()
        hidden.rename(database)
        await screen.until(lambda: not screen.world.engine.trouble)
        await client.do("stop", "web", {"t": 0})
