"""What the host is and what it lacks."""

import errno
import os
import platform
import subprocess
from pathlib import Path

import pytest

from engine.host import Facts
from engine.host.cgroup_files import hierarchies
from engine.host.facts import cgroup2_mount, cgroup_version, decode_capabilities, read_facts
from engine.host.preflight import preflight
from engine.model.errors import Forbidden
from engine.spec.capabilities import ALL as CAPABILITIES


async def test_facts_are_what_other_programs_say() -> None:
    facts = await read_facts(Facts(root="/data", exec_root="/run/here", bridge="other0", cgroup_parent="/ours"))
    assert (facts.root, facts.exec_root, facts.bridge, facts.cgroup_parent) == ("/data", "/run/here", "other0", "/ours")
    assert facts.kernel_release == said("uname", "-r")
    assert facts.kernel_release.startswith(".".join(map(str, facts.kernel)))
    assert facts.architecture == said("dpkg", "--print-architecture")
    assert facts.hostname == platform.node()
    assert facts.cpus == int(said("nproc", "--all"))
    assert facts.memory // 1024 == int(said("awk", "/^MemTotal:/ {print $2}", "/proc/meminfo"))
    assert facts.containerd_version in said("containerd", "--version")
    assert facts.runc_version in said("runc", "--version")
    assert facts.containerd_version[0].isdigit()
    assert facts.runc_version[0].isdigit()
    assert facts.cgroup_version == cgroup_version() == (1 if os.path.isdir("/sys/fs/cgroup/freezer") else 2)
    assert {"freezer", "pids", "memory", "cpu"} <= facts.controllers


async def test_the_bounding_set_is_read_from_the_kernel() -> None:
    facts = await read_facts(Facts())
    bits = sum(1 << CAPABILITIES.index(name) for name in facts.capabilities)
    assert f"CapBnd:\t{bits:016x}" in Path("/proc/self/status").read_text()


def test_capabilities_have_their_kernels_numbers() -> None:
    assert len(CAPABILITIES) == 41
    assert decode_capabilities(1) == ("CAP_CHOWN",)
    assert decode_capabilities(1 << 21 | 1 << 40) == ("CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE")
    assert decode_capabilities(1 << 63) == ()


async def test_on_cgroup2_the_controllers_are_those_a_child_can_get() -> None:
    root = cgroup2_mount()
    assert cgroup_version(root) == 2
    facts = await read_facts(Facts(), root)
    assert facts.cgroup_version == 2
    assert facts.controllers - {"swap"} == {"freezer", *Path(root, "cgroup.controllers").read_text().split()}


async def test_swap_counts_only_where_the_kernel_accounts_for_it(tmp_path: Path) -> None:
    for controllers, swap, counted in ((["memory"], True, True), (["memory"], False, False), (["cpu"], False, False)):
        root = tmp_path / f"{controllers}{swap}"
        for name in (*controllers, "freezer", "systemd", "unified"):
            (root / name).mkdir(parents=True)
        if swap:
            (root / "memory" / "memory.memsw.limit_in_bytes").touch()
        facts = await read_facts(Facts(), str(root))
        assert facts.controllers == {*controllers, "freezer", *(["swap"] if counted else [])}
        assert "unified" in hierarchies(str(root))


async def test_this_host_lacks_nothing() -> None:
    assert await preflight() == []


async def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("engine.host.tools.SEARCH_PATH", str(tmp_path))
    missing = [str(error) for error in await preflight()]
    assert "the program nft is not installed; install it: apt install nftables" in missing
    assert len(missing) == 4
    assert len(await preflight(own_containerd=False)) == 2
    facts = await read_facts(Facts())
    assert (facts.containerd_version, facts.runc_version) == ("", "")


async def test_who_is_not_root_is_told_so_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (error,) = await preflight()
    assert isinstance(error, Forbidden)
    assert "sudo" in error.hint


async def test_a_kernel_without_the_parts_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr("engine.host.preflight.mount", refuse)
    monkeypatch.setattr("engine.host.preflight._makes_links", lambda kind: False)
    missing = [str(error) for error in await preflight(cgroup_root=str(tmp_path))]
    assert [sentence.partition(";")[0] for sentence in missing] == [
        "this kernel has no overlayfs",
        "this kernel makes no links of kind bridge",
        "this kernel makes no links of kind veth",
        f"no cgroups are mounted on {tmp_path}",
    ]


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
