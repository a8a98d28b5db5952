"""The controllers' files of both versions, as kernels write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.host.cgroup_stats import NO_LIMIT, TICK, stats_v1, stats_v2
from engine.host.things import BlockIo, CgroupStats

V2 = {
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 7\nnr_throttled 2\nthrottled_usec 30\n",
    "memory.current": "8192\n",
    "memory.max": "max\n",
    "memory.events": "low 0\nhigh 0\nmax 5\noom 3\noom_kill 1\n",
    "memory.stat": "anon 4096\nfile 4096\ninactive_file 1024\n",
    "pids.current": "4\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=0 dios=0\n253:1 \n",
}
V1 = {
    "cpuacct.usage": "1500\n",
    "cpuacct.stat": "user 3\nsystem 2\n",
    "cpuacct.usage_percpu": "1000 500 \n",
    "cpu.stat": "nr_periods 7\nnr_throttled 2\nthrottled_time 30\n",
    "memory.usage_in_bytes": "8192\n",
    "memory.max_usage_in_bytes": "16384\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.failcnt": "5\n",
    "memory.stat": "cache 4096\ntotal_inactive_file 1024\n",
    "pids.current": "4\n",
    "pids.max": "max\n",
    "blkio.io_service_bytes_recursive": "Total 0\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\nTotal 4608\n",
    "blkio.time_recursive": "8:0 77\n",
}


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.host.cgroup_stats._host", lambda: (9000, 2))


def written(directory: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (directory / name).write_text(text)
    return str(directory)


def test_v2(tmp_path: Path) -> None:
    assert stats_v2(written(tmp_path, V2), 1 << 20) == CgroupStats(
        cpu=1_500_000,
        cpu_user=1_000_000,
        cpu_kernel=500_000,
        host_cpu=9000,
        cpus=2,
        periods=7,
        throttled_periods=2,
        throttled=30_000,
        memory=8192,
        memory_limit=1 << 20,
        memory_failures=3,
        memory_stat={"anon": 4096, "file": 4096, "inactive_file": 1024},
        pids=4,
        pids_limit=NO_LIMIT,
        blkio={
            "io_service_bytes_recursive": (
                BlockIo(8, 0, "read", 4096),
                BlockIo(8, 0, "write", 512),
                BlockIo(253, 1, "read", 0),
                BlockIo(253, 1, "write", 0),
            )
        },
    )


def test_v1(tmp_path: Path) -> None:
    where = written(tmp_path, V1)
    stats = stats_v1(lambda controller: where, 1 << 20)
    assert (stats.cpu, stats.cpu_user, stats.cpu_kernel, stats.per_cpu) == (1500, 3 * TICK, 2 * TICK, (1000, 500))
    assert (stats.periods, stats.throttled_periods, stats.throttled) == (7, 2, 30)
    assert (stats.memory, stats.memory_max, stats.memory_limit, stats.memory_failures) == (8192, 16384, 1 << 20, 5)
    assert stats.memory_stat == {"cache": 4096, "total_inactive_file": 1024}
    assert (stats.pids, stats.pids_limit) == (4, 0)
    # The file of CFQ has nothing to tell: the throttle's is taken.
    total = (BlockIo(8, 0, "Read", 4096), BlockIo(8, 0, "Write", 512), BlockIo(8, 0, "Total", 4608))
    assert stats.blkio["io_service_bytes_recursive"] == total
    assert stats.blkio["io_time_recursive"] == (BlockIo(8, 0, "", 77),)
    assert stats.blkio["sectors_recursive"] == ()


def test_no_controllers(tmp_path: Path) -> None:
    empty = CgroupStats(host_cpu=9000, cpus=2, blkio={"io_service_bytes_recursive": ()})
    assert stats_v2(str(tmp_path), 1 << 20) == empty
    v1 = stats_v1(lambda controller: str(tmp_path / controller), 1 << 20)
    assert (v1.cpu, v1.memory, v1.memory_limit, v1.pids, v1.memory_stat, set(v1.blkio.values())) == (0, 0, 0, 0, {}, {()})


def test_a_limit_above_the_hosts_memory_is_the_hosts_memory(tmp_path: Path) -> None:
    assert stats_v2(written(tmp_path, {"memory.max": "4096"}), 1 << 20).memory_limit == 4096
    assert stats_v2(written(tmp_path, {"memory.max": str(1 << 30)}), 1 << 20).memory_limit == 1 << 20
