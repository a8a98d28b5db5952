"""Which system calls a container may make: the built-in profile, and profiles of one's own.

`data/seccomp.json` lists the calls of the built-in profile; the rules that look at a call's arguments are here. The kernel
sees only numbers and registers, so a rule can compare an argument's value but not what a pointer points to (seccomp(2)).
Profiles of one's own have Docker's form: OCI's `linux.seccomp`, with `includes` and `excludes` by capability,
architecture and kernel version.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from engine.model.errors import Invalid

EPERM, ENOSYS = 1, 38
AF_VSOCK = 40
NEW_NAMESPACES = 0x7E020000
"""The flags of clone(2) that make namespaces: CGROUP, UTS, IPC, USER, PID, NET and NS."""
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""LINUX, LINUX32, each also with UNAME26, and the question without a change (personality(2))."""

Rule = dict[str, Any]


class _Architecture(Struct, frozen=True):
    machines: list[str]
    """The native one first, then those whose programs it can run."""
    calls: list[str]


class _Data(Struct, frozen=True):
    always: dict[str, list[str]]
    since_kernel: dict[str, list[str]] = msgspec.field(name="since kernel")
    with_capability: dict[str, list[str]] = msgspec.field(name="with capability")
    on_architecture: dict[str, _Architecture] = msgspec.field(name="on architecture")


@cache
def _data() -> _Data:
    return msgspec.json.decode((Path(__file__).parent / "data" / "seccomp.json").read_bytes(), type=_Data)


def builtin(capabilities: Iterable[str], architecture: str, kernel: tuple[int, int]) -> dict[str, Any]:
    """The built-in profile as OCI `linux.seccomp`. `architecture` is Go's name; an unknown one gets no foreign machines."""
    data, held = _data(), set(capabilities)
    native = data.on_architecture.get(architecture, _Architecture([], []))
    names = {name for group in data.always.values() for name in group} | set(native.calls)
    for version, calls in data.since_kernel.items():
        if kernel >= _version(version):
            names.update(calls)
    for capability, calls in data.with_capability.items():
        if capability in held:
            names.update(calls)
    rules = [_allow(*sorted(names)), _allow("socket", where=(0, AF_VSOCK, "SCMP_CMP_NE"))]
    rules += [_allow("personality", where=(0, value, "SCMP_CMP_EQ")) for value in PERSONALITIES]
    if "CAP_SYS_ADMIN" not in held:
        # On s390 the flags are clone's second argument. clone3 hides its flags behind a pointer, so it is said not to
        # exist, and libc falls back to clone.
        flags = 1 if architecture == "s390x" else 0
        rules.append(_allow("clone", where=(flags, NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    profile: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": EPERM, "syscalls": rules}
    if native.machines:
        profile["architectures"] = native.machines
    return profile


def _allow(*names: str, where: tuple[int, int, str] | None = None) -> Rule:
    rule: Rule = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    if where:
        index, value, op = where
        # Masked: `value` is the mask, and `valueTwo`, what is left under it, stays 0.
        rule["args"] = [{"index": index, "value": value, "op": op}]
    return rule


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


Action = Literal[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
]
Operator = Literal[
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"
]
Version = Annotated[str, Meta(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]


class Filter(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    arches: tuple[str, ...] | None = None
    caps: tuple[str, ...] | None = None
    min_kernel: Version | None = None


class Argument(Struct, frozen=True, rename="camel"):
    index: int
    value: int
    op: Operator
    value_two: int = 0


class Calls(Struct, frozen=True, rename="camel"):
    action: Action
    names: tuple[str, ...] | None = None
    name: str = ""
    """The old spelling of `names`."""
    errno_ret: int | None = None
    args: tuple[Argument, ...] | None = None
    includes: Filter | None = None
    excludes: Filter | None = None


class Machine(Struct, frozen=True, rename="camel"):
    architecture: str
    sub_architectures: tuple[str, ...] | None = None


class Profile(Struct, frozen=True, rename="camel"):
    default_action: Action
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] | None = None
    arch_map: tuple[Machine, ...] | None = None
    syscalls: tuple[Calls, ...] | None = None
    flags: tuple[str, ...] | None = None


def parse(text: str) -> Profile:
    """Read a profile. Raises `Invalid` when it is none."""
    remedy = "send the profile's JSON text, not a file's name"
    try:
        profile = msgspec.json.decode(text.encode(), type=Profile)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(f"HostConfig.SecurityOpt: the seccomp profile cannot be read: {error}", remedy) from error
    if profile.architectures and profile.arch_map:
        raise Invalid("HostConfig.SecurityOpt: the seccomp profile has architectures and archMap", "leave one of them out")
    for calls in profile.syscalls or ():
        if bool(calls.names) == bool(calls.name):
            raise Invalid("HostConfig.SecurityOpt: a rule of the seccomp profile needs either names or name", remedy)
    return profile


def custom(text: str, capabilities: Iterable[str], architecture: str, kernel: tuple[int, int]) -> dict[str, Any]:
    """A profile of one's own as OCI `linux.seccomp`, its conditions settled for this container and host."""
    profile, held = parse(text), set(capabilities)
    native = _data().on_architecture.get(architecture, _Architecture([""], [])).machines[0]
    maps = [machine for machine in profile.arch_map or () if machine.architecture == native]
    settled = {
        "defaultAction": profile.default_action,
        "defaultErrnoRet": profile.default_errno_ret,
        "architectures": [*(profile.architectures or ())]
        + [name for machine in maps for name in (machine.architecture, *(machine.sub_architectures or ()))],
        "flags": list(profile.flags or ()),
        "syscalls": [_rule(calls) for calls in profile.syscalls or () if _applies(calls, held, architecture, kernel)],
    }
    return {key: value for key, value in settled.items() if value not in (None, [])}


def _rule(calls: Calls) -> Rule:
    rule: Rule = {"names": list(calls.names or (calls.name,)), "action": calls.action}
    if calls.errno_ret is not None:
        rule["errnoRet"] = calls.errno_ret
    if calls.args:
        rule["args"] = [msgspec.to_builtins(argument) for argument in calls.args]
    return rule


def _applies(calls: Calls, held: set[str], architecture: str, kernel: tuple[int, int]) -> bool:
    """`includes` must all hold, and nothing of `excludes` may. Profiles call Go's `386` by libseccomp's name, `x86`."""
    arch = "x86" if architecture == "386" else architecture
    wanted, refused = calls.includes or Filter(), calls.excludes or Filter()
    return (
        (not wanted.arches or arch in wanted.arches)
        and held.issuperset(wanted.caps or ())
        and (wanted.min_kernel is None or kernel >= _version(wanted.min_kernel))
        and arch not in (refused.arches or ())
        and held.isdisjoint(refused.caps or ())
        and (refused.min_kernel is None or kernel < _version(refused.min_kernel))
    )
