"""The specification on the real runtime: what runc makes of it, seen from inside."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.host import Facts, User
from engine.model.container import Container
from engine.model.settings import Config, HostConfig, Ulimit
from engine.spec import capabilities, oci, settings

from .made import container

Run = Callable[..., str]
PARENT = "/longshore-spec-test"


def own_facts(parent: str) -> Facts:
    """This host's, as far as the specification needs them."""
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    v2 = Path("/sys/fs/cgroup/cgroup.controllers")
    controllers = v2.read_text().split() if v2.exists() else [path.name for path in Path("/sys/fs/cgroup").iterdir()]
    return Facts(
        kernel=(6, 1),
        cgroup_version=2 if v2.exists() else 1,
        cgroup_parent=parent,
        controllers=frozenset(controllers),
        capabilities=tuple(name for bit, name in enumerate(capabilities.ALL) if bounding >> bit & 1),
        cpus=os.cpu_count() or 1,
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run a shell script in a container of these settings; what it printed."""
    tag = secrets.token_hex(4)
    netns, parent = f"longshore-{tag}", f"{PARENT}-{tag}"
    facts = own_facts(parent)
    root = tmp_path / "root"
    for name in ("bin", "proc", "sys", "dev", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("hosts", "hostname", "resolv.conf"):
        (tmp_path / name).write_text(f"own {name}\n")
        (root / "etc" / name).touch()

    def run(script: str, config: Config | None = None, host_config: HostConfig | None = None, user: User | None = None) -> str:
        kept, warnings = settings.verify(config or Config(), host_config or HostConfig(), facts)
        assert warnings == ()
        c: Container = container(config, kept, facts, "/bin/busybox", "sh", "-c", script)
        spec = oci.build(replace(c, id=tag * 8), facts, user or User(), str(root), f"/run/netns/{netns}", str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps(spec))
        done = subprocess.run(
            ["runc", "--root", str(tmp_path / "state"), "run", "--bundle", str(tmp_path), netns],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        yield run
    finally:
        subprocess.run(["runc", "--root", str(tmp_path / "state"), "delete", "--force", netns], capture_output=True)
        subprocess.run(["ip", "netns", "delete", netns], check=True)
        for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
            cgroup = hierarchy / parent.strip("/")
            if cgroup.is_dir():
                cgroup.rmdir()


def test_the_defaults(run: Run) -> None:
    script = """b=/bin/busybox
        $b hostname; $b cat /etc/hosts /etc/hostname; $b id -u
        $b grep -E 'CapEff|CapInh|Seccomp:|NoNewPrivs' /proc/self/status
        $b unshare -n $b true 2>/dev/null || echo no new namespaces
        echo x 2>/dev/null >/proc/sys/kernel/panic || echo no kernel parameters
        $b cat /dev/zero | $b head -c 3 | $b wc -c
        $b mknod /dev/mem c 1 1; $b cat /dev/mem >/dev/null 2>&1 || echo no memory of the host"""
    lines = run(script).split("\n")
    assert len(lines[0]) == 12
    assert lines[1:4] == ["own hosts", "own hostname", "0"]
    text = "\n".join(lines)
    assert "CapInh:\t0000000000000000" in text
    held = sum(1 << capabilities.ALL.index(name) for name in capabilities.DEFAULT)
    assert f"CapEff:\t{held:016x}" in text
    assert "Seccomp:\t2" in text
    assert "NoNewPrivs:\t0" in text
    assert "no new namespaces\nno kernel parameters\n3\nno memory of the host" in text


def test_all_that_can_be_asked_for(run: Run) -> None:
    script = """b=/bin/busybox
        $b hostname; $b cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj
        ulimit -n; ulimit -Hn; $b id; $b pwd; echo $A
        $b grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; $b mount | $b grep /dev/shm
        $b touch /x 2>/dev/null || echo read-only; $b ls -A /proc/bus"""
    config = Config(hostname="db", domainname="example.org", env=("A=1",), working_dir="/bin")
    asked = HostConfig(
        sysctls={"net.ipv4.ip_forward": "1"},
        oom_score_adj=100,
        ulimits=(Ulimit(name="nofile", soft=100, hard=200),),
        cap_drop=("ALL",),
        cap_add=("CHOWN",),
        security_opt=("no-new-privileges", "seccomp=unconfined"),
        shm_size=1 << 20,
        readonly_rootfs=True,
        masked_paths=("/proc/bus",),
        readonly_paths=(),
    )
    lines = run(script, config, asked, User(uid=1000, gid=1001, groups=(1002,))).splitlines()
    assert lines[:10] == [
        "db",
        "example.org",
        "1",
        "100",
        "100",
        "200",
        "uid=1000 gid=1001 groups=1001,1002",
        "/bin",
        "1",
        "CapEff:\t0000000000000000",
    ]
    assert lines[10:12] == ["NoNewPrivs:\t1", "Seccomp:\t0"]
    assert "size=1024k" in lines[12]
    assert lines[13:] == ["read-only"]


def test_limits_reach_the_cgroup(run: Run) -> None:
    asked = HostConfig(memory=64 << 20, memory_swap=-1, pids_limit=20, nano_cpus=500_000_000)
    v1, v2 = "*/memory.limit_in_bytes */pids.max */cpu.cfs_quota_us", "memory.max pids.max cpu.max"
    script = f"cd /sys/fs/cgroup; /bin/busybox cat {v1} {v2} 2>/dev/null || true"
    assert run(script, None, asked).split()[:3] == [str(64 << 20), "20", "50000"]
