"""What this host is: read once when the engine starts, handed on as plain data."""

from __future__ import annotations

import os
import platform
import re
import socket
from typing import Final

from msgspec.structs import replace

from engine.host import Facts
from engine.host.cgroup_files import ROOT, hierarchies
from engine.host.threads import short
from engine.host.tools import ask, find
from engine.spec import capabilities

GO_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "i686": "386",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}
"""Go's GOARCH for uname(2)'s machine, which images and runc use."""

PING_SYSCTLS = ("/proc/sys/net/ipv4/ping_group_range", "/proc/sys/net/ipv4/ip_unprivileged_port_start")


async def read_facts(given: Facts, cgroup_root: str = ROOT) -> Facts:
    """Complete what was `given` (the engine's own paths and names) with what the host says.

    Raises `HostFailed` where cgroups or /proc cannot be read. A program that is missing has the version "": `preflight`
    tells of it.
    """
    return replace(
        await short(_from_kernel, given, cgroup_root),
        containerd_version=await version_of("containerd"),
        runc_version=await version_of("runc"),
    )


def cgroup_version(root: str = ROOT) -> int:
    """2 where cgroup2 is mounted on the root itself, else 1. (A bare cgroup2 at `unified` beside v1 is still 1.)"""
    return 2 if os.path.exists(os.path.join(root, "cgroup.controllers")) else 1


def cgroup2_mount() -> str:
    """Where a cgroup2 is mounted, on the root or beside v1; empty when nowhere (proc_pid_mountinfo(5))."""
    with open("/proc/self/mountinfo") as file:
        for line in file:
            mount, _, source = line.partition(" - ")
            if source.split()[0] == "cgroup2":
                return mount.split()[4]
    return ""


def decode_capabilities(bits: int) -> tuple[str, ...]:
    """Names of a capability mask's bits. A bit newer than our list is left out: runc would not know it either."""
    return tuple(name for bit, name in enumerate(capabilities.ALL) if bits >> bit & 1)


def _from_kernel(given: Facts, cgroup_root: str) -> Facts:
    release = platform.release()
    version = cgroup_version(cgroup_root)
    return replace(
        given,
        architecture=GO_ARCHITECTURES.get(platform.machine(), platform.machine()),
        kernel=_kernel(release),
        kernel_release=release,
        cgroup_version=version,
        controllers=_controllers_v2(cgroup_root) if version == 2 else _controllers_v1(cgroup_root),
        capabilities=decode_capabilities(_bounding_set()),
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        hostname=socket.gethostname(),
        ping_group_range=all(map(os.path.exists, PING_SYSCTLS)),
    )


def _kernel(release: str) -> tuple[int, int]:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _controllers_v1(root: str) -> frozenset[str]:
    """Mounted v1 controllers (a bare cgroup2 and systemd's named hierarchy limit nothing)."""
    mounted = hierarchies(root)
    found = set(mounted) - {"unified", "systemd"}
    if "memory" in mounted and os.path.exists(os.path.join(mounted["memory"], "memory.memsw.limit_in_bytes")):
        found.add("swap")
    return frozenset(found)


def _controllers_v2(root: str) -> frozenset[str]:
    """Controllers a child of the root can get. Swap is counted unless the kernel was told `swapaccount=0`.

    The root cgroup has no `memory.swap.max`, so a child's file is the only sign; without a child it is taken for granted.
    """
    with open(os.path.join(root, "cgroup.controllers")) as file:
        found = set(file.read().split())
    found |= {"freezer"}  # part of the core in v2
    if "memory" in found:
        with os.scandir(root) as entries:
            children = [entry.path for entry in entries if entry.is_dir() and os.path.exists(f"{entry.path}/memory.max")]
        if not children or any(os.path.exists(f"{child}/memory.swap.max") for child in children):
            found.add("swap")
    return frozenset(found)


def _bounding_set() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd:"))


async def version_of(program: str) -> str:
    """The program's own version, `1.6.20~ds1` or `1.1.5+ds1`; empty when it is not installed."""
    if find(program) is None:
        return ""
    _, out, _ = await ask(program, "--version")
    found = re.search(r"\bv?(\d+\.\d+\S*)", out)
    return found[1] if found else ""
