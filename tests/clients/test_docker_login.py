"""`docker login` on our socket: a registry with a password, over plain HTTP and over TLS of a test's own authority."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.clients.test_docker import Docker
from tests.conftest import SpawnEngine
from tests.registries import DebianRegistry, make_certificate, with_password


async def log_in(docker: Docker, tmp_path: Path, server: str, password: str) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *docker.command("--config", str(tmp_path / "docker"), "login", "--username", "alice", "--password-stdin", server),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate(password.encode())
    assert child.returncode is not None
    return child.returncode, out.decode()


async def test_login(spawn_engine: SpawnEngine, tmp_path: Path) -> None:
    docker = Docker(await spawn_engine())
    async with DebianRegistry(tmp_path / "r", with_password(tmp_path, "alice", "secret")) as registry:
        code, said = await log_in(docker, tmp_path, registry.name, "wrong")
        assert code == 1 and "failed: " in said and "authentication required" in said, said
        code, said = await log_in(docker, tmp_path, registry.name, "secret")
        assert code == 0 and "Login Succeeded" in said, said
        assert registry.name in json.loads((tmp_path / "docker/config.json").read_text())["auths"]


async def test_certificates(place_engine: object, tmp_path: Path) -> None:
    assert callable(place_engine)
    certificate, key = await make_certificate(tmp_path)
    engine = place_engine()
    docker = Docker(engine)
    async with DebianRegistry(tmp_path / "r", with_password(tmp_path, "alice", "secret"), (certificate, key)) as registry:
        server = f"0.0.0.0:{registry.port}"  # leads to this host, and is no loopback address: it needs a certificate
        await engine.start()
        code, said = await log_in(docker, tmp_path, server, "secret")
        assert code == 1 and f"cannot trust the registry {server}" in said and "--insecure-registry" in said, said
        await engine.end()
        await engine.start("--insecure-registry", server)
        code, said = await log_in(docker, tmp_path, server, "secret")
        assert code == 0, said
        await engine.end()
        engine.environment["SSL_CERT_FILE"] = str(certificate)
        await engine.start()
        code, said = await log_in(docker, tmp_path, server, "secret")
        assert code == 0, said
