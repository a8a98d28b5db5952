"""Settings, checked and completed: the rules of `POST /containers/create` (Docker Engine API 1.43)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec.structs import replace

from engine.host import Facts
from engine.model.errors import Invalid
from engine.model.network import Attachment
from engine.model.settings import Config, CreateBody, HostConfig
from engine.spec import capabilities, limits, ports
from engine.spec.endpoints import mac as check_mac
from engine.spec.endpoints import read as endpoints_read
from engine.spec.limits import bad
from engine.spec.merge import words
from engine.spec.oci import MASKED_PATHS, READONLY_PATHS, SHM_SIZE
from engine.spec.security import security
from engine.spec.signals import parse_signal
from engine.spec.wiring import SHARED

LEAST_TIME = 1_000_000
"""Nanoseconds: a health check's times are 0, the default, or at least a millisecond."""
LONGEST_HOSTNAME = 64
"""sethostname(2)."""


def verify(config: Config, host_config: HostConfig, facts: Facts) -> tuple[HostConfig, tuple[str, ...]]:
    """The host config with the limits this kernel can keep, and a warning for each that was dropped.

    Raises `Invalid` for what cannot be right, naming the field, its value and the remedy.
    """
    warnings: list[str] = []
    _config(config)
    _modes(host_config)
    verify_restart_policy(host_config)
    _names(host_config)
    _gateway(config, host_config)
    _network(config, host_config, warnings)
    capabilities.check(host_config.cap_add or (), host_config.cap_drop or (), facts.capabilities)
    security(host_config.security_opt)
    host_config = limits.verify(host_config, facts, warnings)
    return _oom_score(host_config, facts, warnings), tuple(warnings)


def adapt(host_config: HostConfig, facts: Facts) -> HostConfig:
    """The host config with Docker's defaults written in."""
    hc = host_config
    return replace(
        hc,
        network_mode=hc.network_mode or "default",
        memory_swap=2 * hc.memory if hc.memory and not hc.memory_swap else hc.memory_swap,
        shm_size=hc.shm_size or SHM_SIZE,
        ipc_mode=hc.ipc_mode or "private",
        cgroupns_mode=hc.cgroupns_mode or ("private" if facts.cgroup_version == 2 else "host"),
        oom_kill_disable=bool(hc.oom_kill_disable),
        runtime=hc.runtime or "runc",
        dns=hc.dns or (),
        dns_options=hc.dns_options or (),
        dns_search=hc.dns_search or (),
        masked_paths=MASKED_PATHS if hc.masked_paths is None else hc.masked_paths,
        readonly_paths=READONLY_PATHS if hc.readonly_paths is None else hc.readonly_paths,
    )


def _config(config: Config) -> None:
    if config.working_dir and not config.working_dir.startswith("/"):
        raise Invalid(f"WorkingDir {config.working_dir!r} is not absolute", "begin it with /")
    if len(config.hostname.encode()) > LONGEST_HOSTNAME:
        raise Invalid(f"Hostname {config.hostname!r} is too long", f"give at most {LONGEST_HOSTNAME} bytes")
    if config.stop_signal:
        parse_signal(config.stop_signal)
    for entry in config.env or ():
        if not entry or entry.startswith("="):
            raise Invalid(f"Env {entry!r} has no name", "write NAME=value, or NAME alone to unset it")
    for text in (
        config.working_dir,
        config.user,
        config.hostname,
        *words(config.cmd),
        *words(config.entrypoint),
        *(config.env or ()),
        *((config.healthcheck and config.healthcheck.test) or ()),
    ):
        if "\0" in text:
            raise Invalid(f"{text!r} has a NUL character, which no program can be given", "leave it out")
    _healthcheck(config)


