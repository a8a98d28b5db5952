"""The real `docker` command, our engine, and registries as they are out there: platforms, logins, tokens, TLS, mirrors."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from backports import zstd

from engine.host import busybox
from engine.host.registry import Registries
from engine.host.registry import manifest as manifests
from tests.clients.test_docker import Docker
from tests.clients.test_docker_login import log_in
from tests.conftest import SpawnEngine
from tests.engine.host.archives import digest, entry, layer_of, saved, tar
from tests.engine.host.registry.kit import described, opened, put, put_packed, repository
from tests.engines import EngineProcess
from tests.registries import DebianRegistry, Passing, Server, make_certificate, with_password

GREETING = tar(entry("greeting", b"hello\n"), entry("greetings/.wh..wh..opq"))


@pytest.fixture
async def registries(tmp_path: Path) -> AsyncIterator[Registries]:
    port = opened(tmp_path / "ours")
    yield port
    await port.close()


@pytest.fixture
async def layers() -> list[bytes]:
    """Of an image that can run."""
    return [layer_of(await busybox.archive("amd64")), GREETING, tar(entry("last", b"z" * 5000))]


async def test_run_pulls_what_is_missing(
    spawn_engine: SpawnEngine, registries: Registries, layers: list[bytes], tmp_path: Path
) -> None:
    """In Docker's format and in OCI's, with layers of every kind; the same files come out."""
    docker = Docker(await spawn_engine())
    base, greeting, last = layers
    async with DebianRegistry(tmp_path / "r") as registry:
        to = repository(registries, registry.name, push=True)
        docker_kind, oci = manifests.DOCKER_LAYER, manifests.OCI_LAYER
        await put_packed(to, "docker", manifests.DOCKER, [(docker_kind, gzip.compress(each), each) for each in layers])
        mixed = [
            (f"{oci}+gzip", gzip.compress(base), base),
            (f"{oci}+zstd", zstd.compress(greeting), greeting),
            (oci, last, last),
        ]
        await put_packed(to, "oci", manifests.OCI, mixed)
        for tag in ("docker", "oci"):
            said = await docker("run", "--rm", f"{registry.name}/web:{tag}")
            assert (said.code, said.out) == (0, "hello\n") and "Unable to find image" in said.err, said
        assert (await docker("run", "--rm", "--pull", "never", f"{registry.name}/web:2")).code == 125
        shown = json.loads(await docker.good("image", "inspect", f"{registry.name}/web:oci"))[0]
        assert shown["RootFS"]["Layers"] == [digest(each) for each in layers]


async def test_platforms_and_digests(spawn_engine: SpawnEngine, registries: Registries, tmp_path: Path) -> None:
    docker = Docker(await spawn_engine())
    async with DebianRegistry(tmp_path / "r") as registry:
        to = repository(registries, registry.name, push=True)
        web, entries = f"{registry.name}/web", []
        for architecture in ("amd64", "arm64"):
            _, data = await put(to, architecture, [GREETING], architecture=architecture)
            platform = {"os": "linux", "architecture": architecture}
            entries.append(described(data, manifests.OCI) | {"platform": platform})
        index = json.dumps({"schemaVersion": 2, "mediaType": manifests.OCI_INDEX, "manifests": entries}).encode()
        listed = await to.put_manifest("1", index, manifests.OCI_INDEX)
        await put(to, "windows", [GREETING], os="windows")

        async def made_for(name: str) -> str:
            return await docker.good("image", "inspect", "--format", "{{.Architecture}}", name)

        for name in (f"{web}@{listed}", f"{web}:1@{listed}", f"{web}:1"):
            await docker.good("pull", name)
            assert await made_for(f"{web}@{listed}") == "amd64"
        await docker.good("pull", "--platform", "linux/arm64", f"{web}:1")
        assert await made_for(f"{web}:1") == "arm64"
        said = await docker.good("pull", f"{web}:arm64")
        assert f"WARNING: {web}:arm64 is an image for linux/arm64, not for linux/amd64" in said
        for refused, word in (
            ((f"{web}:windows",), 'operating system "windows" cannot be used'),
            (("--platform", "windows/amd64", f"{web}:1"), "no matching manifest for windows/amd64"),
            (("--platform", "linux/s390x", f"{web}:1"), "no matching manifest for linux/s390x"),
            ((f"{web}@{digest(b'none')}",), "not found"),
        ):
            told = await docker("pull", *refused)
            assert told.code == 1 and word in told.err, told


async def test_a_password_and_tls(
    place_engine: Callable[[], EngineProcess], spawn_engine: SpawnEngine, layers: list[bytes], tmp_path: Path
) -> None:
    """Pushed by one engine and pulled by another, both of which trust the test's own authority."""
    certificate, key = await make_certificate(tmp_path)
    one, two = Docker(place_engine()), Docker(place_engine())
    for each in (one, two):
        each.engine.environment["SSL_CERT_FILE"] = str(certificate)
        await each.engine.start()
    auth, known = with_password(tmp_path, "alice", "secret"), str(tmp_path / "docker")
    async with DebianRegistry(tmp_path / "r", auth, (certificate, key)) as registry:
        server = f"0.0.0.0:{registry.port}"  # leads to this host, and is no loopback address: it needs a certificate
        web, archive = f"{server}/web:1", tmp_path / "web.tar"
        archive.write_bytes(saved(layers, [web]))
        await one.good("load", "--input", str(archive))
        for refused in (await one("push", web), await two("pull", web)):
            assert refused.code == 1 and "repository does not exist or may require 'docker login'" in refused.err, refused
        code, said = await log_in(one, tmp_path, server, "secret")
        assert code == 0, said
        await one.good("--config", known, "push", web)
        await two.good("--config", known, "pull", web)
        id = ("image", "inspect", "--format", "{{.Id}}", web)
        assert await one.good(*id) == await two.good(*id)


