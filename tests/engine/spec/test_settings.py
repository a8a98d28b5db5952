from typing import Any

import pytest

from engine.model.errors import Invalid
from engine.model.network import Attachment
from engine.model.settings import Config, CreateBody, Healthcheck, HostConfig, RestartPolicy
from engine.spec.oci import MASKED_PATHS, READONLY_PATHS
from engine.spec.settings import adapt, verify, verify_networking

from .made import BARE, FACTS


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (Config(working_dir="srv"), "WorkingDir 'srv' is not absolute"),
        (Config(hostname="h" * 65), "Hostname .* is too long"),
        (Config(stop_signal="SIGNOPE"), "'SIGNOPE' is no signal"),
        (Config(env=("",)), "Env '' has no name"),
        (Config(env=("=x",)), "Env '=x' has no name"),
        (Config(env=("A=\0",)), "NUL"),
        (Config(cmd=("a\0b",)), "NUL"),
        (Config(healthcheck=Healthcheck(interval=999_999)), r"Healthcheck\.Interval 999999"),
        (Config(healthcheck=Healthcheck(timeout=1)), r"Healthcheck\.Timeout 1 "),
        (Config(healthcheck=Healthcheck(test=("CMD", "a\0"))), "NUL"),
        (Config(healthcheck=Healthcheck(start_period=-1)), r"Healthcheck\.StartPeriod -1"),
        (Config(healthcheck=Healthcheck(start_interval=5)), r"Healthcheck\.StartInterval 5"),
        (Config(healthcheck=Healthcheck(retries=-1)), r"Healthcheck\.Retries -1"),
    ],
)
def test_configs_that_cannot_be_right(config: Config, says: str) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        verify(config, HostConfig(), FACTS)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("host_config", "field"),
    [
        (HostConfig(ipc_mode="mine"), "IpcMode"),
        (HostConfig(ipc_mode="container:"), "IpcMode"),
        (HostConfig(pid_mode="private"), "PidMode"),
        (HostConfig(uts_mode="container:x"), "UTSMode"),
        (HostConfig(cgroupns_mode="shared"), "CgroupnsMode"),
        (HostConfig(isolation="hyperv"), "Isolation"),
        (HostConfig(io_maximum_iops=1), "IOMaximum"),
        (HostConfig(shm_size=-1), "ShmSize"),
        (HostConfig(restart_policy=RestartPolicy(name="often")), "RestartPolicy.Name"),
        (HostConfig(restart_policy=RestartPolicy(name="no", maximum_retry_count=1)), "RestartPolicy.MaximumRetryCount"),
        (HostConfig(restart_policy=RestartPolicy(name="always", maximum_retry_count=1)), "RestartPolicy.MaximumRetryCount"),
        (
            HostConfig(restart_policy=RestartPolicy(name="on-failure", maximum_retry_count=-1)),
            "RestartPolicy.MaximumRetryCount",
        ),
        (HostConfig(auto_remove=True, restart_policy=RestartPolicy(name="always")), "RestartPolicy.Name"),
        (HostConfig(annotations={"": "x"}), "Annotations"),
        (HostConfig(sysctls={"kernel.panic": "1"}), "Sysctls"),
        (HostConfig(sysctls={"net/ipv4/ip_forward": "1"}), "Sysctls"),
        (HostConfig(dns=("example.org",)), "Dns"),
        (HostConfig(dns=("fe80::1%eth0",)), "Dns"),
        (HostConfig(dns_search=("a b",)), "DnsSearch"),
        (HostConfig(dns_options=("",)), "DnsOptions"),
        (HostConfig(extra_hosts=("db",)), "ExtraHosts"),
        (HostConfig(extra_hosts=("db:nowhere",)), "ExtraHosts"),
        (HostConfig(extra_hosts=("d\nb:1.1.1.1",)), "ExtraHosts"),
        (HostConfig(masked_paths=("proc",)), "MaskedPaths"),
        (HostConfig(readonly_paths=("",)), "MaskedPaths and ReadonlyPaths"),
        (HostConfig(network_mode="none", extra_hosts=("up:host-gateway",)), "ExtraHosts"),
        (HostConfig(oom_score_adj=1001), "OomScoreAdj"),
        (HostConfig(cap_add=("FLY",)), "CapAdd"),
        (HostConfig(security_opt=("x",)), "SecurityOpt"),
        (HostConfig(memory=1), "Memory"),
    ],
)
def test_host_configs_that_cannot_be_right(host_config: HostConfig, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        verify(Config(), host_config, FACTS)
    assert refused.value.message.startswith(f"HostConfig.{field}")
    assert refused.value.hint


def test_what_is_right_passes_unchanged() -> None:
    config = Config(
        working_dir="/srv",
        hostname="h" * 64,
        stop_signal="RTMIN+1",
        env=("A=1", "B"),
        healthcheck=Healthcheck(test=("CMD", "x"), interval=1_000_000),
    )
    host_config = HostConfig(
        auto_remove=True,
        restart_policy=RestartPolicy(name="no"),
        ipc_mode="container:x",
        pid_mode="host",
        cgroupns_mode="private",
        sysctls={"net.ipv4.ip_forward": "1", "fs.mqueue.msg_max": "9", "kernel.msgmax": "9"},
        dns=("1.1.1.1", "2001:db8::1"),
        dns_options=("ndots:2",),
        extra_hosts=("db:10.0.0.1", "v6:2001:db8::1", "up:host-gateway"),
        oom_score_adj=-1000,
    )
    assert verify(config, host_config, FACTS) == (host_config, ())


def test_a_lower_oom_score_needs_the_right_to() -> None:
    host_config, warnings = verify(Config(), HostConfig(oom_score_adj=-5), BARE)
    assert host_config.oom_score_adj == 0
    assert "CAP_SYS_RESOURCE" in warnings[0]


def test_defaults() -> None:
    assert adapt(HostConfig(), FACTS) == HostConfig(
        network_mode="default",
        shm_size=67_108_864,
        ipc_mode="private",
        cgroupns_mode="host",
        oom_kill_disable=False,
        runtime="runc",
        dns=(),
        dns_options=(),
        dns_search=(),
        masked_paths=MASKED_PATHS,
        readonly_paths=READONLY_PATHS,
    )
    assert adapt(HostConfig(), BARE).cgroupns_mode == "private"


def test_swap_is_twice_the_memory_and_nothing_means_nothing() -> None:
    assert adapt(HostConfig(memory=10), FACTS).memory_swap == 20
    assert adapt(HostConfig(memory=10, memory_swap=-1), FACTS).memory_swap == -1
    assert adapt(HostConfig(masked_paths=(), readonly_paths=()), FACTS).masked_paths == ()


def test_adapting_twice_is_adapting_once() -> None:
    once = adapt(HostConfig(memory=10, ipc_mode="none"), FACTS)
    assert adapt(once, FACTS) == once


@pytest.mark.parametrize(
    "endpoints",
    [
        {"a": {}, "b": {}},
        {"a": None},
        {"a": "x"},
        {"a": {"IPAMConfig": ["x"]}},
        {"a": {"IPAMConfig": {"IPv4Address": "::1"}}},
        {"a": {"IPAMConfig": {"IPv4Address": 7}}},
        {"a": {"IPAMConfig": {"IPv6Address": "1.2.3.4"}}},
        ["a"],
    ],
)
def test_networking_that_cannot_be_right(endpoints: Any) -> None:
    with pytest.raises(Invalid, match=r"NetworkingConfig\.EndpointsConfig"):
        networking({"EndpointsConfig": endpoints})


@pytest.mark.parametrize(
    "asked",
    [
        None,
        {},
        {"EndpointsConfig": None},
        {"EndpointsConfig": {"bridge": {}}},
        {"EndpointsConfig": {"n": {"IPAMConfig": {"IPv4Address": "10.0.0.2", "IPv6Address": ""}}}},
    ],
)
def test_networking_that_is_right(asked: dict[str, Any] | None) -> None:
    assert networking(asked)


def networking(asked: dict[str, Any] | None) -> dict[str, Attachment]:
    body = CreateBody(networking_config=asked)
    return verify_networking(body, body.host_config)