def _healthcheck(config: Config) -> None:
    if (asked := config.healthcheck) is None:
        return
    times = {
        "Interval": asked.interval,
        "Timeout": asked.timeout,
        "StartPeriod": asked.start_period,
        "StartInterval": asked.start_interval,
    }
    for field, value in times.items():
        if value and value < LEAST_TIME:
            raise Invalid(f"Healthcheck.{field} {value} is less than a millisecond", "give nanoseconds, or 0 for the default")
    if asked.retries < 0:
        raise Invalid(f"Healthcheck.Retries {asked.retries} is negative", "give a count, or 0 for the default of 3")


_ANSWERS = {
    "ipc_mode": ("IpcMode", ("", "none", "private", "host", "shareable", "container:*")),
    "pid_mode": ("PidMode", ("", "host", "container:*")),
    "uts_mode": ("UTSMode", ("", "host")),
    "cgroupns_mode": ("CgroupnsMode", ("", "private", "host")),
    "isolation": ("Isolation", ("", "default")),
}


def _modes(hc: HostConfig) -> None:
    for attribute, (field, answers) in _ANSWERS.items():
        mode = getattr(hc, attribute)
        joined = "container:*" in answers and mode.startswith("container:") and mode != "container:"
        if mode not in answers and not joined:
            raise bad(field, mode, "is unknown", "take one of " + ", ".join(repr(answer) for answer in answers))
    if hc.io_maximum_bandwidth or hc.io_maximum_iops:
        raise Invalid("HostConfig.IOMaximumBandwidth and IOMaximumIOps exist on Windows only", "leave them out")
    if hc.shm_size < 0:
        raise bad("ShmSize", hc.shm_size, "is negative", "give bytes, or 0 for 64 MiB")


def verify_restart_policy(hc: HostConfig) -> None:
    """Raises `Invalid`."""
    name, count = hc.restart_policy.name, hc.restart_policy.maximum_retry_count
    if name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise bad("RestartPolicy.Name", name, "is unknown", "take no, always, unless-stopped or on-failure")
    if name in ("no", "always", "unless-stopped") and count:
        raise bad("RestartPolicy.MaximumRetryCount", count, f"cannot be given with {name}", "use on-failure, or leave it out")
    if name == "on-failure" and count < 0:
        raise bad("RestartPolicy.MaximumRetryCount", count, "is negative", "give a count, or 0 for no limit")
    if hc.auto_remove and name not in ("", "no"):
        raise bad("RestartPolicy.Name", name, "cannot be given with AutoRemove", "leave one of them out")


SYSCTLS = re.compile(r"net\.[^/]+|fs\.mqueue\.[^/]+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)")
"""Kernel parameters that belong to a namespace of the container (namespaces(7)); all others are the host's."""


def _names(hc: HostConfig) -> None:
    """Texts that end up in a file or in the specification."""
    for key in hc.annotations or {}:
        if not key:
            raise bad("Annotations", key, "is an empty name", "name each annotation")
    for key in hc.sysctls or {}:
        if not SYSCTLS.fullmatch(key):
            raise bad(
                "Sysctls",
                key,
                "is not the container's own",
                "take net.*, fs.mqueue.* or IPC's kernel.*, or set it on the host",
            )
    for address in hc.dns or ():
        if not _is_ip(address):
            raise bad("Dns", address, "is no IP address", "give a name server's address")
    for entry in hc.extra_hosts or ():
        name, _, address = entry.partition(":")
        if not name or not (address == "host-gateway" or _is_ip(address)):
            raise bad("ExtraHosts", entry, "is not name:address", "write it like db:10.0.0.5, or db:host-gateway")
    for field, texts in (("DnsSearch", hc.dns_search), ("DnsOptions", hc.dns_options), ("ExtraHosts", hc.extra_hosts)):
        for text in texts or ():
            if not text or any(letter.isspace() or letter == "\0" for letter in text):
                raise bad(field, text, "is empty or has a blank in it", "give one word each")
    for path in (*(hc.masked_paths or ()), *(hc.readonly_paths or ())):
        if not path.startswith("/") or "\0" in path:
            raise bad("MaskedPaths and ReadonlyPaths", path, "is not absolute", "begin it with /")


