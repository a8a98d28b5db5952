"""Every key is either built or refused by name: none can be accepted and ignored."""

from typing import Any

import pytest
from msgspec.structs import fields, replace

from engine.model.errors import NotBuilt
from engine.model.settings import Config, CreateBody, Healthcheck, HostConfig, LogConfig, RestartPolicy, Ulimit
from engine.spec import built
from engine.spec.decode import decode_create


@pytest.mark.parametrize("kind", [Config, HostConfig])
def test_every_key_is_built_or_refused(kind: type[Config] | type[HostConfig]) -> None:
    keys = {field.encode_name for field in fields(kind)}
    assert built.BUILT[kind] | set(built.REFUSED[kind]) == keys
    assert not built.BUILT[kind] & set(built.REFUSED[kind])


def test_nested_keys_are_the_ones_that_were_thought_of() -> None:
    nested = {kind.__name__: {field.name for field in fields(kind)} for kind in (Healthcheck, LogConfig, RestartPolicy, Ulimit)}
    assert nested == {
        "Healthcheck": {"test", "interval", "timeout", "start_period", "start_interval", "retries"},
        "LogConfig": {"type", "config"},
        "RestartPolicy": {"name", "maximum_retry_count"},
        "Ulimit": {"name", "soft", "hard"},
    }


ASKED: dict[str, Any] = {
    "Volumes": {"/data": {}},
    "MacAddress": "02:42:00:00:00:01",
    "Binds": ("/a:/b",),
    "Mounts": ({"Type": "bind"},),
    "Tmpfs": {"/run": ""},
    "VolumeDriver": "local",
    "VolumesFrom": ("x",),
    "StorageOpt": {"size": "1G"},
    "NetworkMode": "host",
    "PortBindings": {"80/tcp": None},
    "PublishAllPorts": True,
    "Links": ("a:b",),
    "RestartPolicy": RestartPolicy(name="always"),
    "Privileged": True,
    "Devices": ({"PathOnHost": "/dev/fuse"},),
    "DeviceCgroupRules": ("c 1:1 r",),
    "DeviceRequests": ({"Count": -1},),
    "IpcMode": "host",
    "PidMode": "host",
    "UTSMode": "host",
    "UsernsMode": "private",
    "CgroupParent": "/mine",
    "Cgroup": "x",
    "Runtime": "crun",
    "Init": True,
    "BlkioWeightDevice": ({"Path": "/dev/x"},),
    "BlkioDeviceReadBps": ({"Path": "/dev/x"},),
    "BlkioDeviceWriteBps": ({"Path": "/dev/x"},),
    "BlkioDeviceReadIOps": ({"Path": "/dev/x"},),
    "BlkioDeviceWriteIOps": ({"Path": "/dev/x"},),
    "CpuRealtimePeriod": 1,
    "CpuRealtimeRuntime": 1,
    "CpuCount": 1,
}
CASES = [(kind, key) for kind in (Config, HostConfig) for key in built.REFUSED[kind]]


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_what_is_asked_for_is_refused_by_name(kind: type[Config] | type[HostConfig], key: str) -> None:
    name = next(field.name for field in fields(kind) if field.encode_name == key)
    if kind is Config:
        body, path = replace(CreateBody(), **{name: ASKED[key]}), key
    else:
        body, path = CreateBody(host_config=replace(HostConfig(), **{name: ASKED[key]})), f"HostConfig.{key}"
    with pytest.raises(NotBuilt) as refused:
        built.check(body)
    assert refused.value.message.startswith(f"{path} is not built yet: ")
    assert refused.value.status == 501


def test_the_docker_command_sends_this_for_a_plain_run() -> None:
    built.check(
        decode_create(
            b"""{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,"AttachStderr":true,
            "Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["true"],"Image":"busybox","Volumes":{},
            "WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},"HostConfig":{"Binds":null,"ContainerIDFile":"",
            "LogConfig":{"Type":"","Config":{}},"NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no",
            "MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[50,120],
            "CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,
            "GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,
            "PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,
            "Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],
            "BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],
            "CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"",
            "Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"KernelMemory":0,"KernelMemoryTCP":0,
            "MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":null,
            "CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},
            "NetworkingConfig":{"EndpointsConfig":{}}}"""
        )
    )


def test_volumes_of_an_image_are_told_of() -> None:
    assert built.image_warnings(Config()) == ()
    assert "(/a, /b)" in built.image_warnings(Config(volumes={"/b": {}, "/a": {}}))[0]
