"""The OCI runtime specification of a container (opencontainers/runtime-spec, config.md), with Docker's defaults.

What was not asked for is left out: an absent limit is no limit, and a host without that controller need not have it.
"""

from __future__ import annotations

from typing import Any

from engine.host import Facts, User
from engine.model.container import Container
from engine.model.settings import HostConfig
from engine.spec import capabilities, seccomp
from engine.spec.identity import hostname
from engine.spec.security import BUILTIN, UNCONFINED, security
from engine.spec.wiring import own_namespace

Object = dict[str, Any]

OCI_VERSION = "1.0.2"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHM_SIZE = 64 * 1024 * 1024
CPU_PERIOD = 100_000
"""Microseconds: the period NanoCpus are counted in."""
NO_LIMIT = 2**64 - 1
"""RLIM_INFINITY."""

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
"""Files about the host that no container needs: covered with nothing."""
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

MOUNTS: tuple[tuple[str, str, str, str], ...] = (
    ("/proc", "proc", "proc", "nosuid noexec nodev"),
    ("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"),
    ("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "ro nosuid noexec nodev"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
    ("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777"),
)
"""Destination, type, source, options; in this order."""

DEVICES = ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
"""zero, null, urandom, random, tty, console: all a container may open. runc makes the nodes."""
FUSE = (10, 229)


def build(c: Container, facts: Facts, user: User, root: str, netns: str, directory: str) -> Object:
    """The specification to hand to the runtime.

    `root`: the mounted union; `netns`: the network namespace's file, empty for the host's; `directory`: where `hostname`,
    `hosts` and `resolv.conf` of the container lie.
    """
    hc = c.host_config
    linux: Object = {
        "namespaces": _namespaces(hc, netns),
        "cgroupsPath": cgroups_path(c, facts),
        "resources": resources(hc),
        "sysctl": _sysctl(c, facts),
        "maskedPaths": list(MASKED_PATHS if hc.masked_paths is None else hc.masked_paths),
        "readonlyPaths": list(READONLY_PATHS if hc.readonly_paths is None else hc.readonly_paths),
    }
    if profile := _seccomp(hc, facts):
        linux["seccomp"] = profile
    spec: Object = {
        "ociVersion": OCI_VERSION,
        "root": {"path": root, "readonly": hc.readonly_rootfs},
        "hostname": hostname(c.config, c.id),
        "process": process(c, facts, user, (c.path, *c.args), terminal=c.config.tty, size=hc.console_size),
        "mounts": _mounts(hc, directory),
        "linux": linux,
    }
    if hc.annotations:
        spec["annotations"] = dict(hc.annotations)
    return spec


def process(
    c: Container,
    facts: Facts,
    user: User,
    args: tuple[str, ...],
    *,
    terminal: bool = False,
    size: tuple[int, int] | None = None,
    env: tuple[str, ...] = (),
    cwd: str = "",
    privileged: bool = False,
) -> Object:
    """A process in the container: its own command, or an exec's.

    `size`: rows and columns of its terminal. `env`: beside the container's. `cwd` empty: the container's. `privileged`: with
    every capability that the engine can give.
    """
    hc = c.host_config
    held = list(facts.capabilities if privileged else _capabilities(hc, facts))
    found: Object = {
        "terminal": terminal,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(dict.fromkeys((user.gid, *user.groups)))},
        "args": list(args),
        "env": environment(c, terminal=terminal, more=env),
        "cwd": cwd or c.config.working_dir or "/",
        # No inheritable and no ambient ones: a program without file capabilities must not gain any by execve.
        "capabilities": {"bounding": held, "effective": held, "permitted": held},
        "rlimits": [
            {"type": f"RLIMIT_{limit.name.upper()}", "soft": _rlimit(limit.soft), "hard": _rlimit(limit.hard)}
            for limit in hc.ulimits or ()
        ],
        "noNewPrivileges": security(hc.security_opt).no_new_privileges,
    }
    if hc.oom_score_adj or "CAP_SYS_RESOURCE" in facts.capabilities:
        # 0 may be lower than the engine's own score, and without that capability a score can only be raised.
        found["oomScoreAdj"] = hc.oom_score_adj
    if terminal and size and any(size):
        found["consoleSize"] = {"height": size[0], "width": size[1]}
    return found


