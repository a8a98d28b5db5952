"""What the doctor says of hosts that lack this or that, and of this one."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.config import parse
from engine.doctor import FEW_INODES, LACKS, NOTE, OK, Finding, doctor, findings, report
from engine.host import Facts
from engine.host.preflight import preflight
from engine.host.survey import Directory, Survey, survey
from engine.host.tools import not_installed
from engine.model.errors import Conflict, Unavailable
from engine.spec.capabilities import ALL as CAPABILITIES

FACTS = Facts(
    kernel=(6, 1),
    kernel_release="6.1.0",
    cgroup_version=2,
    controllers=frozenset(("memory", "cpu", "cpuset", "pids", "io", "freezer")),
    capabilities=CAPABILITIES,
    containerd_version="1.6.20",
    runc_version="1.1.5",
)
FEWER = tuple(name for name in CAPABILITIES if name != "CAP_SYS_RESOURCE")
FINE = Survey(
    facts=FACTS,
    root=True,
    cgroups=("/sys/fs/cgroup",),
    overlay=True,
    data=Directory(path="/var/lib/longshore", filesystem="ext4", free=100 << 30, inodes=10**6),
    run=Directory(path="/run/longshore", filesystem="tmpfs"),
    namespaces=frozenset(("mnt", "uts", "ipc", "net", "pid", "cgroup")),
    nft="1.0.6",
    iptables="1.8.9",
    drops=False,
    busybox=True,
    files=65536,
    systemd=True,
)


def test_a_host_that_has_everything() -> None:
    found = list(findings(FINE))
    assert {finding.mark for finding in found} == {OK}
    assert report(found).endswith("\n\nContainers can run here.")


@pytest.mark.parametrize(
    ("lack", "about", "means", "do"),
    [
        ({"root": False}, "root", "you are not root", "sudo"),
        ({"facts": replace(FACTS, kernel=(5, 4), kernel_release="5.4.0-x")}, "kernel", "5.4.0-x is older than 5.6", "5.6"),
        ({"facts": replace(FACTS, capabilities=("CAP_CHOWN",))}, "capabilities", "lacks CAP_SYS_ADMIN, CAP_NET_ADMIN", "give"),
        ({"namespaces": frozenset(("mnt", "uts", "ipc", "net"))}, "namespaces", "lacks pid", "kernel"),
        ({"seccomp": False}, "seccomp", "cannot filter system calls", "CONFIG_SECCOMP_FILTER"),
        ({"lacks": {"cgroups": Unavailable("no cgroups", "mount them")}}, "cgroups", "no cgroups", "mount them"),
        ({"facts": replace(FACTS, systemd_cgroup=True), "systemd": False}, "cgroup driver", "systemd is asked for", "leave"),
        ({"lacks": {"runc": not_installed("runc")}}, "runc", "the program runc is not installed", "apt install runc"),
        ({"lacks": {"nft": not_installed("nft")}}, "nft", "the program nft is not installed", "apt install nftables"),
        (
            {"lacks": {"containerd-shim-runc-v2": not_installed("containerd-shim-runc-v2")}},
            "containerd",
            "the program containerd-shim-runc-v2 is not installed",
            "apt install containerd",
        ),
        (
            {"containerd": "/x.sock", "containerd_error": Conflict("lives in another mount namespace", "nsenter")},
            "containerd",
            "lives in another mount namespace",
            "nsenter",
        ),
        ({"lacks": {"overlayfs": Unavailable("no overlayfs", "modprobe overlay")}}, "overlayfs", "no overlayfs", "modprobe"),
        ({"data": replace(FINE.data, filesystem="nfs4")}, "overlayfs", "cannot have its writable layers on nfs4", "ext4"),
        ({"data": replace(FINE.data, types=False)}, "overlayfs", "does not tell files from directories", "ftype=1"),
        ({"data": replace(FINE.data, free=5 << 20)}, "disk", "only 5.0 MiB free", "make room"),
        ({"lacks": {"veth": Unavailable("no veth", "modprobe veth")}}, "veth", "no veth", "modprobe veth"),
    ],
)
def test_what_keeps_containers_from_running(lack: dict[str, Any], about: str, means: str, do: str) -> None:
    (finding,) = bad(replace(FINE, **lack), LACKS)
    assert finding.about == about and means in finding.means and do in finding.do
    assert report([finding]).endswith(f"Containers cannot run here yet: see {about}.")


@pytest.mark.parametrize(
    ("little", "about", "means"),
    [
        ({"facts": replace(FACTS, capabilities=FEWER)}, "capabilities", "without CAP_SYS_RESOURCE"),
        (
            {"facts": replace(FACTS, controllers=frozenset(("cpu", "pids")))},
            "cgroups",
            "no limits can be set for memory, cpuset",
        ),
        ({"busybox": None}, "busybox", "is not installed"),
        ({"busybox": False}, "busybox", "needs libraries"),
        ({"ps": False}, "ps", "the program ps is not installed"),
        ({"overlay": None}, "overlayfs", "only root can tell"),
        ({"data": replace(FINE.data, free=1 << 30)}, "disk", "only 1.0 GiB free"),
        ({"data": replace(FINE.data, inodes=FEW_INODES - 1)}, "disk", "only 9999 more files"),
        ({"run": replace(FINE.run, filesystem="ext4")}, "run", "outlives a reboot"),
        ({"run": replace(FINE.run, filesystem="ext4"), "boot": "another"}, "run", "it is of another boot"),
        ({"drops": True, "iptables": ""}, "firewall", "no network"),
        ({"drops": None}, "firewall", "cannot be seen"),
        ({"files": 1024}, "files", "enough for about 170 running containers"),
        ({"systemd": False}, "boot", "nothing starts the engine at boot"),
    ],
)
def test_what_is_worth_knowing_and_lets_containers_run(little: dict[str, Any], about: str, means: str) -> None:
    seen = replace(FINE, **little)
    (finding,) = bad(seen, NOTE)
    assert finding.about == about and means in finding.means
    assert not bad(seen, LACKS)


@pytest.mark.parametrize(
    ("there", "about", "means"),
    [
        ({"data": replace(FINE.data, inodes=None)}, "disk", "100.0 GiB free for /var/lib/longshore"),
        ({"containerd": "/x.sock"}, "containerd", "the one at /x.sock answers"),
        ({"drops": True, "bridged": True}, "firewall", "those within a bridge too"),
        ({"drops": False, "iptables": ""}, "firewall", "iptables, which is not installed, is not needed"),
        ({"strangers": {"Docker": True}}, "Docker", "is or was at work here"),
        ({"strangers": {"podman": False}}, "podman", "is installed"),
        ({"forwards": True}, "forwarding", "on for the whole host"),
    ],
)
def test_what_is_well_is_said_too(there: dict[str, Any], about: str, means: str) -> None:
    found = list(findings(replace(FINE, **there)))
    assert {finding.mark for finding in found} == {OK}
    assert [finding for finding in found if finding.about == about and means in finding.means]


def test_the_report_is_aligned_and_fits_eighty_columns() -> None:
    long = "what is long is wrapped below where it began, " * 3
    text = report([Finding(OK, "a", "short"), Finding(LACKS, "a longer one", long, "this, then that")])
    lines = text.splitlines()
    assert lines[0] == "ok     a             short"
    assert lines[1].startswith("lacks  a longer one  what is long")
    assert all(len(line) <= 80 for line in lines)
    column = lines[0].index("short")
    assert all(line[:column].isspace() for line in lines[2:-2])
    assert lines[-3].strip() == "-> this, then that"
    assert textwrap.dedent(text).isascii()


async def test_this_host_is_as_fit_as_the_engine_finds_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["--data-root", str(tmp_path / "not/made/yet"), "--exec-root", str(tmp_path / "run")]
    assert await doctor(parse(options)) == 0
    assert not await preflight()
    assert "Containers can run here." in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []  # it has made nothing


async def test_a_containerd_that_does_not_answer_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert await doctor(parse(["--containerd", str(tmp_path / "c.sock")])) == 1
    assert "cannot reach containerd at" in capsys.readouterr().out


async def test_who_is_not_root_is_told_what_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    seen = await survey(Facts())
    assert not seen.root and seen.drops is None
    assert [finding.about for finding in findings(seen) if finding.mark == LACKS] == ["root"]


async def test_the_survey_sees_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "boot-id").write_text("another")
    seen = await survey(Facts(root=str(tmp_path), exec_root=str(tmp_path)))
    assert seen.boot == "another"
    assert seen.data.types and seen.data.free > 0 and seen.data.filesystem
    assert (await survey(Facts(root="/proc/1", exec_root="/dev/shm/x"))).data.filesystem == "proc"
    (tmp_path / "boot-id").write_bytes(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    assert (await survey(Facts(exec_root=str(tmp_path)))).boot == "this"


def bad(seen: Survey, mark: str) -> list[Finding]:
    return [finding for finding in findings(seen) if finding.mark == mark]
