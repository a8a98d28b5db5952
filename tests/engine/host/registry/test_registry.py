"""The port on Debian's docker-registry: in and out again, with and without a password, and with a token server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from engine.host.distribution import Credentials, OtherPlatform, Platform
from engine.host.registry import Registries
from engine.host.registry import manifest as manifests
from engine.model.errors import Invalid, NotFound, Unauthorized, Unavailable
from engine.spec import references
from tests.engine.host.archives import digest
from tests.engine.host.registry.kit import LAYER, LINUX, described, fetched, opened, put, repository, sending
from tests.registries import DebianRegistry, Server, free_port, with_password

ALICE = Credentials(username="alice", password="secret:ü")


async def test_in_and_out_again(debian: DebianRegistry, registries: Registries) -> None:
    to = repository(registries, debian.name, push=True)
    name, _ = await put(to, "1", [LAYER, LAYER[::-1]])
    from_ = repository(registries, debian.name)
    manifest = await from_.manifest("1", LINUX)
    assert manifest.digest == name == (await from_.manifest(name, LINUX)).digest
    assert [layer.digest for layer in manifest.layers] == [digest(LAYER), digest(LAYER[::-1])]
    assert json.loads(await from_.config(manifest.config))["rootfs"]["diff_ids"][0] == digest(LAYER)
    assert await fetched(from_, LAYER) == LAYER
    assert await from_.tags() == ("1",)
    found = await from_.has(digest(LAYER))
    assert found and found.size == len(LAYER)
    assert await from_.has(digest(b"other")) is None
    with pytest.raises(NotFound, match="manifest unknown"):
        await from_.manifest("2", LINUX)
    with pytest.raises(NotFound, match="blob unknown"):
        await fetched(from_, b"other")


async def test_a_blob_of_another_repository_is_mounted(debian: DebianRegistry, registries: Registries) -> None:
    await put(repository(registries, debian.name, push=True), "1", [LAYER])
    other = repository(registries, debian.name, push=True, name="other")
    assert await other.has(digest(LAYER)) is None
    found = await other.mount(digest(LAYER), "web")
    assert found and found.size == len(LAYER) and await other.has(digest(LAYER))
    assert await other.mount(digest(b"unknown"), "web") is None


async def test_a_manifest_list_is_chosen_from_by_platform(debian: DebianRegistry, registries: Registries) -> None:
    to = repository(registries, debian.name, push=True)
    offered = [("amd64", ""), ("arm", "v5"), ("arm", "v7"), ("arm64", "v8"), ("unknown", "")]
    made, entries = {}, []
    for architecture, variant in offered:
        name, data = await put(to, f"{architecture}{variant}", [LAYER], architecture=architecture, comment=variant)
        made[architecture, variant] = json.loads(data)["config"]["digest"]
        platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
        entries.append(described(data, manifests.OCI) | {"platform": platform})
        assert entries[-1]["digest"] == name
    for kind, tag in ((manifests.OCI_INDEX, "index"), (manifests.DOCKER_LIST, "list")):
        listed = [each | {"mediaType": manifests.OCI if kind == manifests.OCI_INDEX else manifests.DOCKER} for each in entries]
        index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": listed}).encode()
        name = await to.put_manifest(tag, index, kind)
        fits = {"amd64": ("amd64", ""), "arm/v6": ("arm", "v5"), "arm": ("arm", "v7"), "arm64": ("arm64", "v8")}
        for asked, got in fits.items():
            found = await to.manifest(tag, Platform("linux", *asked.split("/")))
            assert found.config.digest == made[got] and found.digest == name, asked
        with pytest.raises(OtherPlatform, match="no matching manifest for linux/s390x"):
            await to.manifest(tag, Platform("linux", "s390x"))


async def test_a_password(tmp_path: Path, registries: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    async with DebianRegistry(tmp_path / "r", with_password(tmp_path, "alice", ALICE.password)) as registry:
        await registries.login(registry.name, ALICE)
        await put(repository(registries, registry.name, push=True, who=ALICE), "1", [LAYER])
        assert await fetched(repository(registries, registry.name, who=ALICE), LAYER) == LAYER
        wrong = Credentials(username="alice", password="wrong")
        for who in (wrong, Credentials()):
            with pytest.raises(Unauthorized):
                await repository(registries, registry.name, who=who).manifest("1", LINUX)
        with pytest.raises(Unauthorized, match=r"login attempt to .* failed"):
            await registries.login(registry.name, wrong)

        # Without a word about it the engine's own login holds.
        kept = base64.b64encode(f"alice:{ALICE.password}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.name: {"auth": kept}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        own = registries.repository(references.parse(f"{registry.name}/web:1"), None)
        assert await fetched(own, LAYER) == LAYER


class Tokens:
    """A registry behind a token server: both in one place, with tokens that last for a few requests only."""

    def __init__(self, uses: int) -> None:
        self.uses, self.left, self.number = uses, 0, 0
        self.name = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            given = request.headers.get("Authorization", "")
            if given != "Basic " + base64.b64encode(f"alice:{ALICE.password}".encode()).decode():
                return web.json_response({"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}, status=401)
            self.number += 1
            self.left = self.uses
            return web.json_response({"token": f"t{self.number}", "expires_in": 300})
        if request.headers.get("Authorization") != f"Bearer t{self.number}" or not self.left:
            realm = f'Bearer realm="http://{self.name}/token",service="test, quoted",scope="repository:web:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        self.left -= 1
        if request.path == "/v2/":
            return web.json_response({})
        return web.Response(body=LAYER)


async def test_tokens_are_asked_for_and_renewed(registries: Registries) -> None:
    tokens = Tokens(uses=2)
    async with Server(tokens) as server:
        tokens.name = server.name
        from_ = repository(registries, server.name, who=ALICE)
        for _ in range(5):
            assert await fetched(from_, LAYER) == LAYER
        asked = [each for each in server.asked if each.path.startswith("/token")]
        assert len(asked) == 3
        query = URL(asked[0].path).query
        assert query["scope"] == "repository:web:pull" and query["service"] == "test, quoted"
        with pytest.raises(Unauthorized, match="incorrect username or password"):
            await repository(registries, server.name, who=Credentials(username="eve", password="x")).manifest("1", LINUX)


async def test_an_identity_token_is_exchanged(registries: Registries) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            form = await request.post()
            assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "long-lived")
            return web.json_response({"access_token": "short-lived"})
        if request.headers.get("Authorization") != "Bearer short-lived":
            realm = f'Bearer realm="http://{server.name}/token",service="s"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        return web.Response(body=LAYER)

    async with Server(serve) as server:
        who = Credentials(identity_token="long-lived")
        assert await fetched(repository(registries, server.name, who=who), LAYER) == LAYER


async def test_no_login_goes_to_another_host(registries: Registries) -> None:
    async def store(request: web.Request) -> web.StreamResponse:
        return web.Response(body=LAYER)

    async def serve(request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        if request.path == "/v2/":
            return web.json_response({})
        raise web.HTTPTemporaryRedirect(f"http://{elsewhere.name}/blob")

    async with Server(store) as elsewhere, Server(serve) as server:
        assert await fetched(repository(registries, server.name, who=ALICE), LAYER) == LAYER
        assert [each.path for each in elsewhere.asked] == ["/blob"]
        assert "Authorization" not in elsewhere.asked[0].headers
        assert all("Authorization" in each.headers for each in server.asked[1:])


async def test_a_busy_registry_is_asked_again(registries: Registries) -> None:
    answers = iter([503, 429, 200, 200])

    async def serve(request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/":
            return web.json_response({})
        return web.Response(status=next(answers), body=json.dumps({"tags": ["a"]}))

    async with Server(serve) as server:
        assert await repository(registries, server.name).tags() == ("a",)
        assert len(server.asked) == 4


@pytest.fixture
async def mirrored(tmp_path: Path) -> AsyncIterator[tuple[Server, Registries]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/v2/"):
            return web.json_response({})
        return web.Response(body=LAYER)

    async with Server(serve) as server:
        dead = f"http://127.0.0.1:{free_port()}"
        port = opened(tmp_path / "root", mirrors=(dead, f"http://{server.name}"))
        yield server, port
        await port.close()


async def test_a_mirror_is_asked_before_docker_io(mirrored: tuple[Server, Registries]) -> None:
    server, port = mirrored
    assert await fetched(port.repository(references.parse("busybox"), ALICE), LAYER) == LAYER
    assert server.asked[-1].path == f"/v2/library/busybox/blobs/{digest(LAYER)}"
    assert not any("Authorization" in each.headers for each in server.asked), "the login is docker.io's"


async def test_a_proxy_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        return web.Response(body=json.dumps({"tags": ["a"]}))

    async with Server(serve) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:word@{proxy.name}")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
        port = opened(tmp_path, insecure=("192.0.2.0/24",))
        assert await repository(port, "192.0.2.1").tags() == ("a",)
        assert proxy.asked[-1].headers["Host"] == "192.0.2.1"
        assert proxy.asked[-1].headers["Proxy-Authorization"] == "Basic bWU6d29yZA=="
        await port.close()


async def test_a_proxy_for_tls_is_told_and_the_registry_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://me:word@127.0.0.1:{port}")
        registries = opened(tmp_path)
        monkeypatch.setattr("engine.host.registry.repository.BACKOFF", ())
        with pytest.raises(Unavailable, match="407") as refused:
            await repository(registries, "registry.invalid").tags()
        await registries.close()
    assert heads[0].startswith(b"CONNECT registry.invalid:443 ") and b"Proxy-Authorization: Basic bWU6d29yZA==" in heads[0]
    assert "word" not in str(refused.value)


async def test_nobody_there(registries: Registries) -> None:
    with pytest.raises(Unavailable, match="cannot go on with the registry"):
        await repository(registries, f"127.0.0.1:{free_port()}").manifest("1", LINUX)


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"<html>", manifests.OCI, "is not as it should be"),
        ({"schemaVersion": 1, "fsLayers": []}, "", "schema 1"),
        ({"schemaVersion": 2}, "application/vnd.cncf.helm+json", "it is no image: its media type is application/vnd.cncf.helm"),
        ({"schemaVersion": 2, "config": described(b"", "application/x-chart"), "layers": []}, manifests.OCI, "its config is"),
        (
            {"config": described(b"", manifests.OCI_CONFIG), "layers": [described(b"", "application/x-model")]},
            *(manifests.OCI, "of a kind that cannot be unpacked: application/x-model"),
        ),
        (
            {"config": described(b"", manifests.OCI_CONFIG), "layers": [described(b"", manifests.OCI_LAYER) | {"size": -1}]},
            *(manifests.OCI, "is said to be -1 bytes"),
        ),
        (
            {"config": described(b"", manifests.OCI_CONFIG) | {"digest": "sha256:../../etc"}, "layers": []},
            *(manifests.OCI, "no sha256 digest"),
        ),
    ],
)
async def test_what_is_no_image_is_refused(registries: Registries, body: Any, kind: str, told: str) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=data, content_type=kind or "application/json")

    async with Server(serve) as server:
        with pytest.raises(Invalid, match=told):
            await repository(registries, server.name).manifest("1", LINUX)


async def test_a_manifest_of_another_digest_is_refused(registries: Registries) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"{}", content_type=manifests.OCI)

    async with Server(serve) as server:
        with pytest.raises(Invalid, match="verification failed"):
            await repository(registries, server.name).manifest(digest(b"other"), LINUX)


async def test_an_upload_that_cannot_be_read_says_why(debian: DebianRegistry, registries: Registries) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LAYER
        raise Invalid("the layer cannot be read")

    to = repository(registries, debian.name, push=True)
    with pytest.raises(Invalid, match="the layer cannot be read"):
        await to.upload(broken, "")
    assert (await to.upload(sending(LAYER), "")).digest == digest(LAYER)
