from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.host import Facts, User
from engine.model.container import Container
from engine.model.settings import Config, HostConfig, Ulimit
from engine.spec import capabilities, oci, settings

from .made import BARE, FACTS, ID, container

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build(c: Container, facts: Facts = FACTS, user: User | None = None) -> dict[str, Any]:
    return oci.build(c, facts, user or User(), root="/merged", netns="/netns/x", directory="/containers/x")


def test_the_process() -> None:
    user = User(uid=5, gid=6, groups=(7, 6, 8))
    c = container(Config(env=("A=1",), working_dir="/srv"), None, FACTS, "/bin/echo", "a b")
    held = [name for name in capabilities.ALL if name in capabilities.DEFAULT]
    assert build(c, user=user)["process"] == {
        "terminal": False,
        "user": {"uid": 5, "gid": 6, "additionalGids": [6, 7, 8]},
        "args": ["/bin/echo", "a b"],
        "env": [PATH, "HOSTNAME=0123456789ab", "A=1"],
        "cwd": "/srv",
        "capabilities": {"bounding": held, "effective": held, "permitted": held},
        "rlimits": [],
        "noNewPrivileges": False,
        "oomScoreAdj": 0,
    }


def test_a_probe_is_the_same_process_with_another_command() -> None:
    c = container(Config(env=("A=1",)))
    probe = oci.process(c, FACTS, User(), ("probe",))
    assert probe == build(c)["process"] | {"args": ["probe"]}


def test_an_exec_has_more_to_say() -> None:
    c = container(Config(env=("A=1", "B=1"), working_dir="/srv"), HostConfig(cap_drop=("ALL",)))
    held = {"bounding": list(FACTS.capabilities), "effective": list(FACTS.capabilities), "permitted": list(FACTS.capabilities)}
    exec = oci.process(
        c, FACTS, User(), ("sh",), terminal=True, size=(24, 80), env=("B=2", "A", "TERM=vt100"), cwd="/", privileged=True
    )
    assert exec == build(c)["process"] | {
        "terminal": True,
        "consoleSize": {"height": 24, "width": 80},
        "args": ["sh"],
        "env": [PATH, "HOSTNAME=0123456789ab", "TERM=vt100", "B=2"],
        "cwd": "/",
        "capabilities": held,
    }


def test_a_terminal() -> None:
    process = build(container(Config(tty=True), HostConfig(console_size=(24, 80))))["process"]
    assert process["terminal"] and process["consoleSize"] == {"height": 24, "width": 80}
    assert process["env"] == [PATH, "HOSTNAME=0123456789ab", "TERM=xterm"]
    assert "consoleSize" not in build(container(Config(tty=True), HostConfig(console_size=(0, 0))))["process"]
    assert "consoleSize" not in build(container(Config(), HostConfig(console_size=(24, 80))))["process"]


def test_capabilities_are_clipped_to_the_engines() -> None:
    facts = replace(FACTS, capabilities=("CAP_CHOWN", "CAP_NET_ADMIN"))
    spec = build(container(host_config=HostConfig(cap_add=("ALL",))), facts)
    assert spec["process"]["capabilities"]["bounding"] == ["CAP_CHOWN", "CAP_NET_ADMIN"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ((), [PATH, "HOSTNAME=0123456789ab"]),
        (("PATH=/x",), ["PATH=/x", "HOSTNAME=0123456789ab"]),
        (("A=1", "A=2", "B="), [PATH, "HOSTNAME=0123456789ab", "A=2", "B="]),
        (("HOSTNAME", "A=1", "A"), [PATH]),
    ],
)
def test_environment(env: tuple[str, ...], expected: list[str]) -> None:
    assert oci.environment(container(Config(env=env))) == expected


@given(st.lists(st.from_regex(r"[A-C](=[xy]?)?", fullmatch=True), max_size=8))
def test_the_last_word_on_a_variable_counts(env: list[str]) -> None:
    found = oci.environment(container(Config(env=tuple(env))))
    for name in "ABC":
        last = next((entry for entry in reversed(env) if entry[0] == name), name)
        assert [entry for entry in found if entry[0] == name and entry[1] == "="] == ([last] if "=" in last else [])


def test_root_hostname_and_domain() -> None:
    spec = build(container(Config(hostname="db", domainname="example.org"), HostConfig(readonly_rootfs=True)))
    assert spec["root"] == {"path": "/merged", "readonly": True}
    assert spec["hostname"] == "db"
    assert spec["linux"]["sysctl"]["kernel.domainname"] == "example.org"
    assert all("ro" in mount["options"] for mount in spec["mounts"][-3:])


def test_mounts_in_order() -> None:
    mounts = build(container())["mounts"]
    assert [mount["destination"] for mount in mounts] == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/mqueue",
        "/dev/shm",
        "/etc/resolv.conf",
        "/etc/hostname",
        "/etc/hosts",
    ]
    shm, hosts = mounts[6], mounts[9]
    assert shm == {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"],
    }
    assert hosts == {
        "destination": "/etc/hosts",
        "type": "bind",
        "source": "/containers/x/hosts",
        "options": ["rbind", "rprivate"],
    }


def test_no_ipc_no_shared_memory() -> None:
    found = build(container(host_config=HostConfig(ipc_mode="none")))
    assert "/dev/shm" not in {mount["destination"] for mount in found["mounts"]}