def _network(config: Config, hc: HostConfig, warnings: list[str]) -> None:
    """What cannot be together with a network of somebody else's (Docker's `validateNetMode`)."""
    published = ports.wanted(config, hc)
    if hc.network_mode == "host":
        if hc.links:
            raise bad(
                "Links", hc.links, "host type networking can't be used with links: there are no addresses", "leave them out"
            )
        if any(key.startswith("net.") for key in hc.sysctls or {}):
            raise bad("Sysctls", sorted(hc.sysctls or {}), "would change the host's network", "leave net.* out")
        if published:
            warnings.append("Published ports are discarded when using host network mode")
    if not hc.network_mode.startswith(SHARED):
        return
    for field, value in (
        ("Hostname", config.hostname),
        ("Links", hc.links),
        ("Dns", hc.dns),
        ("ExtraHosts", hc.extra_hosts),
        ("MacAddress", config.mac_address),
        ("PortBindings", hc.port_bindings),
        ("PublishAllPorts", hc.publish_all_ports),
        ("ExposedPorts", config.exposed_ports),
    ):
        if value:
            raise bad(field, value, "conflicts with the network mode: it is the other container's to say", "leave it out")


def _gateway(config: Config, hc: HostConfig) -> None:
    if config.network_disabled or hc.network_mode == "none":
        for entry in hc.extra_hosts or ():
            if entry.endswith(":host-gateway"):
                raise bad("ExtraHosts", entry, "needs a network: without one there is no gateway", "give an address")


def _is_ip(text: str, kind: type[IPv4Address] | type[IPv6Address] | None = None) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    # A zone, `fe80::1%eth0`, means nothing in another network namespace.
    return (kind is None or isinstance(address, kind)) and "%" not in text


def _oom_score(hc: HostConfig, facts: Facts, warnings: list[str]) -> HostConfig:
    if not -1000 <= hc.oom_score_adj <= 1000:
        raise bad("OomScoreAdj", hc.oom_score_adj, "is out of range", "give -1000 to 1000")
    if hc.oom_score_adj < 0 and "CAP_SYS_RESOURCE" not in facts.capabilities:
        warnings.append("oom score adj discarded: the engine itself has no CAP_SYS_RESOURCE, so it cannot lower the score")
        return replace(hc, oom_score_adj=0)
    return hc


def verify_networking(asked: CreateBody, host_config: HostConfig) -> dict[str, Attachment]:
    """What is asked of which network, by its name: the one of the mode, and what `NetworkingConfig` says. Raises `Invalid`."""
    endpoints = (asked.networking_config or {}).get("EndpointsConfig") or {}
    if not isinstance(endpoints, dict):
        raise Invalid("NetworkingConfig.EndpointsConfig is no JSON object", "map a network's name to its settings")
    if len(endpoints) > 1:
        raise Invalid(
            f"NetworkingConfig.EndpointsConfig names {len(endpoints)} networks: {', '.join(endpoints)}",
            "create with one, and connect the others afterwards",
        )
    mode = "bridge" if host_config.network_mode in ("", "default", "bridge") else host_config.network_mode
    given = {
        "bridge" if name == "default" else name: endpoints_read(settings, f"NetworkingConfig.EndpointsConfig[{name!r}]")
        for name, settings in endpoints.items()
    }
    if asked.network_disabled or mode in ("none", "host") or mode.startswith(SHARED):
        for name, wanted in given.items():
            if name != mode or wanted != Attachment():
                raise Invalid(f"a container in network mode {mode} has no endpoint in {name}", "leave NetworkingConfig out")
        return {}
    own = given.get(mode, Attachment())
    mac = check_mac(asked.mac_address, "MacAddress")
    return {mode: replace(own, mac=own.mac or mac)} | {name: wanted for name, wanted in given.items() if name != mode}
