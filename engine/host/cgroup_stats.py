"""What the controllers have counted of a container, both versions in one shape, as `docker stats` tells it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from engine.host.cgroup_files import number, optional, pairs, read
from engine.host.things import BlockIo, CgroupStats

TICK = 10**9 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds of one of the ticks in which /proc/stat and cpuacct.stat count."""

NO_LIMIT = (1 << 64) - 1
"""What `max` is told as."""

BLKIO = {
    "io_service_bytes_recursive": ("io_service_bytes_recursive", "throttle.io_service_bytes_recursive"),
    "io_serviced_recursive": ("io_serviced_recursive", "throttle.io_serviced_recursive"),
    "io_queue_recursive": ("io_queued_recursive",),
    "io_service_time_recursive": ("io_service_time_recursive",),
    "io_wait_time_recursive": ("io_wait_time_recursive",),
    "io_merged_recursive": ("io_merged_recursive",),
    "io_time_recursive": ("time_recursive",),
    "sectors_recursive": ("sectors_recursive",),
}
"""Docker's name, and the files that may have it: of the CFQ scheduler while kernels had it, else of the throttle."""

_BLOCK = re.compile(r"^(\d+):(\d+) (?:(\w+) )?(\d+)$", re.MULTILINE)


def stats_v1(where: Callable[[str], str], host_memory: int) -> CgroupStats:
    """`where` answers with a controller's directory (Documentation/admin-guide/cgroup-v1/)."""
    cpuacct, memory, blkio = where("cpuacct"), where("memory"), where("blkio")
    ticks = pairs(optional(cpuacct, "cpuacct.stat"))
    throttling = pairs(optional(where("cpu"), "cpu.stat"))
    host_cpu, cpus = _host()
    return CgroupStats(
        cpu=number(optional(cpuacct, "cpuacct.usage")),
        cpu_user=ticks.get("user", 0) * TICK,
        cpu_kernel=ticks.get("system", 0) * TICK,
        per_cpu=tuple(map(int, optional(cpuacct, "cpuacct.usage_percpu").split())),
        host_cpu=host_cpu,
        cpus=cpus,
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled=throttling.get("throttled_time", 0),
        memory=number(optional(memory, "memory.usage_in_bytes")),
        memory_max=number(optional(memory, "memory.max_usage_in_bytes")),
        memory_limit=_limit(optional(memory, "memory.limit_in_bytes"), host_memory),
        memory_failures=number(optional(memory, "memory.failcnt")),
        memory_stat=pairs(optional(memory, "memory.stat")),
        pids=number(optional(where("pids"), "pids.current")),
        pids_limit=number(optional(where("pids"), "pids.max")),
        blkio={name: _first(blkio, files) for name, files in BLKIO.items()},
    )


def stats_v2(where: str, host_memory: int) -> CgroupStats:
    """Documentation/admin-guide/cgroup-v2.rst."""
    cpu, most = pairs(optional(where, "cpu.stat")), optional(where, "pids.max")
    host_cpu, cpus = _host()
    return CgroupStats(
        cpu=cpu.get("usage_usec", 0) * 1000,
        cpu_user=cpu.get("user_usec", 0) * 1000,
        cpu_kernel=cpu.get("system_usec", 0) * 1000,
        host_cpu=host_cpu,
        cpus=cpus,
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled=cpu.get("throttled_usec", 0) * 1000,
        memory=number(optional(where, "memory.current")),
        memory_limit=_limit(optional(where, "memory.max"), host_memory),
        memory_failures=pairs(optional(where, "memory.events")).get("oom", 0),
        memory_stat=pairs(optional(where, "memory.stat")),
        pids=number(optional(where, "pids.current")),
        pids_limit=NO_LIMIT if most == "max" else number(most),
        blkio={"io_service_bytes_recursive": tuple(_io_v2(optional(where, "io.stat")))},
    )


def _host() -> tuple[int, int]:
    """proc_stat(5): the first seven columns, user to softirq, without what a hypervisor took, as Docker has it; processors."""
    lines = [line.split() for line in read("/proc/stat").splitlines() if line.startswith("cpu")]
    return sum(map(int, lines[0][1:8])) * TICK, len(lines) - 1


def _limit(text: str, host_memory: int) -> int:
    return min(number(text), host_memory) if text.isdigit() else host_memory if text else 0


def _first(directory: str, files: tuple[str, ...]) -> tuple[BlockIo, ...]:
    """The first of the files that tells of any device."""
    for name in files:
        if found := tuple(_io_v1(optional(directory, f"blkio.{name}"))):
            return found
    return ()


def _io_v1(text: str) -> Iterator[BlockIo]:
    """`8:0 Read 4096`, or `8:0 4096`; the `Total 4096` of all devices is left out."""
    for major, minor, op, value in _BLOCK.findall(text):
        yield BlockIo(int(major), int(minor), op, int(value))


def _io_v2(text: str) -> Iterator[BlockIo]:
    """`8:0 rbytes=4096 wbytes=0 rios=1 ...`"""
    for line in text.splitlines():
        device, *fields = line.split()
        major, minor = map(int, device.split(":"))
        counted = dict(field.split("=") for field in fields)
        for op, key in (("read", "rbytes"), ("write", "wbytes")):
            yield BlockIo(major, minor, op, int(counted.get(key, 0)))
