"""`/containers/{name}/stats`: what a container uses, once or every second (reference 4.13)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from aiohttp import web
from msgspec import Struct

from engine.api import wire
from engine.api.query import flag
from engine.api.reply import Routes, api_version, closing, engine_of, line, stream
from engine.core import Engine
from engine.host import CgroupStats, Traffic
from engine.model.container import NEVER, Container
from engine.model.errors import Invalid

SECONDS = 1.0
BLKIO = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


class Reading(Struct, frozen=True, kw_only=True):
    """One look at a container. All zero and empty: it does not run."""

    at: datetime = NEVER
    stats: CgroupStats = CgroupStats()
    networks: dict[str, Traffic] = {}


NOTHING = Reading()


async def look(engine: Engine, c: Container) -> Reading:
    """What the kernel has counted by now."""
    stats = await engine.host.cgroups.stats(c.id) if c.state.status.alive else None
    if stats is None:
        return NOTHING
    networks = {e.interface: traffic for e in c.plugged if (traffic := await engine.host.links.traffic(e))}
    return Reading(at=engine.host.clock.now(), stats=stats, networks=networks)


async def readings(engine: Engine, id: str) -> AsyncIterator[tuple[Container, Reading]]:
    """One a second, from now until the container is removed."""
    while c := engine.ledger.get(id):
        yield c, await look(engine, c)
        await engine.host.clock.sleep(SECONDS)


def shown(c: Container, now: Reading, before: Reading = NOTHING) -> dict[str, Any]:
    """A reading as Docker's clients read it; `before`: the one its processor time is to be compared with."""
    stats = now.stats
    blkio = {name: [_plain(entry) for entry in stats.blkio[name]] if name in stats.blkio else None for name in BLKIO}
    memory = {
        "usage": stats.memory,
        "max_usage": stats.memory_max,
        "stats": stats.memory_stat,
        "failcnt": stats.memory_failures,
        "limit": stats.memory_limit,
    }
    networks = {name: _plain(traffic) for name, traffic in now.networks.items()}
    return {
        "read": wire.go_time(now.at),
        "preread": wire.go_time(before.at),
        "pids_stats": wire.filled({"current": stats.pids, "limit": stats.pids_limit}),
        "blkio_stats": blkio,
        "num_procs": 0,  # counted on Windows only, as is the next
        "storage_stats": {},
        "cpu_stats": _cpu(now),
        "precpu_stats": _cpu(before),
        "memory_stats": wire.filled(memory),
        "name": f"/{c.name}",
        "id": c.id,
        **wire.filled({"networks": networks}),
    }


def _cpu(reading: Reading) -> dict[str, Any]:
    stats = reading.stats
    usage = {"usage_in_kernelmode": stats.cpu_kernel, "usage_in_usermode": stats.cpu_user}
    throttling = {"periods": stats.periods, "throttled_periods": stats.throttled_periods, "throttled_time": stats.throttled}
    return {
        "cpu_usage": {"total_usage": stats.cpu, **wire.filled({"percpu_usage": stats.per_cpu}), **usage},
        **wire.filled({"system_cpu_usage": stats.host_cpu, "online_cpus": stats.cpus}),
        "throttling_data": throttling,
    }


def _plain(counted: Struct) -> dict[str, Any]:
    return {name: getattr(counted, name) for name in counted.__struct_fields__}


async def stats(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/stats"""
    engine = engine_of(request)
    endless = flag(request, "stream") if "stream" in request.query else True
    one_shot = api_version(request) >= (1, 41) and flag(request, "one-shot")
    if endless and one_shot:
        raise Invalid("cannot have stream=true and one-shot=true", "add stream=0")
    c, before = engine.resolve(request.match_info["name"]), NOTHING
    # Without a reading to compare with, a single answer would show no processor time: the first is kept for that.
    primed = endless or one_shot or not c.state.status.alive
    async with stream(request) as response, closing(readings(engine, c.id)) as looks:
        async for now_c, now in looks:
            if primed:
                await response.write(line(shown(now_c, now, before)))
                if not endless:
                    break
            primed, before = True, now
    return response


ROUTES: Routes = (("GET", "/containers/{name}/stats", stats),)
