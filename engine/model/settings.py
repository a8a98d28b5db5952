"""What a person asks for: Docker's `Config` and `HostConfig`, key for key (Engine API 1.43).

Go sends `null` where a list or map is empty, so those fields are optional. Durations are nanoseconds, sizes bytes.
Unknown keys are dropped by the decoder, as dockerd does.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

Strings = tuple[str, ...] | None
Map = dict[str, str] | None


class Healthcheck(Struct, frozen=True, kw_only=True, rename="pascal"):
    test: Strings = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Config(Struct, frozen=True, kw_only=True, rename="pascal"):
    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Any] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: Strings = None
    cmd: Strings | str = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    entrypoint: Strings | str = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: Strings = None
    labels: Map = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: Strings = None


class RestartPolicy(Struct, frozen=True, kw_only=True, rename="pascal"):
    name: str = ""
    maximum_retry_count: int = 0


class LogConfig(Struct, frozen=True, kw_only=True, rename="pascal"):
    type: str = ""
    config: Map = None


class Ulimit(Struct, frozen=True, kw_only=True, rename="pascal"):
    name: str = ""
    soft: int = 0
    hard: int = 0


class HostConfig(Struct, frozen=True, kw_only=True, rename="pascal"):
    binds: Strings = None
    container_id_file: str = field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = ""
    port_bindings: dict[str, Any] | None = None
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: Strings = None
    mounts: tuple[dict[str, Any], ...] | None = None
    console_size: tuple[int, int] | None = None
    annotations: Map = None
    cap_add: Strings = None
    cap_drop: Strings = None
    cgroupns_mode: str = ""
    dns: Strings = None
    dns_options: Strings = None
    dns_search: Strings = None
    extra_hosts: Strings = None
    group_add: Strings = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: Strings = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: Strings = None
    storage_opt: Map = None
    tmpfs: Map = None
    uts_mode: str = field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: Map = None
    runtime: str = ""
    isolation: str = ""
    masked_paths: Strings = None
    readonly_paths: Strings = None
    init: bool | None = None
    # Resources
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: tuple[dict[str, Any], ...] | None = None
    blkio_device_read_bps: tuple[dict[str, Any], ...] | None = None
    blkio_device_write_bps: tuple[dict[str, Any], ...] | None = None
    blkio_device_read_iops: tuple[dict[str, Any], ...] | None = field(default=None, name="BlkioDeviceReadIOps")
    blkio_device_write_iops: tuple[dict[str, Any], ...] | None = field(default=None, name="BlkioDeviceWriteIOps")
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[dict[str, Any], ...] | None = None
    device_cgroup_rules: Strings = None
    device_requests: tuple[dict[str, Any], ...] | None = None
    kernel_memory: int = 0
    kernel_memory_tcp: int = field(default=0, name="KernelMemoryTCP")
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: tuple[Ulimit, ...] | None = None
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = field(default=0, name="IOMaximumBandwidth")


class CreateBody(Config, frozen=True, kw_only=True, rename="pascal"):
    """The body of `POST /containers/create`: every `Config` key inline, and two more."""

    host_config: HostConfig = HostConfig()
    networking_config: dict[str, Any] | None = None
