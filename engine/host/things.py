"""What the ports speak of: plain data, so that pure functions can use it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Facts(Struct, frozen=True, kw_only=True):
    """What this host is. Read once at start; plain data, so that pure functions can use it."""

    root: str = "/var/lib/longshore"
    exec_root: str = "/run/longshore"
    architecture: str = "amd64"
    """Go's name for it."""
    kernel: tuple[int, int] = (6, 1)
    kernel_release: str = ""
    cgroup_version: int = 1
    cgroup_parent: str = "/longshore"
    systemd_cgroup: bool = False
    controllers: frozenset[str] = frozenset()
    """cgroup controllers a limit can be given to; `swap` stands for memory+swap accounting."""
    capabilities: tuple[str, ...] = ()
    """The engine's own bounding set, `CAP_CHOWN` and so on: the most a container can get."""
    cpus: int = 1
    memory: int = 0
    hostname: str = ""
    ping_group_range: bool = True
    """Has the kernel `net.ipv4.ping_group_range` and `ip_unprivileged_port_start`?"""
    bridge: str = "longshore0"
    containerd_version: str = ""
    runc_version: str = ""


class User(Struct, frozen=True, kw_only=True):
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


class Exit(Struct, frozen=True, kw_only=True):
    pid: int
    """0 when unknown."""
    status: int
    at: datetime
    lost: bool = False
    """Nobody saw the exit: the status is a guess (255, or 137 when the shim was killed)."""


class Pipes(Struct, frozen=True, kw_only=True):
    """Where a process's standard streams go: paths of FIFOs; empty: `/dev/null`."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    """Empty with a terminal, whose output is all on `stdout`."""
    terminal: bool = False


class Output(Struct, frozen=True, kw_only=True):
    """How a container's process is connected: what it has, and which log keeps what it says."""

    stdin: bool = False
    terminal: bool = False
    driver: str = "json-file"
    """`json-file`, `local` or `none`."""
    options: dict[str, str] = {}
    """The driver's own: `max-size`, `max-file`, `compress`, `mode`, `max-buffer-size`. Checked at create."""
    attrs: dict[str, str] = {}
    """What every record carries besides: labels, environment, tag, as the log options choose."""


class LogQuery(Struct, frozen=True, kw_only=True):
    """Which lines of a log."""

    driver: str = "json-file"
    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class Freeze(Struct, frozen=True, kw_only=True):
    """The freezer's files of one cgroup, v1 or v2, in one shape."""

    kernel: str
    """`thawed`, `freezing` or `frozen`."""
    self_frozen: bool
    parent_frozen: bool
    since: datetime | None = None
    """While freezing: when whoever follows it has first seen that."""


Sighting = tuple[str, ...]
"""One thing of one container, as a port names it when it tells of all it keeps at once: `("mount", <mount id>)`."""


class Task(Struct, frozen=True, kw_only=True):
    id: str
    pid: int
    status: str
    """`created`, `running`, `stopped`, `paused` or `pausing`. In a list also `unknown`: its shim hangs, it may well live."""
    exit: Exit | None = None


class Traffic(Struct, frozen=True):
    """What a network interface has counted, in the order of the kernel's `rtnl_link_stats64` (<linux/if_link.h>)."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


class BlockIo(Struct, frozen=True):
    """One number of one block device."""

    major: int
    minor: int
    op: str
    """v1: `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total` or none; v2: `read` and `write`."""
    value: int


class CgroupStats(Struct, frozen=True, kw_only=True):
    """All that the controllers have counted of one container. Times in nanoseconds; 0 for what no controller counts."""

    cpu: int = 0
    cpu_user: int = 0
    cpu_kernel: int = 0
    per_cpu: tuple[int, ...] = ()
    """Empty on v2."""
    host_cpu: int = 0
    """What the whole host's processors had done since boot at that moment, to compare with."""
    cpus: int = 0
    """How many processors that are."""
    periods: int = 0
    throttled_periods: int = 0
    throttled: int = 0
    memory: int = 0
    memory_max: int = 0
    """The most there ever was; 0 on v2."""
    memory_limit: int = 0
    """At most the host's memory."""
    memory_failures: int = 0
    """How often the limit was hit (v1), or brought the OOM killer (v2)."""
    memory_stat: dict[str, int] = {}
    """The kernel's own keys."""
    pids: int = 0
    pids_limit: int = 0
    blkio: dict[str, tuple[BlockIo, ...]] = {}
    """By the name of the v1 file without `blkio.`, as `io_service_bytes_recursive`."""
