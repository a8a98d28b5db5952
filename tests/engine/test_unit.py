"""The systemd unit, as systemd reads it, and the word systemd waits for."""

from __future__ import annotations

import configparser
import os
import shlex
import socket
import sys
from pathlib import Path

import pytest

from engine import unit as units
from engine.config import parse
from engine.host.systemd import journal, notify


def read(*options: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read_string(units.unit(parse(options), options))
    return parser


def test_containers_outlive_the_engine_and_have_no_mounts_of_its_own() -> None:
    service = read()["Service"]
    assert (service["KillMode"], service["Delegate"], service["Restart"]) == ("process", "yes", "on-failure")
    assert (service["Type"], service["TasksMax"]) == ("notify", "infinity")
    assert not [key for key in service if key.startswith(("Private", "Protect", "ReadOnly", "MountFlags", "Root"))]


def test_the_program_is_there_and_can_be_run() -> None:
    command, directory = shlex.split(read()["Service"]["ExecStart"]), read()["Service"].get("WorkingDirectory", "")
    assert os.access(command[0], os.X_OK) and os.path.isabs(command[0])
    assert Path(command[0]).parent == Path(sys.executable).parent
    assert not directory or Path(directory, "engine/__main__.py").exists()


def test_a_tree_that_is_not_installed_is_run_from_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.symlink_to(sys.executable)
    monkeypatch.setattr("sys.executable", str(python))
    service = read()["Service"]
    assert service["ExecStart"] == f"{python} -m engine"
    assert Path(service["WorkingDirectory"], "engine/__main__.py").exists()


def test_its_options_are_kept_and_the_disks_they_name_are_waited_for() -> None:
    options = ("--data-root", "/srv/a b%c", "--group", 'x$"y', "--log-level=debug")
    parser = read(*options)
    assert parser["Unit"]["RequiresMountsFor"] == '"/srv/a b%%c" /run/longshore'
    words = shlex.split(parser["Service"]["ExecStart"])[1:]
    assert tuple(word.replace("%%", "%").replace("$$", "$") for word in words) == options


def test_it_starts_at_boot_after_the_network() -> None:
    parser = read()
    assert parser["Install"]["WantedBy"] == "multi-user.target"
    assert "network-online.target" in parser["Unit"]["After"] and "network-online.target" in parser["Unit"]["Wants"]


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_that_we_are_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abstract: bool) -> None:
    name = f"@{tmp_path}" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_a_manager_that_is_deaf_or_absent_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    assert not caplog.messages
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/nobody")
    notify("READY=1")
    assert caplog.messages == [f"cannot tell the service manager at {tmp_path}/nobody: No such file or directory"]


def test_the_journal_is_known_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert not journal()
    there = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
    assert journal()
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino + 1}")
    assert not journal()
