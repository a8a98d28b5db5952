"""Debian's docker-registry as a child of a test: plain, with a password, with TLS; and a place to listen in between."""

from __future__ import annotations

import asyncio
import os
import socket
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from engine.host.netns import inside

UNPACKED = Path(__file__).parents[1] / "build/docker-registry/usr/bin/docker-registry"
READY = 30.0

CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {here}/blobs}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"{tls}}}
{auth}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class DebianRegistry:
    """A registry in a directory. `auth`: YAML of its config; `certificate`: files of a certificate and its key."""

    namespace = ""
    """Path of the network namespace whose loopback it is at; empty: ours."""

    def __init__(self, directory: Path, auth: str = "", certificate: tuple[Path, Path] | None = None) -> None:
        self.directory, self.auth, self.certificate = directory, auth, certificate
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> DebianRegistry:
        assert UNPACKED.exists(), "there is no docker-registry: make test unpacks one below build/"
        self.directory.mkdir(parents=True, exist_ok=True)
        config, log = self.directory / "config.yml", self.directory / "log"
        tls = f", tls: {{certificate: {self.certificate[0]}, key: {self.certificate[1]}}}" if self.certificate else ""
        config.write_text(CONFIG.format(here=self.directory, port=self.port, tls=tls, auth=self.auth))
        with log.open("ab") as file:
            self.process = await asyncio.create_subprocess_exec(
                *(("nsenter", f"--net={self.namespace}") if self.namespace else ()),
                *(str(UNPACKED), "serve", str(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
        async with asyncio.timeout(READY):
            while not (inside(self.namespace, self._answers) if self.namespace else self._answers()):
                assert self.process.returncode is None, log.read_text()
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.process
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    def _answers(self) -> bool:
        with suppress(OSError), socket.socket() as probe:
            probe.connect(("127.0.0.1", self.port))
            return True
        return False


def with_password(directory: Path, user: str, password: str) -> str:
    """The `auth` of a registry that knows one person."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # gone in 3.13, as is Debian's python then
        import crypt

        hashed = crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "htpasswd"
    file.write_text(f"{user}:{hashed}\n")
    return f"auth: {{htpasswd: {{realm: test, path: {file}}}}}"


class Asked:
    """One request as a registry saw it."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.method, self.path, self.headers, self.body = request.method, request.path_qs, request.headers.copy(), body

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"


class Server:
    """An HTTP server of a test's own on loopback, which remembers what it was asked."""

    def __init__(self, handler: Any) -> None:
        self.asked: list[Asked] = []
        self._handler = handler
        self.name = ""

    async def __aenter__(self) -> Server:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert self._runner.addresses
        self.name = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request, await request.read()))
        answer: web.StreamResponse = await self._handler(request)
        return answer


async def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    child = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=longshore test", "-addext", "subjectAltName=IP:0.0.0.0,IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await child.wait() == 0, "openssl made no certificate"
    return certificate, key


class Front:
    """A handler before a registry: passes requests on, and answers for one blob by another handler."""

    def __init__(self, behind: str, digest: str, cutting: Any) -> None:
        self.behind, self.digest, self.cutting = behind, digest, cutting

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith(self.digest):
            answer: web.StreamResponse = await self.cutting(request)
            return answer
        url = f"http://{self.behind}{request.path_qs}"
        async with aiohttp.ClientSession() as session, session.request(request.method, url, headers=self._kept(request)) as got:
            return web.Response(status=got.status, body=await got.read(), headers={"Content-Type": got.headers["Content-Type"]})

    def _kept(self, request: web.Request) -> dict[str, str]:
        return {name: value for name, value in request.headers.items() if name == "Accept"}


class Passing:
    """A handler before a registry that passes everything on, and counts the bytes of blobs.

    `pause`: seconds before each piece of a body, for a line as slow as wanted.
    """

    def __init__(self, behind: str, pause: float = 0.0) -> None:
        self.behind, self.pause = behind, pause
        self.served: dict[str, int] = {}
        """Bytes by path."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        url = URL(f"http://{self.behind}{request.path_qs}", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name not in ("Authorization", "Transfer-Encoding")}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, headers=headers, data=await request.read()) as got,
        ):
            told = {name: value for name, value in got.headers.items() if name not in ("Date", "Transfer-Encoding")}
            answer = web.StreamResponse(status=got.status, headers=told)
            await answer.prepare(request)
            async for chunk in got.content.iter_any():
                await asyncio.sleep(self.pause)
                await answer.write(chunk)
                self.served[request.path] = self.served.get(request.path, 0) + len(chunk)
            return answer