def test_building_twice_gives_the_same_and_leaves_the_tables_alone() -> None:
    c = container(host_config=HostConfig(shm_size=5, masked_paths=("/x",)))
    assert build(c) == build(c)
    assert build(container())["linux"]["maskedPaths"] == list(oci.MASKED_PATHS)


def test_namespaces() -> None:
    kinds = ["network", "mount", "uts", "pid", "ipc"]
    v1 = build(container())["linux"]["namespaces"]
    assert v1[0] == {"type": "network", "path": "/netns/x"}
    assert [namespace["type"] for namespace in v1] == kinds
    v2 = build(container(facts=BARE), BARE)["linux"]["namespaces"]
    assert [namespace["type"] for namespace in v2] == [*kinds, "cgroup"]


def test_nothing_asked_is_left_out_so_that_a_host_without_controllers_can_keep_it() -> None:
    assert set(build(container(facts=BARE), BARE)["linux"]["resources"]) == {"devices"}


def test_limits() -> None:
    asked = HostConfig(
        memory=10**7,
        memory_reservation=8 * 10**6,
        memory_swappiness=0,
        oom_kill_disable=True,
        nano_cpus=1_500_000_000,
        cpu_shares=512,
        cpuset_cpus="0-1",
        cpuset_mems="0",
        pids_limit=9,
        blkio_weight=100,
    )
    resources = build(container(host_config=asked))["linux"]["resources"]
    assert resources.pop("devices")
    assert resources == {
        "memory": {"limit": 10**7, "reservation": 8 * 10**6, "swap": 2 * 10**7, "swappiness": 0, "disableOOMKiller": True},
        "cpu": {"shares": 512, "quota": 150_000, "period": 100_000, "cpus": "0-1", "mems": "0"},
        "pids": {"limit": 9},
        "blockIO": {"weight": 100},
    }


def test_unlimited_swap_is_left_out_and_a_quota_passes() -> None:
    asked = HostConfig(memory=10**7, memory_swap=-1, cpu_quota=5000, cpu_period=20000)
    resources = build(container(host_config=asked))["linux"]["resources"]
    assert resources["memory"] == {"limit": 10**7}
    assert resources["cpu"] == {"quota": 5000, "period": 20000}


def test_devices() -> None:
    rules = build(container())["linux"]["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert [(rule["major"], rule["minor"], rule["allow"]) for rule in rules[1:]] == [
        (1, 5, True),
        (1, 3, True),
        (1, 9, True),
        (1, 8, True),
        (5, 0, True),
        (5, 1, True),
        (10, 229, False),
    ]


def test_ulimits() -> None:
    limits = (Ulimit(name="nofile", soft=1, hard=2), Ulimit(name="core", soft=-1, hard=-1))
    assert build(container(host_config=HostConfig(ulimits=limits)))["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2},
        {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1},
    ]


def test_sysctls_can_be_overridden() -> None:
    asked = HostConfig(sysctls={"net.ipv4.ip_unprivileged_port_start": "1024", "net.core.somaxconn": "9"})
    assert build(container(host_config=asked))["linux"]["sysctl"] == {
        "net.ipv4.ping_group_range": "0 2147483647",
        "net.ipv4.ip_unprivileged_port_start": "1024",
        "net.core.somaxconn": "9",
    }
    assert build(container(), replace(FACTS, ping_group_range=False))["linux"]["sysctl"] == {}


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        (FACTS, f"/longshore/{ID}"),
        (replace(FACTS, cgroup_parent="a/b/"), f"/a/b/{ID}"),
        (replace(FACTS, cgroup_parent="/"), f"/{ID}"),
        (replace(FACTS, systemd_cgroup=True, cgroup_parent="my.slice"), f"my.slice:longshore:{ID}"),
    ],
)
def test_cgroups_path(facts: Facts, path: str) -> None:
    assert build(container(), facts)["linux"]["cgroupsPath"] == path


def test_an_engine_that_cannot_lower_the_score_does_not_try() -> None:
    assert "oomScoreAdj" not in build(container(), BARE)["process"]
    assert build(container(host_config=HostConfig(oom_score_adj=5)), BARE)["process"]["oomScoreAdj"] == 5


def test_security() -> None:
    builtin = build(container())
    assert builtin["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not builtin["process"]["noNewPrivileges"]
    loose = build(container(host_config=HostConfig(security_opt=("seccomp=unconfined", "no-new-privileges"))))
    assert "seccomp" not in loose["linux"]
    assert loose["process"]["noNewPrivileges"]
    own = build(container(host_config=HostConfig(security_opt=('seccomp={"defaultAction": "SCMP_ACT_LOG"}',))))
    assert own["linux"]["seccomp"] == {"defaultAction": "SCMP_ACT_LOG"}


def test_paths_and_annotations() -> None:
    spec = build(container(host_config=HostConfig(masked_paths=(), readonly_paths=("/a",), annotations={"k": "v"})))
    assert spec["linux"]["maskedPaths"] == []
    assert spec["linux"]["readonlyPaths"] == ["/a"]
    assert spec["annotations"] == {"k": "v"}
    assert "annotations" not in build(container())


def test_verified_and_adapted_settings_make_a_specification_on_a_bare_host() -> None:
    asked = HostConfig(memory=10**7, nano_cpus=10**9, pids_limit=5, cpuset_cpus="0", oom_score_adj=-5)
    kept, warnings = settings.verify(Config(), asked, BARE)
    spec = build(container(host_config=kept, facts=BARE), BARE)
    assert set(spec["linux"]["resources"]) == {"devices"}
    assert len(warnings) == 5