class Guarded(Passing):
    """A registry behind a token server, in one place: a token is good for what it was asked for."""

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.name = ""
        self.given: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            who = "Basic " + base64.b64encode(b"alice:secret").decode()
            if request.headers.get("Authorization") != who:
                return web.json_response({"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}, status=401)
            self.given.append(request.query.get("scope", ""))
            return web.json_response({"token": base64.urlsafe_b64encode(self.given[-1].encode()).decode() or "nothing"})
        wanted = "pull,push" if request.method not in ("GET", "HEAD") else "pull"
        scope = "" if request.path == "/v2/" else f"repository:web:{wanted}"
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token or (scope and scope.removesuffix(",push") not in base64.urlsafe_b64decode(token).decode()):
            realm = f'Bearer realm="http://{self.name}/token",service="tests"' + (f',scope="{scope}"' if scope else "")
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        return await super().__call__(request)


async def test_a_token_server(spawn_engine: SpawnEngine, layers: list[bytes], tmp_path: Path) -> None:
    one, two = Docker(await spawn_engine()), Docker(await spawn_engine())
    async with DebianRegistry(tmp_path / "r") as registry, Server(guarded := Guarded(registry.name)) as server:
        guarded.name = server.name
        web, archive, known = f"{server.name}/web:1", tmp_path / "web.tar", str(tmp_path / "docker")
        archive.write_bytes(saved(layers[1:], [web]))
        await one.good("load", "--input", str(archive))
        denied = await one("push", web)
        assert denied.code == 1 and "incorrect username or password" in denied.err, denied
        code, said = await log_in(one, tmp_path, server.name, "secret")
        assert code == 0, said
        await one.good("--config", known, "push", web)
        await two.good("--config", known, "pull", web)
        assert "repository:web:pull,push" in guarded.given and "repository:web:pull" in guarded.given


async def test_a_mirror_stands_in_for_docker_io(
    spawn_engine: SpawnEngine, registries: Registries, layers: list[bytes], tmp_path: Path
) -> None:
    async with DebianRegistry(tmp_path / "r") as registry:
        name, _ = await put(repository(registries, registry.name, push=True, name="library/web"), "1", layers)
        docker = Docker(await spawn_engine("--registry-mirror", f"http://{registry.name}"))
        said = await docker("run", "--rm", "web:1", "cat", "/greeting")
        assert (said.code, said.out) == (0, "hello\n") and "1: Pulling from library/web" in said.err, said
        shown = json.loads(await docker.good("image", "inspect", "web:1"))[0]
        assert shown["RepoDigests"] == [f"web@{name}"]
