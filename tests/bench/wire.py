"""The Docker Engine API over a Unix socket, as plainly as it goes: the same client for both engines."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import shutil
import socket
import tarfile
from typing import Any

IMAGE = "bench:latest"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """One kept connection to an engine."""

    def __init__(self, path: str) -> None:
        self._connection = _Connection(path)

    def ask(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> Any:
        """The decoded answer, None where it is no JSON. `body`: an object, or an archive.

        Raises `RuntimeError` with the engine's message for what is no success.
        """
        headers = {"Content-Type": "application/x-tar" if isinstance(body, bytes) else "application/json"} if body else {}
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said.decode(errors='replace').strip()}")
        return None if isinstance(body, bytes) or not said.strip() else json.loads(said)

    def ping(self) -> None:
        self._connection.request("GET", "/_ping")
        self._connection.getresponse().read()

    def close(self) -> None:
        self._connection.close()


def take_over(path: str, url: str, body: dict[str, Any] | None = None) -> socket.socket:
    """POST, and the connection is no HTTP any more: what is sent is a process's input, what is received its output.

    Raises `RuntimeError` with the engine's answer where it is no success.
    """
    data = json.dumps(body or {}).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(path)
    head = f"POST {url} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows is the process's
        byte = connection.recv(1)
        if not byte:
            raise RuntimeError(f"POST {url}: the connection broke after {answer!r}")
        answer += byte
    if int(answer.split()[1]) not in (101, 200):
        raise RuntimeError(f"POST {url}: {answer!r} {connection.recv(4096)!r}")
    return connection


def image() -> bytes:
    """A `docker save` archive with one layer: the host's static busybox. Raises `FileNotFoundError` without one."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("there is no busybox on this host; install busybox-static")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "sleep", "true", "cat", "yes", "timeout"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        parts = {"layer.tar": layer.getvalue(), "config.json": json.dumps(config).encode()}
        for name, data in {**parts, "manifest.json": json.dumps(manifest).encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()
