"""Rows, records, plans and worlds that tests of the screen start from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from engine.model.container import Container, Health, Probe, State
from engine.model.events import Actor, Message
from engine.model.frames import Sampled
from engine.model.interface import Top
from engine.model.run import StepView
from engine.model.settings import Config, Healthcheck, HostConfig, RestartPolicy
from engine.model.status import Status
from engine.model.world import (
    ContainerRow,
    EngineRow,
    Freezer,
    HostSample,
    ImageRow,
    LayerRow,
    NetworkRow,
    Sample,
    WireRow,
    World,
)

BEGAN = datetime(2026, 3, 1, 14, 1, 58, tzinfo=UTC)

IMAGE = ImageRow(
    id="sha256:" + "4" * 64,
    tags=("busybox:latest",),
    size=6_400_000,
    created=None,
    layers=(
        LayerRow(id="sha256:9a8b" + "0" * 60, size=2_200_000, made_by="/bin/sh -c #(nop) ADD file:rootfs.tar in / "),
        LayerRow(id="sha256:4133" + "0" * 60, size=4_200_000, made_by='CMD ["nginx"]'),
    ),
)

BRIDGE = NetworkRow(
    id="n" * 64, name="bridge", bridge="longshore0", subnet="10.84.0.0/16", gateway="10.84.0.1", up=True, nat=True
)
NO_NETWORK = NetworkRow(id="o" * 64, name="none")


BACKEND = NetworkRow(
    id="b" * 64, name="backend", bridge="br-bbbbbbbbbbbb", subnet="10.85.0.0/16", gateway="10.85.0.1", up=True, nat=True
)


def wire(network: str, id: str, address: str, interface: str = "eth0", address6: str = "") -> WireRow:
    """A cable of the container with this id."""
    veth = f"veth{id[:7]}" if network == "bridge" else f"veth{id[:7]}{network[:4]}"
    return WireRow(network=network, veth=veth, interface=interface, address=address, address6=address6)


def row(name: str, status: Status = Status.RUNNING, **changes: Any) -> ContainerRow:
    """A container, with what its status brings along."""
    id = changes.pop("id", None) or (name.encode().hex() + "0" * 64)[:64]
    alive = status.alive
    wired: dict[str, Any] = {}
    if alive:
        wired = {
            "pid": 4242,
            "started_at": datetime.now(UTC) - timedelta(hours=3, minutes=1),
            "freezer": Freezer(kernel="frozen" if status is Status.PAUSED else "thawed", asked=status is Status.PAUSED),
            "network": "bridge",
            "address": f"10.84.0.{len(name) + 1}",
            "veth": f"veth{id[:7]}",
            "interface": "eth0",
            "wires": (wire("bridge", id, f"10.84.0.{len(name) + 1}/16"),),
            "held": ("MountLayers", "PlugVeth"),
        }
    base: dict[str, Any] = {
        "id": id,
        "name": name,
        "image": "busybox:latest",
        "image_id": IMAGE.id,
        "command": "sleep 1d",
        "status": status,
        "created": datetime.now(UTC) - timedelta(days=2),
        "finished_at": datetime.now(UTC) - timedelta(minutes=5, seconds=30) if status is Status.EXITED else None,
        "mount_id": id[:8] + "f" * 56,
        "init_id": id[:8] + "f" * 56 + "-init",
    }
    return ContainerRow(**(base | wired | changes))


PROCESSES = Top(
    titles=("PID", "PPID", "USER", "STAT", "%CPU", "%MEM", "ELAPSED", "COMMAND"),
    processes=(
        ("4242", "4200", "root", "Ss", "0.0", "0.1", "03:01:10", "nginx: master process"),
        ("4260", "4242", "www", "S", "1.5", "0.3", "03:01:09", "nginx: worker process"),
        ("4261", "4242", "www", "R", "7.5", "0.2", "02:11", "nginx: cache manager"),
        ("4300", "4261", "www", "Z", "0.0", "0.0", "00:03", "[gzip] <defunct>"),
    ),
)


def probe(code: int = 0, output: str = "", *, second: int = 0, ms: int = 12) -> Probe:
    start = BEGAN + timedelta(seconds=second)
    return Probe(start=start, end=start + timedelta(milliseconds=ms), exit_code=code, output=output)


def record(row: ContainerRow, *probes: Probe, **changes: Any) -> Container:
    """The record that a row is made from."""
    policy, _, count = row.policy.partition(":")
    base: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "created": row.created,
        "path": row.command.split()[0],
        "args": tuple(row.command.split()[1:]),
        "config": Config(image=row.image, healthcheck=CHECK if row.health else None),
        "image": row.image_id,
        "host_config": HostConfig(restart_policy=RestartPolicy(name=policy, maximum_retry_count=int(count or 0))),
        "restart_at": row.restart_at,
        "restart_count": row.restarts,
        "state": State(
            status=row.status,
            pid=row.pid,
            exit_code=row.exit_code,
            error=row.error,
            health=Health(status=row.health, failing_streak=row.streak, log=probes) if row.health else None,
        ),
    }
    return Container(**(base | changes))


CHECK = Healthcheck(test=("CMD-SHELL", "wget -q localhost"), interval=5_000_000_000)


def message(action: str, row: ContainerRow, *, second: int = 0, **attributes: str) -> Message:
    time = int(BEGAN.timestamp()) + second
    told = attributes | {"name": row.name, "image": row.image}
    actor = Actor(id=row.id, attributes=told)
    return Message(type="container", action=action, actor=actor, scope="local", time=time, time_nano=time * 10**9)


def sample(id: str, **changes: Any) -> Sample:
    base: dict[str, Any] = {"cpu": 3.2, "memory": 128 << 20, "memory_limit": 512 << 20, "rx": 3100.0, "tx": 1200.0}
    return Sample(id=id, **(base | {"rw_size": 12_000, "changes": 3} | changes))


def small_world() -> World:
    rows = (
        row("web", image="nginx:1.27", health="healthy", probes="....."),
        row("db", Status.PAUSED, image="postgres:16", health="healthy"),
        row("job-17", Status.EXITED),
    )
    return World(
        containers={r.id: r for r in rows},
        images={IMAGE.id: IMAGE},
        networks={BRIDGE.id: BRIDGE, NO_NETWORK.id: NO_NETWORK},
        engine=EngineRow(version="0.1", containerd="1.6.20", cgroup="v1", cpus=2, memory=24 << 30),
        samples={rows[0].id: sample(rows[0].id)},
        host=HostSample(cpu=12.0, memory_used=3 << 30),
    )


STEPS = (
    StepView(
        title="Mount the layers as one file system",
        name="Mount the layers as one file system",
        lesson="Until now the layers were directories. `overlayfs` lays them\nover one another.\n\nThis is `/`.",
        shell=("mkdir /var/lib/longshore/overlay2/9f3c/merged", "mount -t overlay overlay -o lowerdir=/a:/b:/c /merged"),
        look=("findmnt -t overlay",),
        now="overlay on /var/lib/longshore/overlay2/9f3c/merged",
    ),
    StepView(
        title="Make a network namespace",
        name="Make a network namespace",
        lesson="A namespace is a view of its own.",
        shell=("ip netns add x",),
        look=("lsns -t net",),
        now="/run/longshore/netns/1b2c3d4e",
    ),
    StepView(
        title="Plug veth9f3c1a2 into longshore0",
        name="Plug the container into the bridge",
        lesson="A veth pair is a cable with two ends.",
        shell=("ip link add veth9f3c1a2 type veth peer name eth0",),
        look=("bridge link show dev veth9f3c1a2",),
        now="longshore0: veth9f3c1a2 forwarding",
    ),
    StepView(
        title="Start sleep 1d", name="Start the process", lesson="`execve`, nothing more.", now="pid 4242 running", final=True
    ),
)


def sampled(*samples: Sample, cpu: float = 12.0, memory: int = 3 << 30) -> Sampled:
    return Sampled(samples=samples, host=HostSample(cpu=cpu, memory_used=memory))
