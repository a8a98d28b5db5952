"""Flags, and the request they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from engine.model.errors import Invalid
from engine.model.settings import CreateBody, HostConfig
from tui.cli.group import longshore
from tui.cli.options import CONFIG, HOST_CONFIG, NOT_BUILT, RESOURCES, SETTINGS, attachments, create_body, settings


def parsed(*args: str, command: str = "run") -> dict[str, Any]:
    """What `longshore run` reads from a command line."""
    found = longshore.commands[command]
    return found.make_context(command, list(args)).params


def body(*args: str, command: str = "run") -> dict[str, Any]:
    given = parsed(*args, command=command)
    return create_body(given["image"], given["command"], given)


def host_config(*args: str) -> dict[str, Any]:
    made: dict[str, Any] = body(*args, "busybox")["HostConfig"]
    return made


def test_nothing_is_sent_that_was_not_said() -> None:
    joined = {"AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "StdinOnce": False}
    assert body("busybox") == {"Image": "busybox", "HostConfig": {}, **joined}
    assert body("busybox", "sh", "-c", "echo -d")["Cmd"] == ["sh", "-c", "echo -d"], "options of the command are its own"
    assert body("busybox", "--", "-x")["Cmd"] == ["--", "-x"]
    assert body("-i", "busybox", command="create")["StdinOnce"]


def test_every_key_is_one_that_the_engine_knows() -> None:
    known = {"Config": set(CreateBody.__struct_encode_fields__), "HostConfig": set(HostConfig.__struct_encode_fields__)}
    for kind, flags in (("Config", CONFIG), ("HostConfig", (*RESOURCES, *HOST_CONFIG))):
        assert {flag.key.partition(".")[0] for flag in flags if flag.key} <= known[kind]
    names = [name for flag in SETTINGS for name in flag.names.split()]
    assert len(names) == len(set(names)) and not set(names) & set(NOT_BUILT)


@pytest.mark.parametrize(
    ("args", "config"),
    [
        (("-h", "box", "--domainname", "example.org"), {"Hostname": "box", "Domainname": "example.org"}),
        (("-u", "1:2", "-w", "/tmp"), {"User": "1:2", "WorkingDir": "/tmp"}),
        (("--entrypoint", "sh"), {"Entrypoint": ["sh"]}),
        (("--entrypoint", ""), {"Entrypoint": [""]}),
        (("--stop-signal", "INT", "--stop-timeout", "0"), {"StopSignal": "INT", "StopTimeout": 0}),
        (("--no-healthcheck",), {"Healthcheck": {"Test": ["NONE"]}}),
        (
            ("--health-cmd", "true", "--health-interval", "1m", "--health-retries", "2"),
            {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 60 * 10**9, "Retries": 2}},
        ),
        (("-l", "a=b", "--label", "c"), {"Labels": {"a": "b", "c": ""}}),
        (("--expose", "80", "--expose", "90-91/udp"), {"ExposedPorts": {"80/tcp": {}, "90/udp": {}, "91/udp": {}}}),
    ],
)
def test_config(args: tuple[str, ...], config: dict[str, Any]) -> None:
    assert config.items() <= body(*args, "busybox").items()


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        (("-m", "64m", "--memory-swap", "-1"), {"Memory": 64 << 20, "MemorySwap": -1}),
        (("--memory-reservation", "32m", "--memory-swappiness", "0"), {"MemoryReservation": 32 << 20, "MemorySwappiness": 0}),
        (("--oom-kill-disable", "--oom-score-adj", "-5"), {"OomKillDisable": True, "OomScoreAdj": -5}),
        (("--cpus", "1.5", "-c", "512"), {"NanoCpus": 1_500_000_000, "CpuShares": 512}),
        (("--cpu-period", "1000", "--cpu-quota", "-1"), {"CpuPeriod": 1000, "CpuQuota": -1}),
        (
            ("--cpuset-cpus", "0-1", "--cpuset-mems", "0", "--pids-limit", "9"),
            {"CpusetCpus": "0-1", "CpusetMems": "0", "PidsLimit": 9},
        ),
        (
            (
                "--ulimit",
                "nofile=1:2",
            ),
            {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]},
        ),
        (("--cap-add", "NET_ADMIN", "--cap-drop", "ALL"), {"CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"]}),
        (("--restart", "on-failure:3"), {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
        (
            ("--rm", "--read-only", "--init", "--privileged"),
            {"AutoRemove": True, "ReadonlyRootfs": True, "Init": True, "Privileged": True},
        ),
        (("--log-driver", "local", "--log-opt", "max-size=1m"), {"LogConfig": {"Type": "local", "Config": {"max-size": "1m"}}}),
        (
            ("--sysctl", "net.ipv4.ip_forward=1", "--annotation", "a=b"),
            {"Sysctls": {"net.ipv4.ip_forward": "1"}, "Annotations": {"a": "b"}},
        ),
        (
            ("--dns", "1.1.1.1", "--dns-option", "ndots:1", "--dns-search", "x"),
            {"Dns": ["1.1.1.1"], "DnsOptions": ["ndots:1"], "DnsSearch": ["x"]},
        ),
        (("--add-host", "db=10.0.0.2", "--group-add", "wheel"), {"ExtraHosts": ["db:10.0.0.2"], "GroupAdd": ["wheel"]}),
        (
            ("--network", "none", "--ipc", "none", "--cgroupns", "private"),
            {"NetworkMode": "none", "IpcMode": "none", "CgroupnsMode": "private"},
        ),
        (
            (
                "--shm-size",
                "0",
            ),
            {"ShmSize": 0},
        ),
        (("--security-opt", "no-new-privileges"), {"SecurityOpt": ["no-new-privileges"]}),
        (("--security-opt", "systempaths=unconfined"), {"SecurityOpt": [], "MaskedPaths": [], "ReadonlyPaths": []}),
        (("--cidfile", "/x"), {"ContainerIDFile": "/x"}),
    ],
)
def test_host_config(args: tuple[str, ...], settings: dict[str, Any]) -> None:
    assert host_config(*args) == settings


@pytest.mark.parametrize(
    ("args", "joined"),
    [
        ((), {"AttachStdout", "AttachStderr"}),
        (("-t",), {"AttachStdout", "AttachStderr"}),
        (("-i",), {"AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"}),
        (("-d", "-i"), set()),
        (("-i", "-a", "STDOUT"), {"AttachStdout"}),
        (("-i", "-a", "stdin"), {"AttachStdin", "StdinOnce"}),
    ],
)
def test_which_streams_are_joined(args: tuple[str, ...], joined: set[str]) -> None:
    made = body(*args, "busybox")
    assert {key for key in ("AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce") if made[key]} == joined
    assert made.get("OpenStdin", False) == ("-i" in args)


def test_files_are_read_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "yes")
    variables, labels, profile = tmp_path / "env", tmp_path / "labels", tmp_path / "seccomp.json"
    variables.write_text("A=file\nB=file\nFROM_HERE\nNOWHERE_TO_BE_FOUND\n")
    labels.write_text("a=file\nb=file\n")
    profile.write_text('{ "defaultAction" : "SCMP_ACT_ALLOW" }')
    made = body(
        *("-e", "B=flag", "--env-file", str(variables), "-e", "FROM_HERE", "-e", "NOWHERE_TO_BE_FOUND"),
        *("--label", "b=flag", "--label-file", str(labels), "--security-opt", f"seccomp={profile}", "busybox"),
    )
    assert made["Env"] == ["A=file", "B=file", "FROM_HERE=yes", "B=flag", "FROM_HERE=yes", "NOWHERE_TO_BE_FOUND"]
    assert made["Labels"] == {"a": "file", "b": "flag"}
    (option,) = made["HostConfig"]["SecurityOpt"]
    assert option.startswith("seccomp={") and json.loads(option[8:]) == {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("-m", "5x", "busybox"), "'5x' is no size"),
        (("--health-interval", "10", "busybox"), "'10' is no duration"),
        (("--memori", "5", "busybox"), "--memory"),
        (("-p", "80:x", "busybox"), "'x' in '80:x' is no port"),
        (("--network", "name=a,mode=b", "busybox"), "'mode' in 'name=a,mode=b' says nothing about a network"),
        (("--network", "alias=b", "busybox"), "names no network"),
        (("--volume=/a:/b", "busybox"), "--volume is not built yet"),
        (("--mount", "type=bind", "busybox"), "--mount is not built yet"),
        (("--pull", "sometimes", "busybox"), "'always', 'missing', 'never'"),
        (("-a", "stdnone", "busybox"), "stdnone"),
        (("--env-file", "/no/such/file", "busybox"), "cannot read /no/such/file: No such file"),
        (("--security-opt", "seccomp=/dev/null", "busybox"), "is no JSON"),
        ((), "IMAGE"),
    ],
)
def test_what_cannot_be_read_is_told(args: tuple[str, ...], says: str) -> None:
    with pytest.raises(click.UsageError) as told:
        parsed(*args)
    assert says in told.value.format_message()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--rm", "--restart", "always"), "--rm and --restart"),
        (("-d", "-a", "stdout"), "-d and -a"),
        (("--no-healthcheck", "--health-cmd", "true"), "--no-healthcheck"),
    ],
)
def test_what_contradicts_itself_is_refused(args: tuple[str, ...], says: str) -> None:
    with pytest.raises(Exception, match=says):
        body(*args, "busybox")
    assert body("--rm", "--restart", "no", "busybox")["HostConfig"]["AutoRemove"]


def test_update_sends_only_what_was_said() -> None:
    given = parsed("--cpus", "2", "--restart", "no", "web", command="update")
    assert settings(RESOURCES, given) == {"NanoCpus": 2 * 10**9, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}


# Networks


def test_ports_are_published() -> None:
    made = host_config("-p", "8080:80", "-p", "127.0.0.1:53:53/udp", "--publish", "9090:80", "-P")
    assert made["PublishAllPorts"] is True
    assert made["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "", "HostPort": "9090"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
    }


@pytest.mark.parametrize(
    ("args", "mode", "endpoints"),
    [
        ((), None, {}),
        (("--network", "back"), "back", {}),
        (("--net", "host"), "host", {}),
        (("--ip", "10.1.1.1"), None, {"default": {"IPAMConfig": {"IPv4Address": "10.1.1.1"}}}),
        (
            ("--network", "back", "--ip6", "fd00::1", "--network-alias", "a", "--net-alias", "b"),
            "back",
            {"back": {"IPAMConfig": {"IPv6Address": "fd00::1"}, "Aliases": ["a", "b"]}},
        ),
        (("--network", "back", "--link", "db:sql"), "back", {"back": {"Links": ["db:sql"]}}),
        (("--link", "db:sql"), None, {}),
        (
            ("--network", "name=back,alias=a,alias=b,ip=10.1.1.1,mac-address=02:42:0:0:0:1,driver-opt=k=v", "--net", "front"),
            "back",
            {
                "back": {
                    "Aliases": ["a", "b"],
                    "MacAddress": "02:42:0:0:0:1",
                    "DriverOpts": {"k": "v"},
                    "IPAMConfig": {"IPv4Address": "10.1.1.1"},
                }
            },
        ),
    ],
)
def test_a_container_is_made_on_its_first_network(args: tuple[str, ...], mode: str | None, endpoints: dict[str, Any]) -> None:
    made = body(*args, "busybox")
    assert made["HostConfig"].get("NetworkMode") == mode
    assert made.get("NetworkingConfig", {}).get("EndpointsConfig", {}) == endpoints


def test_it_is_connected_to_the_other_networks() -> None:
    given = parsed("--network", "back", "--network", "name=front,alias=a,ip=10.1.1.1", "--network", "side", "busybox")
    assert attachments(given)[1:] == [
        ("front", {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.1.1.1"}}),
        ("side", {}),
    ]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--network", "back", "--network", "back"), "named twice"),
        (("--network", "name=back,ip=10.1.1.1", "--ip", "10.1.1.2"), "contradict each other"),
    ],
)
def test_networks_that_contradict_each_other(args: tuple[str, ...], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        body(*args, "busybox")
