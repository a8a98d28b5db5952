"""Records as rows: small, whatever the record holds."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from engine.host import Freeze
from engine.model.container import Container, Health, Layers, Probe, State
from engine.model.network import Attachment, Endpoint
from engine.model.run import Row, Run
from engine.model.settings import Config
from engine.model.status import Status
from engine.model.world import ContainerRow, JoinRow
from engine.spec.rows import container_row
from tests.engine.spec.made import ID, container

HELD = (
    *(
        "MakeInitLayer",
        "MakeWritableLayer",
        "WriteSettings",
        "MountLayers",
        "MakeNetworkNamespace",
        f"PlugVeth/{ID[:12]}",
        f"GiveAddress/{ID[:12]}",
    ),
    *("WriteNetworkFiles", "ConnectOutput", "HandOverSpec", "CreateTask", "Freeze"),
)
ENDPOINT = Endpoint(
    network="bridge",
    network_id=ID,
    endpoint_id=ID,
    bridge="longshore0",
    veth=f"veth{ID[:7]}{ID[:4]}",
    interface="eth0",
    address="192.168.128.200",
    prefix=20,
    gateway="192.168.128.1",
    mac="02:42:c0:a8:80:c8",
)


def full() -> Container:
    """A container with everything a row can show, and more than it can hold."""
    c = container(Config(image="busybox", labels={f"label-{n}": "x" * 100 for n in range(50)}))
    probe = Probe(start=c.created, end=c.created, exit_code=1, output="y" * 4000)
    return replace(
        c,
        args=("-c", "echo " * 10_000),
        image=f"sha256:{ID}",
        state=State(
            status=Status.PAUSED,
            pid=4_000_000,
            exit_code=137,
            error="it went wrong " * 500,
            started_at=c.created,
            finished_at=c.created,
            health=Health(status="unhealthy", failing_streak=12, log=(probe,) * 5),
        ),
        layers=Layers(mount_id=ID, init_id=f"{ID}-init", lower=(ID,) * 100),
        endpoints=(ENDPOINT,),
        held=HELD,
        run=Run(verb="unpause", rows=(Row(step="Freeze", reverse=True, title="Thaw the processes"),), began=c.created),
    )


def test_a_row_stays_small() -> None:
    row = container_row(full(), Freeze(kernel="frozen", self_frozen=True, parent_frozen=False))
    data = msgspec.json.encode(row)
    assert len(data) < 1536 and row.command.endswith("…") and row.error.endswith("…")
    assert msgspec.json.decode(data, type=ContainerRow) == row


def test_a_common_row_is_under_a_kilobyte() -> None:
    c = full()
    common = replace(c, args=("1000",), run=None, state=State(status=Status.RUNNING, pid=4711, started_at=c.created))
    row = container_row(common, Freeze(kernel="thawed", self_frozen=False, parent_frozen=False))
    assert len(msgspec.json.encode(row)) < 1024


def test_a_row_tells_the_networks_that_the_container_is_on_without_a_cable() -> None:
    asked = {"bridge": Attachment(), "backend": Attachment(ipv4="10.85.0.7")}
    c = replace(full(), networks=asked)
    assert container_row(c, None).joins == (JoinRow(network="backend", address="10.85.0.7"),)
    assert [join.network for join in container_row(replace(c, held=()), None).joins] == ["bridge", "backend"]
