"""The built-in profile decides as Docker's does: compared call by call with the profile Debian ships, by an own reading of it.

Debian's is Docker 20.10.24, ours follows 24.0. What changed in between is in `newer`, each by name.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from engine.spec import capabilities, seccomp

BUILD = Path(__file__).parents[3] / "build"
PACKAGE = "golang-github-docker-docker-dev"
PROFILE = "usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json"

Profile = dict[str, Any]


@pytest.fixture(scope="session")
def debian() -> Profile:
    """Docker's own profile, from Debian's package, downloaded once into `build/`."""
    tree = BUILD / PACKAGE
    if not (tree / PROFILE).exists():
        archives = BUILD / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", PACKAGE], cwd=archives, check=True, capture_output=True, timeout=100)
        (archive,) = archives.glob(f"{PACKAGE}_*.deb")
        subprocess.run(["dpkg", "-x", str(archive), str(tree)], check=True, timeout=60)
    profile: Profile = json.loads((tree / PROFILE).read_bytes())
    return profile


def holds(arg: Profile, args: tuple[int, ...]) -> bool:
    value, wanted = args[arg["index"]], arg["value"]
    answers: dict[str, bool] = {
        "SCMP_CMP_EQ": value == wanted,
        "SCMP_CMP_NE": value != wanted,
        "SCMP_CMP_MASKED_EQ": value & wanted == arg.get("valueTwo", 0),
    }
    return answers[arg["op"]]


def answer(rules: list[Profile], call: str, args: tuple[int, ...]) -> str | int:
    """What a list of rules that all apply says to one call: `allow`, or an errno. An allowing rule wins."""
    said: str | int = 1
    for rule in rules:
        if call in rule["names"] and all(holds(arg, args) for arg in rule.get("args") or ()):
            if rule["action"] == "SCMP_ACT_ALLOW":
                return "allow"
            said = rule.get("errnoRet", 1)
    return said


def applying(profile: Profile, held: frozenset[str], arch: str) -> list[Profile]:
    """Docker's rules that apply to these capabilities on this architecture and a kernel newer than 4.8."""
    found = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if (
            set(includes.get("caps", [])) <= held
            and not set(excludes.get("caps", [])) & held
            and (not includes.get("arches") or arch in includes["arches"])
            and arch not in excludes.get("arches", [])
        ):
            found.append(rule)
    return found


EVERYONE = frozenset(capabilities.ALL)
HELD = (
    frozenset[str](),
    capabilities.DEFAULT,
    EVERYONE,
    EVERYONE - {"CAP_SYS_ADMIN"},
    *(frozenset({capability}) for capability in capabilities.ALL),
)
ARGS = (
    *((value, 0) for value in (0, 1, 8, 16, 40, 0x20000, 0x20008, 0x7E020000, 0x02000000, 0x10000000, 0x00011200)),
    *((0xFFFFFFFF, second) for second in (0, 0x40000000)),
)


def newer(call: str, held: frozenset[str], arch: str, args: tuple[int, ...]) -> str | int | None:
    """Docker 24.0's answer where it is not 20.10's any more; None where nothing changed."""
    match call:
        case "name_to_handle_at":  # Only names a file; opening by handle still needs CAP_DAC_READ_SEARCH.
            return "allow"
        case "pkey_alloc" | "pkey_free" | "pkey_mprotect":  # Memory protection keys.
            return "allow"
        case "process_vm_readv" | "process_vm_writev":  # As ptrace, allowed since kernel 4.8 for everyone.
            return "allow"
        case "socket":  # AF_VSOCK reaches the hypervisor; no namespace holds it.
            return 1 if args[0] == 40 else "allow"
        case "clock_settime64":  # The 64-bit twin of clock_settime.
            return "allow" if "CAP_SYS_TIME" in held else 1
        case "set_mempolicy_home_node":  # Kernel 5.17.
            return "allow" if "CAP_SYS_NICE" in held else 1
        case "bpf":  # CAP_BPF was split from CAP_SYS_ADMIN in kernel 5.8,
            return "allow" if held & {"CAP_BPF", "CAP_SYS_ADMIN"} else 1
        case "perf_event_open":  # and so was CAP_PERFMON.
            return "allow" if held & {"CAP_PERFMON", "CAP_SYS_ADMIN"} else 1
        case "swapcontext":
            return "allow" if arch == "ppc64le" else 1
        case "riscv_flush_icache":
            return "allow" if arch == "riscv64" else 1
    return None


NEVER = frozenset(
    {
        "_sysctl", "add_key", "create_module", "get_kernel_syms", "kexec_file_load", "kexec_load", "keyctl", "migrate_pages",
        "move_pages", "nfsservctl", "no_such_call", "pivot_root", "query_module", "request_key", "swapoff", "swapon", "sysfs",
        "uselib", "userfaultfd", "ustat", "vm86", "vm86old",
    }
)  # fmt: skip
"""Refused to everyone."""


