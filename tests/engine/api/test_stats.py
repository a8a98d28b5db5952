"""`/containers/{name}/stats`: one answer or many, and the shape that Docker's clients read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from engine.api.stats import Reading, shown
from engine.host import CgroupStats, Traffic
from engine.host.things import BlockIo
from tests.engine.api.conftest import Served
from tests.engine.spec.made import ID, container

ZERO = "0001-01-01T00:00:00Z"
NO_CPU = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}

SHAPE = {
    "read": "2026-01-01T00:00:00Z",
    "preread": ZERO,
    "pids_stats": {"current": 3, "limit": 100},
    "blkio_stats": {
        "io_service_bytes_recursive": [{"major": 8, "minor": 0, "op": "Read", "value": 4096}],
        "io_serviced_recursive": None,
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": [],
        "sectors_recursive": None,
    },
    "num_procs": 0,
    "storage_stats": {},
    "cpu_stats": {
        "cpu_usage": {
            "total_usage": 300,
            "percpu_usage": (100, 200),
            "usage_in_kernelmode": 100,
            "usage_in_usermode": 200,
        },
        "system_cpu_usage": 5000,
        "online_cpus": 2,
        "throttling_data": {"periods": 7, "throttled_periods": 2, "throttled_time": 30},
    },
    "precpu_stats": NO_CPU,
    "memory_stats": {"usage": 8192, "max_usage": 9000, "stats": {"cache": 5}, "failcnt": 1, "limit": 1 << 20},
    "name": "/made",
    "id": ID,
    "networks": {
        "eth0": {
            "rx_packets": 1,
            "tx_packets": 2,
            "rx_bytes": 3,
            "tx_bytes": 4,
            "rx_errors": 0,
            "tx_errors": 0,
            "rx_dropped": 0,
            "tx_dropped": 0,
        }
    },
}
"""All that there is to tell of a running container."""


@pytest.fixture
async def counted(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A running container whose processor time rises with every look."""
    await served.create()
    await served.engine.do("start", "web")
    looks = iter(range(1, 1000))

    async def stats(id: str) -> CgroupStats:
        return CgroupStats(cpu=next(looks) * 1000, memory=4096, memory_limit=1 << 20)

    monkeypatch.setattr(served.engine.host.cgroups, "stats", stats)
    return served


async def stream(served: Served, count: int, query: str = "") -> list[Any]:
    async with asyncio.timeout(5), served.session.get(f"/containers/web/stats{query}") as response:
        assert response.status == 200
        return [msgspec.json.decode(await response.content.readline()) for _ in range(count)]


def used(sample: dict[str, Any], key: str = "cpu_stats") -> Any:
    return sample[key]["cpu_usage"]["total_usage"]


async def test_a_stream_compares_each_reading_with_the_one_before(counted: Served) -> None:
    for query in ("", "?stream=1", "?stream=true&one-shot=0"):
        first, second, third = await stream(counted, 3, query)
        assert (first["preread"], first["precpu_stats"]) == (ZERO, NO_CPU)
        assert used(second, "precpu_stats") == used(first) < used(second) == used(third, "precpu_stats")
        assert second["preread"] == first["read"] < second["read"]


async def test_a_single_answer_waits_for_a_second_reading(counted: Served) -> None:
    answer = await counted.ask("GET", "/containers/web/stats?stream=0")
    (sample,) = map(msgspec.json.decode, answer.data.splitlines())
    assert answer.headers["Content-Type"].startswith("application/json")
    assert 0 < used(sample, "precpu_stats") < used(sample)


async def test_one_shot_does_not_wait(counted: Served) -> None:
    sample = await counted.get("/containers/web/stats?stream=0&one-shot=1")
    assert (used(sample), sample["precpu_stats"]) == (1000, NO_CPU)
    refused = await counted.ask("GET", "/containers/web/stats?one-shot=1")
    assert refused.status == 400 and b"cannot have stream=true and one-shot=true" in refused.data
    before_there_was_one = await counted.get("/v1.40/containers/web/stats?stream=0&one-shot=1")
    assert used(before_there_was_one, "precpu_stats") > 0


async def test_what_does_not_run_has_nothing_but_its_name(served: Served) -> None:
    id = await served.create()
    sample = await served.get("/containers/web/stats?stream=0")
    assert (sample["name"], sample["id"], sample["read"], sample["preread"]) == ("/web", id, ZERO, ZERO)
    assert (sample["cpu_stats"], sample["memory_stats"], sample["pids_stats"]) == (NO_CPU, {}, {})
    assert "networks" not in sample
    assert [each["read"] for each in await stream(served, 3)] == [ZERO] * 3


async def test_a_stream_ends_with_the_container(counted: Served) -> None:
    async with asyncio.timeout(5), counted.session.get("/containers/web/stats") as response:
        await response.content.readline()
        await counted.engine.do("remove", "web", {"force": True})
        lines = [msgspec.json.decode(line) async for line in response.content]
    assert not lines or lines[-1]["id"]


async def test_there_must_be_such_a_container(served: Served) -> None:
    assert (await served.ask("GET", "/containers/nobody/stats")).status == 404


def test_the_whole_shape_of_a_reading() -> None:
    stats = CgroupStats(
        cpu=300,
        cpu_user=200,
        cpu_kernel=100,
        per_cpu=(100, 200),
        host_cpu=5000,
        cpus=2,
        periods=7,
        throttled_periods=2,
        throttled=30,
        memory=8192,
        memory_max=9000,
        memory_limit=1 << 20,
        memory_failures=1,
        memory_stat={"cache": 5},
        pids=3,
        pids_limit=100,
        blkio={"io_service_bytes_recursive": (BlockIo(8, 0, "Read", 4096),), "io_time_recursive": ()},
    )
    now = Reading(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        stats=stats,
        networks={"eth0": Traffic(rx_packets=1, tx_packets=2, rx_bytes=3, tx_bytes=4)},
    )
    assert shown(container(), now) == SHAPE
