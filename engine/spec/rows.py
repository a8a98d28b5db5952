"""Records as the rows a screen shows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from engine.host import Freeze
from engine.model.container import NEVER, Container
from engine.model.image import Image
from engine.model.network import Endpoint, Network
from engine.model.run import Mark
from engine.model.settings import RestartPolicy
from engine.model.status import Status
from engine.model.world import ContainerRow, Freezer, ImageRow, JoinRow, LayerRow, NetworkRow, WireRow
from engine.spec.wiring import attachments, mode

LONGEST = 160
"""Characters of a text on a row: a row goes out with every step."""


def container_row(
    c: Container, freeze: Freeze | None, missing: tuple[str, ...] = (), probe_due: datetime | None = None
) -> ContainerRow:
    run = c.run if c.run and c.run.open else None
    health, layers, plugged = c.state.health, c.layers, next(iter(c.plugged), None)
    return ContainerRow(
        id=c.id,
        name=c.name,
        image=c.config.image,
        image_id=c.image,
        command=_cut(" ".join((c.path, *c.args))),
        status=c.status,
        created=c.created,
        exit_code=c.state.exit_code,
        pid=c.state.pid,
        started_at=None if c.state.started_at == NEVER else c.state.started_at,
        finished_at=None if c.state.finished_at == NEVER else c.state.finished_at,
        error=_cut(c.state.error),
        health=health.status if health else "",
        streak=health.failing_streak if health else 0,
        probes="".join("." if probe.exit_code == 0 else "x" for probe in health.log) if health else "",
        probe_due=probe_due if c.status.alive else None,
        policy=policy(c.host_config.restart_policy),
        restarts=c.restart_count,
        restart_at=c.restart_at,
        oom=c.state.oom_killed,
        manual=c.has_been_manually_stopped,
        terminal=c.config.tty,
        stdin=c.config.open_stdin,
        freezer=freezer(c, freeze),
        mount_id=layers.mount_id if layers else "",
        init_id=layers.init_id if layers else "",
        network=mode(c),
        address=f"{plugged.address}/{plugged.prefix}" if plugged else "",
        veth=plugged.veth if plugged else "",
        interface=plugged.interface if plugged else "",
        wires=tuple(map(wire_row, c.plugged)),
        joins=tuple(joins(c)),
        ports=tuple(map(str, c.ports)),
        held=c.held,
        missing=missing,
        verb=run.verb if run else "",
        step=run.rows[min(run.at, len(run.rows) - 1)].title if run else "",
        at=run.at if run else 0,
        of=len(run.rows) if run else 0,
        lesson=run.lesson if run else False,
    )


def policy(asked: RestartPolicy) -> str:
    """`on-failure:3`, as people write it; empty for none."""
    if asked.name in ("", "no"):
        return ""
    return f"{asked.name}:{asked.maximum_retry_count}" if asked.maximum_retry_count else asked.name


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def freezer(c: Container, freeze: Freeze | None) -> Freezer | None:
    """The kernel's word beside what was asked."""
    if freeze is None or not c.status.alive:
        return None
    rows, moving = (c.run.rows, c.run.open) if c.run else ((), False)
    ms = next((row.ms for row in rows if row.step == "Freeze" and row.mark in (Mark.DONE, Mark.UNDONE)), 0.0)
    return Freezer(
        kernel=freeze.kernel,
        # While an operation is on its way the kernel may be a moment ahead of the record.
        asked=freeze.kernel == "frozen" if moving else c.status is Status.PAUSED,
        self_frozen=freeze.self_frozen,
        parent_frozen=freeze.parent_frozen,
        ms=ms,
        since=freeze.since,
    )


def wire_row(e: Endpoint) -> WireRow:
    return WireRow(
        network=e.network,
        veth=e.veth,
        interface=e.interface,
        address=f"{e.address}/{e.prefix}",
        address6=f"{e.address6}/{e.prefix6}" if e.address6 else "",
    )


def joins(c: Container) -> Iterator[JoinRow]:
    """What it is on, and not plugged into."""
    there = {name for e in c.plugged for name in (e.network, e.network_id)}
    for network, asked in attachments(c).items():
        if network not in there:
            yield JoinRow(network=network, address=asked.ipv4, address6=asked.ipv6)


def image_row(image: Image) -> ImageRow:
    layers = tuple(LayerRow(id=layer.diff_id, size=layer.size, made_by=layer.created_by) for layer in image.layers)
    return ImageRow(
        id=image.id,
        tags=image.tags,
        size=image.size,
        created=image.created,
        layers=layers,
        digests=image.digests,
        parent=image.parent,
    )


def network_row(network: Network, *, up: bool, nat: bool) -> NetworkRow:
    run = network.run if network.run and network.run.open else None
    return NetworkRow(
        id=network.id,
        name=network.name,
        bridge=network.bridge,
        subnet=network.subnet,
        gateway=network.gateway,
        up=up,
        nat=nat,
        driver=network.driver,
        subnet6=network.ipv6.subnet if network.ipv6 else "",
        gateway6=network.ipv6.gateway if network.ipv6 else "",
        internal=network.internal,
        icc=network.icc,
        mtu=network.mtu,
        verb=run.verb if run else "",
        lesson=run.lesson if run else False,
    )
