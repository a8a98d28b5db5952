"""Archives go between us and Debian's dockerd, both ways: the same ids, the same layers."""

import asyncio
import http.client
import secrets
import socket
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.host import Facts
from engine.host.images import ImageStore
from tests.bench.peer import UNPACKED, Dockerd, Namespace
from tests.bench.wire import Api
from tests.engine.host.archives import config, entry, saved, stream, tar

LAYERS = [
    tar(
        entry("etc/motd", b"hello", mode=0o644),
        entry("etc/again", type=tarfile.LNKTYPE, linkname="etc/motd"),
        entry("d/" * 70 + "deep", b"x" * 700, mode=0o4755, uid=5),
        entry("pipe", type=tarfile.FIFOTYPE),
    ),
    tar(entry("etc/.wh.motd"), entry("d/.wh..wh..opq"), entry("new", b"new")),
]
IMAGE = config(LAYERS, architecture="amd64", config={"Cmd": ["sh"]})


@pytest.fixture
async def dockerd() -> AsyncIterator[Dockerd]:
    assert UNPACKED.exists(), "there is no dockerd: make test unpacks one below build/"
    tag = secrets.token_hex(3)
    with Namespace(f"longshore-p{tag}") as namespace:
        peer = Dockerd(Path(tempfile.gettempdir(), f"longshore-pe{tag}"), namespace)
        try:
            await peer.start()
            yield peer
        finally:
            await peer.end()


def exported(path: str, name: str) -> bytes:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request("GET", f"/images/{name}/get")
    data = connection.getresponse().read()
    connection.close()
    return data


async def test_what_one_has_saved_the_other_loads(dockerd: Dockerd, tmp_path: Path) -> None:
    ours = ImageStore(Facts(root=str(tmp_path / "ours")))
    async for _ in ours.load(stream(saved(LAYERS, ["web:1"], image=IMAGE))):
        pass
    image = await ours.find("web:1")
    archive = b"".join([chunk async for chunk in ours.save([(image, image.tags)])])

    def through() -> tuple[dict[str, object], bytes]:
        api = Api(dockerd.socket)
        api.ask("POST", "/images/load?quiet=1", archive)
        there = api.ask("GET", "/images/web:1/json")
        api.close()
        return there, exported(dockerd.socket, "web:1")

    there, back = await asyncio.to_thread(through)
    assert there["Id"] == image.id
    assert there["RootFS"] == {"Type": "layers", "Layers": [layer.diff_id for layer in image.layers]}
    again = ImageStore(Facts(root=str(tmp_path / "again")))
    assert [line async for line in again.load(stream(back, 1 << 16))] == ["Loaded image: web:1"]
    returned = await again.find("web:1")
    assert returned.id == image.id and [layer.chain_id for layer in returned.layers] == [
        layer.chain_id for layer in image.layers
    ]
