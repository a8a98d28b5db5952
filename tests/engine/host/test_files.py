"""A container's own directory."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.host import Facts
from engine.host.files import DiskFiles
from engine.model.container import Container
from engine.model.network import Endpoint
from engine.model.settings import Config

ID = "ab" * 32
ENDPOINT = Endpoint(
    network="bridge",
    network_id="n",
    endpoint_id="e",
    bridge="longshore0",
    veth="veth",
    interface="eth0",
    address="10.88.0.2",
    prefix=16,
    gateway="10.88.0.1",
    mac="02:42:0a:58:00:02",
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEB = Container(id=ID, name="web", created=NOW, path="sh", args=(), config=Config(hostname="web1"), endpoints=(ENDPOINT,))


@pytest.fixture
def files(tmp_path: Path) -> DiskFiles:
    return DiskFiles(Facts(root=str(tmp_path)))


async def test_the_settings_obey_the_step_laws(files: DiskFiles, tmp_path: Path) -> None:
    own = tmp_path / "containers" / ID
    assert await files.look(ID) is None
    await files.drop(ID)
    for data in (b'{"Memory":1}', b'{"Memory":2}'):
        await files.make(ID, data)
        assert await files.look(ID) == "checkpoints  hostconfig.json"
        assert (own / "hostconfig.json").read_bytes() == data
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (own, own / "checkpoints", own / "hostconfig.json")]
    assert modes == [0o710, 0o700, 0o600]
    (own / "config.v2.json").write_text("{}")
    (own / "checkpoints/one").mkdir()
    (own / f"{ID}-json.log").write_text("said")
    for _ in range(2):
        await files.drop(ID)
        assert await files.look(ID) is None
    assert os.listdir(own) == ["config.v2.json"]  # the record goes last, and by another hand


async def test_the_network_files_obey_the_step_laws(files: DiskFiles, tmp_path: Path) -> None:
    own = tmp_path / "containers" / ID
    await files.make(ID, b"{}")
    assert await files.look_network(ID) is None
    await files.drop_network(ID)
    for _ in range(2):
        await files.make_network(WEB)
        assert "hosts: 10.88.0.2\tweb1" in (await files.look_network(ID) or "")
    assert [stat.S_IMODE((own / name).stat().st_mode) for name in ("hostname", "hosts", "resolv.conf")] == [0o644] * 3
    for _ in range(2):
        await files.drop_network(ID)
        assert await files.look_network(ID) is None
    assert sorted(os.listdir(own)) == ["checkpoints", "hostconfig.json"]


async def test_a_resolv_conf_that_somebody_edits_is_theirs(files: DiskFiles, tmp_path: Path) -> None:
    path, named = tmp_path / "containers" / ID / "resolv.conf", replace(WEB, endpoints=(replace(ENDPOINT, network="front"),))
    await files.make(ID, b"{}")
    await files.make_network(WEB)
    await files.make_network(named)
    assert "127.0.0.11" in path.read_text()
    for edited in ("nameserver 192.0.2.9\n# \udcff", ""):
        await files.make_network(WEB)
        path.write_text(edited, errors="surrogateescape")
        await files.make_network(named)
        assert path.read_text(errors="surrogateescape") == edited
        await files.drop_network(ID)
        await files.make_network(named)
        assert "127.0.0.11" in path.read_text()


async def test_the_network_files_keep_their_inodes(files: DiskFiles, tmp_path: Path) -> None:
    """They may be bind-mounted, and a bind mount shows the inode."""
    own = tmp_path / "containers" / ID
    await files.make(ID, b"{}")
    await files.make_network(replace(WEB, config=Config(hostname="a-much-longer-name")))
    before = {name: (own / name).stat().st_ino for name in ("hostname", "hosts", "resolv.conf")}
    await files.make_network(WEB)
    assert {name: (own / name).stat().st_ino for name in before} == before
    assert (own / "hostname").read_text() == "web1\n"
