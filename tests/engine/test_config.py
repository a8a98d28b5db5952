"""longshored's options: dockerd's names, on the command line and in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import Config, parse
from engine.host.registry import Places
from engine.model.errors import EngineError, Invalid, NotBuilt


def test_defaults() -> None:
    config = parse([])
    assert config == Config()
    assert config.sockets == ("/run/longshore/engine.sock",)
    assert config.pid_path == "/run/longshore/longshored.pid"
    assert config.parent == "/longshore" and not config.systemd_cgroup


def test_every_flag() -> None:
    config = parse(
        [
            *("-H", "unix:///a/x.sock", "--host", "unix:///b/y.sock", "--data-root", "/d", "--exec-root=/e", "--pidfile", "/p"),
            *("--containerd", "/c.sock", "--bridge", "br9", "--bip", "10.9.0.1/24", "--cgroup-parent", "own.slice"),
            *("--default-address-pool", "base=10.8.0.0/14,size=16", "--default-address-pool", "size=24,base=10.7.0.0/16"),
            *("--exec-opt", "native.cgroupdriver=systemd", "--log-level", "debug", "--group", "ships"),
            *("--registry-mirror", "https://a.test", "--insecure-registry", "b.test:5000"),
            *("--insecure-registry", "10.1.0.0/16"),
        ]
    )
    assert config.sockets == ("/a/x.sock", "/b/y.sock")
    assert (config.data_root, config.exec_root, config.pid_path, config.containerd) == ("/d", "/e", "/p", "/c.sock")
    assert (config.bridge, config.bip, config.parent, config.group) == ("br9", "10.9.0.1/24", "own.slice", "ships")
    assert config.pools == (("10.8.0.0/14", 16), ("10.7.0.0/16", 24))
    assert config.systemd_cgroup and config.log_level == "debug"
    assert config.places == Places(mirrors=("https://a.test",), insecure=("b.test:5000", "10.1.0.0/16"))


def test_the_run_time_paths_follow_the_exec_root() -> None:
    config = parse(["--exec-root", "/run/two"])
    assert config.sockets == ("/run/two/engine.sock",) and config.pid_path == "/run/two/longshored.pid"


def settings(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "daemon.json"
    path.write_text(text)
    return ["--config-file", str(path)]


def test_a_file_says_the_same_as_flags(tmp_path: Path) -> None:
    file = {
        "data-root": "/d",
        "hosts": ["unix:///a.sock"],
        "default-address-pools": [{"base": "10.8.0.0/14", "size": 16}],
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "log-level": "warn",
    }
    flags = ["--data-root", "/d", "-H", "unix:///a.sock", "--default-address-pool", "base=10.8.0.0/14,size=16"]
    flags += ["--exec-opt", "native.cgroupdriver=cgroupfs", "-l", "warn"]
    assert parse(settings(tmp_path, json.dumps(file))) == parse(flags)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert parse(settings(tmp_path, "")) == Config()


def test_said_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"data-root \(from flag: /flag, from file: /file\)"):
        parse([*settings(tmp_path, '{"data-root": "/file"}'), "--data-root", "/flag"])


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"'dataroot'.*nearest is 'data-root'"):
        parse(settings(tmp_path, '{"dataroot": "/d"}'))


def test_an_unknown_flag_is_refused_with_the_nearest() -> None:
    with pytest.raises(Invalid, match="--data-root"):
        parse(["--data-rot", "/d"])


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"log-level": 3}', '{"hosts": "unix:///a"}', '{"default-address-pools": [{"base": "10.0.0.0/8"}]}']
)
def test_a_file_of_the_wrong_shape_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Invalid):
        parse(settings(tmp_path, text))


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such file"):
        parse(["--config-file", str(tmp_path / "none.json")])


@pytest.mark.parametrize(
    "argv",
    [
        ["--data-root", "here"],
        ["--exec-root", "run"],
        ["--exec-root", "/" + "x" * 120],
        ["--log-level", "loud"],
        ["--exec-opt", "native.cgroupdriver=none"],
        ["--exec-opt", "other=1"],
        ["--bridge", ""],
        ["--bridge", "a" * 16],
        ["--bridge", "a/b"],
        ["--bip", "10.0.0.1"],
        ["--bip", "10.0.0.0/24"],
        ["--bip", "fd00::1/64"],
        ["--bip", "x"],
        ["--mtu", "12"],
        ["--mtu", "x"],
        ["--default-address-pool", "10.0.0.0/8"],
        ["--default-address-pool", "base=10.0.0.0/8,size=4"],
        ["--default-address-pool", "base=x,size=16"],
        ["--default-address-pool", "base=10.0.0.0/8,size=16,more=1"],
        ["--cgroup-parent", "/a/../.."],
        ["--cgroup-parent", "/"],
        ["--cgroup-parent", "own.slice"],
        ["--exec-opt", "native.cgroupdriver=systemd", "--cgroup-parent", "/own"],
        ["stray"],
    ],
)
def test_what_can_never_work_is_refused_with_a_remedy(argv: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        parse(argv)
    assert refused.value.hint


@pytest.mark.parametrize(
    "argv", [["-H", "tcp://0.0.0.0:2375"], ["-H", "fd://"], ["-H", "unix://relative"], ["--bridge", "none"]]
)
def test_what_is_not_built_says_so(argv: list[str]) -> None:
    with pytest.raises(NotBuilt):
        parse(argv)


@pytest.mark.parametrize(("argv", "text"), [(["--version"], "longshored "), (["--help"], "--default-address-pool")])
def test_help_and_version_end_well(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 0 and text in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Is a directory"):
        parse(["--config-file", str(tmp_path)])