def environment(c: Container, *, terminal: bool = False, more: tuple[str, ...] = ()) -> list[str]:
    """PATH, HOSTNAME, with a terminal TERM; then what links tell, the config's entries and `more`.

    The same name replaces, a name without `=` unsets.
    """
    found = {"PATH": PATH, "HOSTNAME": f"HOSTNAME={hostname(c.config, c.id)}"} | ({"TERM": "TERM=xterm"} if terminal else {})
    for entry in (*(told for e in c.endpoints for told in e.variables), *(c.config.env or ()), *more):
        name, equals, _ = entry.partition("=")
        if equals:
            found[name] = entry
        else:
            found.pop(name, None)
    return list(found.values())


def cgroups_path(c: Container, facts: Facts) -> str:
    """Where the container's cgroup is: a path in every hierarchy, or `slice:prefix:name` for systemd."""
    if facts.systemd_cgroup:
        return f"{facts.cgroup_parent}:longshore:{c.id}"
    return "/" + f"{facts.cgroup_parent.strip('/')}/{c.id}".lstrip("/")


def _capabilities(hc: HostConfig, facts: Facts) -> tuple[str, ...]:
    return capabilities.resolve(hc.cap_add or (), hc.cap_drop or (), facts.capabilities)


def _rlimit(value: int) -> int:
    return NO_LIMIT if value == -1 else value


def _namespaces(hc: HostConfig, netns: str) -> list[Object]:
    kinds = ["mount", "uts", "pid", "ipc"] + (["cgroup"] if hc.cgroupns_mode == "private" else [])
    network = [{"type": "network", "path": netns}] if netns else []
    return [*network, *({"type": kind} for kind in kinds)]


def _mounts(hc: HostConfig, directory: str) -> list[Object]:
    found: list[Object] = [
        {"destination": destination, "type": kind, "source": source, "options": options.split()}
        for destination, kind, source, options in MOUNTS
    ]
    *others, shm = found
    shm["options"].append(f"size={hc.shm_size or SHM_SIZE}")
    bind = ["rbind", "rprivate"] + (["ro"] if hc.readonly_rootfs else [])
    files: list[Object] = [
        {"destination": f"/etc/{name}", "type": "bind", "source": f"{directory}/{name}", "options": bind}
        for name in ("resolv.conf", "hostname", "hosts")
    ]
    return others + ([] if hc.ipc_mode == "none" else [shm]) + files


def _sysctl(c: Container, facts: Facts) -> dict[str, str]:
    found: dict[str, str] = {}
    if facts.ping_group_range and own_namespace(c):
        # Inside, everyone may ping and serve on any port: the namespace is the container's own.
        found |= {"net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0"}
    if c.config.domainname:
        found["kernel.domainname"] = c.config.domainname
    return found | (c.host_config.sysctls or {})


def _seccomp(hc: HostConfig, facts: Facts) -> Object | None:
    asked, held = security(hc.security_opt).seccomp, _capabilities(hc, facts)
    if asked == UNCONFINED:
        return None
    if asked == BUILTIN:
        return seccomp.builtin(held, facts.architecture, facts.kernel)
    return seccomp.custom(asked, held, facts.architecture, facts.kernel)


def resources(hc: HostConfig) -> Object:
    """`linux.resources`: the limits, and which devices may be opened."""
    found: Object = {
        "devices": [
            {"allow": False, "access": "rwm"},
            *(_device(True, *number) for number in DEVICES),
            _device(False, *FUSE),
        ],
        "memory": _asked(
            limit=hc.memory,
            reservation=hc.memory_reservation,
            swap=max(hc.memory_swap, 0),
            disableOOMKiller=hc.oom_kill_disable,
        ),
        "cpu": _asked(
            shares=hc.cpu_shares,
            quota=hc.cpu_quota or hc.nano_cpus * CPU_PERIOD // 10**9,
            period=hc.cpu_period or (CPU_PERIOD if hc.nano_cpus else 0),
            cpus=hc.cpuset_cpus,
            mems=hc.cpuset_mems,
        ),
        "blockIO": _asked(weight=hc.blkio_weight),
        "pids": _asked(limit=hc.pids_limit),
    }
    if hc.memory_swappiness is not None:
        found["memory"]["swappiness"] = hc.memory_swappiness
    return {key: value for key, value in found.items() if value}


def _asked(**values: Any) -> Object:
    return {key: value for key, value in values.items() if value}


def _device(allow: bool, major: int, minor: int) -> Object:
    return {"allow": allow, "type": "c", "major": major, "minor": minor, "access": "rwm"}