@pytest.mark.parametrize("arch", ["386", "amd64", "arm", "arm64", "ppc64le", "s390x", "riscv64"])
def test_every_decision_is_dockers(debian: Profile, arch: str) -> None:
    theirs_arch = "x86" if arch == "386" else arch
    calls = {name for rule in debian["syscalls"] for name in rule["names"]} | NEVER
    calls |= {name for rule in seccomp.builtin(EVERYONE, arch, (6, 1))["syscalls"] for name in rule["names"]}
    differing = set()
    for held in HELD:
        ours, theirs = seccomp.builtin(held, arch, (6, 1))["syscalls"], applying(debian, held, theirs_arch)
        with_args = {name for rule in (*ours, *theirs) if rule.get("args") for name in rule["names"]}
        for call in sorted(calls):
            for args in ARGS if call in with_args else ARGS[:1]:
                before, changed = answer(theirs, call, args), newer(call, held, arch, args)
                expected = before if changed is None else changed
                assert answer(ours, call, args) == expected, (call, args, sorted(held))
                if expected != before:
                    differing.add(call)
    assert differing - {"swapcontext", "riscv_flush_icache"} == {
        "name_to_handle_at",
        "pkey_alloc",
        "pkey_free",
        "pkey_mprotect",
        "process_vm_readv",
        "process_vm_writev",
        "socket",
        "clock_settime64",
        "set_mempolicy_home_node",
        "bpf",
        "perf_event_open",
    }


def test_machines_are_dockers(debian: Profile) -> None:
    for entry in debian["archMap"]:
        ours = {"SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_AARCH64": "arm64", "SCMP_ARCH_S390X": "s390x"}
        if arch := ours.get(entry["architecture"]):
            expected = [entry["architecture"], *entry["subArchitectures"]]
            assert seccomp.builtin((), arch, (6, 1))["architectures"] == expected


def test_an_unknown_machine_filters_its_own_calls_only() -> None:
    assert "architectures" not in seccomp.builtin((), "loong64", (6, 1))


def test_an_old_kernel_may_not_trace() -> None:
    assert answer(seccomp.builtin((), "amd64", (4, 7))["syscalls"], "ptrace", (0, 0)) == 1
    assert answer(seccomp.builtin((), "amd64", (4, 8))["syscalls"], "ptrace", (0, 0)) == "allow"
    assert answer(seccomp.builtin(("CAP_SYS_PTRACE",), "amd64", (4, 7))["syscalls"], "ptrace", (0, 0)) == "allow"


def test_dockers_own_profile_can_be_given_as_ones_own(debian: Profile) -> None:
    for held in (frozenset[str](), capabilities.DEFAULT, EVERYONE):
        profile = seccomp.custom(json.dumps(debian), held, "amd64", (6, 1))
        assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
        assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
        theirs = applying(debian, held, "amd64")
        assert [rule["names"] for rule in profile["syscalls"]] == [rule["names"] for rule in theirs]
        assert [rule.get("errnoRet") for rule in profile["syscalls"]] == [rule.get("errnoRet") for rule in theirs]


def test_conditions_of_ones_own_profile() -> None:
    def rules(**conditions: Any) -> list[Profile]:
        rule = {"name": "mkdir", "action": "SCMP_ACT_ALLOW", **conditions}
        text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]})
        found: list[Profile] = seccomp.custom(text, {"CAP_KILL"}, "386", (5, 10)).get("syscalls", [])
        return found

    assert rules() == [{"names": ["mkdir"], "action": "SCMP_ACT_ALLOW"}]
    for include in ({"caps": ["CAP_KILL"]}, {"arches": ["arm", "x86"]}, {"minKernel": "5.9"}, {"minKernel": "5.10"}):
        assert rules(includes=include)
        assert not rules(excludes=include)
    for exclude in ({"caps": ["CAP_CHOWN"]}, {"arches": ["arm"]}, {"minKernel": "5.11"}):
        assert not rules(includes=exclude)
        assert rules(excludes=exclude)


def test_arguments_of_ones_own_profile() -> None:
    arg = {"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}
    rule = {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [arg]}
    text = json.dumps({"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 5, "flags": ["X"], "syscalls": [rule]})
    expected = {"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 5, "flags": ["X"], "syscalls": [rule]}
    assert seccomp.custom(text, (), "amd64", (6, 1)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "\ud800",
        '{"defaultAction": "ALLOW"}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["a"], "archMap": [{"architecture": "a"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "action": "SCMP_ACT_NOTIFY"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "action": "SCMP_ACT_LOG", "includes": {"cap": []}}]}',
        '{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"name":"a","action":"SCMP_ACT_LOG","excludes":{"minKernel":"5"}}]}',
    ],
)
def test_no_profiles(text: str) -> None:
    with pytest.raises(Invalid, match="seccomp profile"):
        seccomp.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Invalid, match="seccomp profile"):
        seccomp.parse(text)
