"""Resource limits: which cannot be right, and which this kernel cannot keep.

A limit the kernel has no controller for is dropped, and a warning says so; the container runs without it.
"""

from __future__ import annotations

import resource

from msgspec.structs import replace

from engine.host import Facts
from engine.model.errors import Invalid
from engine.model.settings import HostConfig

LEAST_MEMORY = 6 * 1024 * 1024
"""Bytes; runc itself needs about that much in the container's cgroup."""
UNLIMITED = -1


def bad(field: str, value: object, why: str, remedy: str) -> Invalid:
    """A setting that cannot be right: which, what it says, why not, and what to do."""
    return Invalid(f"HostConfig.{field} {value!r} {why}", remedy)


def verify(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    """The limits that hold here. What had to be dropped is added to `warnings`. Raises `Invalid`."""
    for step in (_memory, _memory_details, _kernel_memory, _pids, _cpu, _cpuset, _blkio):
        hc = step(hc, facts, warnings)
    _ulimits(hc)
    return hc


def _drop(hc: HostConfig, warnings: list[str], why: str, **neutral: object) -> HostConfig:
    """Take the fields back to their neutral values, with one warning for all that were asked for."""
    asked = [field for field, value in neutral.items() if getattr(hc, field) != value]
    if asked:
        names = " and ".join(field.replace("_", " ") for field in asked)
        warnings.append(f"{names} discarded: {why}")
    return replace(hc, **neutral)


def _memory(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    if hc.memory and hc.memory < LEAST_MEMORY:
        raise bad("Memory", hc.memory, "is less than a container needs", f"give at least {LEAST_MEMORY} bytes")
    if hc.memory_swap < UNLIMITED:
        raise bad("MemorySwap", hc.memory_swap, "is no size", "give memory and swap together in bytes, or -1 for no limit")
    if hc.memory_swap > 0 and not hc.memory:
        raise bad("MemorySwap", hc.memory_swap, "is given without Memory", "give Memory too")
    if 0 < hc.memory_swap < hc.memory:
        raise bad("MemorySwap", hc.memory_swap, "is less than Memory", "it is memory and swap together: give at least Memory")
    if hc.memory_reservation and hc.memory_reservation < LEAST_MEMORY:
        raise bad("MemoryReservation", hc.memory_reservation, "is too small", f"give at least {LEAST_MEMORY} bytes")
    if 0 < hc.memory < hc.memory_reservation:
        raise bad("MemoryReservation", hc.memory_reservation, "is more than Memory", "give at most Memory")
    if "memory" not in facts.controllers:
        why = "the kernel has no memory controller for containers"
        hc = _drop(hc, warnings, why, memory=0, memory_reservation=0)
        return replace(hc, memory_swap=UNLIMITED if hc.memory_swap else 0)
    if hc.memory and "swap" not in facts.controllers and hc.memory_swap != UNLIMITED:
        warnings.append("memory is limited without swap: the kernel does not account for swap")
        return replace(hc, memory_swap=UNLIMITED)
    return hc


def _memory_details(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    if hc.memory_swappiness is not None and not 0 <= hc.memory_swappiness <= 100:
        raise bad("MemorySwappiness", hc.memory_swappiness, "is out of range", "give 0 to 100, or -1 for the host's")
    if "memory" not in facts.controllers or facts.cgroup_version == 2:
        why = "the kernel has no such switch for containers"
        hc = _drop(hc, warnings, why, memory_swappiness=None)
        return _drop(hc, warnings, why, oom_kill_disable=None) if hc.oom_kill_disable else replace(hc, oom_kill_disable=None)
    if hc.oom_kill_disable and not hc.memory:
        warnings.append("the OOM killer is off without a memory limit: the container can use up the host's memory")
    return hc


def _kernel_memory(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    # API 1.42 gave both up, and so did the kernel (cgroup-v1/memory.rst: kmem.limit_in_bytes is deprecated).
    why = "kernel memory is counted as memory; limit that"
    return _drop(hc, warnings, why, kernel_memory=0, kernel_memory_tcp=0)


def _pids(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    if "pids" not in facts.controllers:
        return _drop(hc, warnings, "the kernel has no pids controller for containers", pids_limit=None)
    return hc


def _cpu(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    if hc.nano_cpus and (hc.cpu_period or hc.cpu_quota):
        raise bad("NanoCpus", hc.nano_cpus, "cannot be given with CpuPeriod or CpuQuota", "leave one of them out")
    if not 0 <= hc.nano_cpus <= facts.cpus * 10**9:
        raise bad("NanoCpus", hc.nano_cpus, "is out of range", f"give at most {facts.cpus}e9: so many CPUs are here")
    if hc.cpu_period and not 1_000 <= hc.cpu_period <= 1_000_000:
        raise bad("CpuPeriod", hc.cpu_period, "is out of range", "give 1000 to 1000000 microseconds")
    if 0 < hc.cpu_quota < 1_000:
        raise bad("CpuQuota", hc.cpu_quota, "is too small", "give at least 1000 microseconds")
    if hc.cpu_shares < 0:
        raise bad("CpuShares", hc.cpu_shares, "is negative", "give 2 to 262144; 1024 is the default")
    hc = _drop(hc, warnings, "it exists on Windows only; use NanoCpus", cpu_percent=0)
    if "cpu" not in facts.controllers:
        why = "the kernel has no cpu controller for containers"
        return _drop(hc, warnings, why, cpu_shares=0, cpu_period=0, cpu_quota=0, nano_cpus=0)
    return hc


def _cpuset(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    cpus = parse_list("CpusetCpus", hc.cpuset_cpus)
    parse_list("CpusetMems", hc.cpuset_mems)
    if "cpuset" not in facts.controllers:
        return _drop(hc, warnings, "the kernel has no cpuset controller for containers", cpuset_cpus="", cpuset_mems="")
    if missing := sorted(cpu for cpu in cpus if cpu >= facts.cpus):
        raise bad("CpusetCpus", hc.cpuset_cpus, f"names CPU {missing[0]}", f"this host has CPUs 0 to {facts.cpus - 1}")
    return hc


LAST_ID = 8191
"""The highest CPU or node number a kernel is built for."""


def parse_list(field: str, text: str) -> frozenset[int]:
    """The numbers of a list such as `0-2,7` (cpuset(7), "List format"). Raises `Invalid`."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        low, high = _number(first), _number(last if dash else first)
        if low is None or high is None or low > high:
            raise bad(field, text, "is no list of numbers", "write it like 0-2,7")
        found.update(range(low, high + 1))
    return frozenset(found)


def _number(text: str) -> int | None:
    digits = text.isascii() and text.isdecimal() and len(text) <= 4
    return int(text) if digits and int(text) <= LAST_ID else None


def _blkio(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    if hc.blkio_weight and not 10 <= hc.blkio_weight <= 1000:
        raise bad("BlkioWeight", hc.blkio_weight, "is out of range", "give 10 to 1000, or 0 for the default")
    if "blkio.weight" not in facts.controllers:
        return _drop(hc, warnings, "the kernel has no I/O scheduler with weights", blkio_weight=0)
    return hc


RLIMITS = frozenset(name.removeprefix("RLIMIT_").lower() for name in dir(resource) if name.startswith("RLIMIT_")) | {"locks"}
"""`nofile`, `nproc` and so on (getrlimit(2))."""


def _ulimits(hc: HostConfig) -> None:
    for limit in hc.ulimits or ():
        if limit.name.lower() not in RLIMITS:
            raise bad("Ulimits", limit.name, "is no limit the kernel knows", "take a name from getrlimit(2), such as nofile")
        if min(limit.soft, limit.hard) < UNLIMITED or (limit.hard != UNLIMITED and not 0 <= limit.soft <= limit.hard):
            raise bad(
                "Ulimits",
                f"{limit.name}={limit.soft}:{limit.hard}",
                "has a soft limit above the hard one",
                "give soft at most hard; -1 is no limit",
            )
