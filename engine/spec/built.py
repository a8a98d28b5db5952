"""What is not built yet. Accepting an option and doing nothing would be a lie, so it is refused by name.

Every key a request can have is either in `BUILT`, with its full effect, or in `REFUSED`, with the test that says whether
more than the default was asked for. A test holds both against the model, so that a new key cannot slip by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.model.errors import NotBuilt
from engine.model.settings import Config, CreateBody, HostConfig

Asked = Callable[[Any], bool]


def other_than(*accepted: Any) -> Asked:
    return lambda value: value not in accepted


asked: Asked = bool

BUILT: Mapping[type, frozenset[str]] = {
    Config: frozenset(
        {
            "Hostname",
            "Domainname",
            "User",
            "ExposedPorts",
            "AttachStdin",  # A wish of the client's attach, not of the container.
            "AttachStdout",
            "AttachStderr",
            "Tty",
            "OpenStdin",
            "StdinOnce",
            "Env",
            "Cmd",
            "Healthcheck",
            "ArgsEscaped",  # About Windows command lines; without meaning on Linux.
            "Image",
            "WorkingDir",
            "Entrypoint",
            "NetworkDisabled",
            "MacAddress",
            "OnBuild",  # For builds on top of an image; kept, as everywhere.
            "Labels",
            "StopSignal",
            "StopTimeout",
            "Shell",
        }
    ),
    HostConfig: frozenset(
        {
            "ContainerIDFile",  # The client's own note of what it did.
            "LogConfig",
            "NetworkMode",
            "PortBindings",
            "PublishAllPorts",
            "Links",
            "AutoRemove",
            "RestartPolicy",
            "ConsoleSize",
            "Annotations",
            "CapAdd",
            "CapDrop",
            "CgroupnsMode",
            "Dns",
            "DnsOptions",
            "DnsSearch",
            "ExtraHosts",
            "GroupAdd",
            "OomScoreAdj",
            "ReadonlyRootfs",
            "SecurityOpt",
            "ShmSize",
            "Sysctls",
            "Isolation",
            "MaskedPaths",
            "ReadonlyPaths",
            "CpuShares",
            "Memory",
            "NanoCpus",
            "BlkioWeight",
            "CpuPeriod",
            "CpuQuota",
            "CpusetCpus",
            "CpusetMems",
            "KernelMemory",  # Dropped with a warning.
            "KernelMemoryTCP",
            "CpuPercent",  # Dropped with a warning.
            "MemoryReservation",
            "MemorySwap",
            "MemorySwappiness",
            "OomKillDisable",
            "PidsLimit",
            "Ulimits",
            "IOMaximumIOps",  # Invalid on Linux.
            "IOMaximumBandwidth",
        }
    ),
}

REFUSED: Mapping[type, Mapping[str, tuple[Asked, str]]] = {
    Config: {
        "Volumes": (asked, "containers have no volumes"),
    },
    HostConfig: {
        "Binds": (asked, "nothing of the host can be mounted into a container"),
        "Mounts": (asked, "nothing can be mounted into a container"),
        "Tmpfs": (asked, "nothing can be mounted into a container"),
        "VolumeDriver": (asked, "containers have no volumes"),
        "VolumesFrom": (asked, "containers have no volumes"),
        "StorageOpt": (asked, "the writable layer has no options"),
        "Privileged": (asked, "containers cannot have the host's devices"),
        "Devices": (asked, "containers cannot have the host's devices"),
        "DeviceCgroupRules": (asked, "containers cannot have the host's devices"),
        "DeviceRequests": (asked, "containers cannot have the host's devices"),
        "IpcMode": (other_than("", "none", "private"), "IPC is private or none"),
        "PidMode": (other_than(""), "processes have a namespace of their own"),
        "UTSMode": (other_than(""), "the host name has a namespace of its own"),
        "UsernsMode": (other_than("", "host"), "there are no user namespaces"),
        "CgroupParent": (asked, "all cgroups lie below the engine's own, see longshored --cgroup-parent"),
        "Cgroup": (asked, "a container cannot join another's cgroup"),
        "Runtime": (other_than("", "runc", "io.containerd.runc.v2"), "the runtime is runc"),
        "Init": (asked, "no init process is put before the command"),
        "BlkioWeightDevice": (asked, "I/O limits of single devices are missing"),
        "BlkioDeviceReadBps": (asked, "I/O limits of single devices are missing"),
        "BlkioDeviceWriteBps": (asked, "I/O limits of single devices are missing"),
        "BlkioDeviceReadIOps": (asked, "I/O limits of single devices are missing"),
        "BlkioDeviceWriteIOps": (asked, "I/O limits of single devices are missing"),
        "CpuRealtimePeriod": (asked, "real-time scheduling is missing"),
        "CpuRealtimeRuntime": (asked, "real-time scheduling is missing"),
        "CpuCount": (asked, "this way of counting CPUs is Windows'; use NanoCpus"),
    },
}


def check(body: CreateBody) -> None:
    """Raises `NotBuilt`, naming the field, when a request asks for something that would not happen."""
    _check(body, Config, "")
    _check(body.host_config, HostConfig, "HostConfig.")


def _check(value: Config | HostConfig, kind: type[Config] | type[HostConfig], prefix: str) -> None:
    for name, key in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        wanted, why = REFUSED[kind].get(key, (None, ""))
        if wanted and wanted(getattr(value, name)):
            raise _refusal(prefix + key, why)


def _refusal(field: str, why: str) -> NotBuilt:
    return NotBuilt(f"{field} is not built yet: {why}", "leave it out")


def image_warnings(image: Config) -> tuple[str, ...]:
    """What an image declares that will not happen. It still runs; the person is told."""
    paths = ", ".join(sorted(image.volumes or {}))
    return (f"the image declares volumes ({paths}); they are not built yet, the files stay in the container",) if paths else ()
