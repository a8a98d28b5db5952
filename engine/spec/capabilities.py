"""Linux capabilities: which a container gets (capabilities(7); Docker's default set)."""

from __future__ import annotations

from collections.abc import Iterable

from engine.model.errors import Invalid

_IN_ORDER = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
_DEFAULT = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
)

ALL = tuple("CAP_" + name for name in _IN_ORDER.split())
"""Every capability in the kernel's own order, by number from 0."""

DEFAULT = frozenset("CAP_" + name for name in _DEFAULT.split())
"""What a container gets when nothing is said."""

EVERY = "CAP_ALL"


def normal(name: str) -> str:
    """`net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are one."""
    name = name.upper()
    return name if name.startswith("CAP_") else "CAP_" + name


def check(add: Iterable[str], drop: Iterable[str], available: Iterable[str]) -> None:
    """Raises `Invalid` for a name the kernel does not know, or one to add that the engine itself does not have."""
    have = set(available)
    for field, names in (("CapAdd", add), ("CapDrop", drop)):
        for name in names:
            if normal(name) != EVERY and normal(name) not in ALL:
                raise Invalid(
                    f"HostConfig.{field} names {name!r}, which is no Linux capability", "take a name from capabilities(7)"
                )
            if field == "CapAdd" and normal(name) not in {EVERY, *have}:
                raise Invalid(
                    f"HostConfig.CapAdd asks for {normal(name)}, which the engine does not have itself",
                    "leave it out, or run the engine with it in its bounding set",
                )


def resolve(add: Iterable[str], drop: Iterable[str], available: Iterable[str]) -> tuple[str, ...]:
    """The capabilities of a container, in the kernel's order, clipped to what the engine may give."""
    added, dropped = {normal(name) for name in add}, {normal(name) for name in drop}
    wanted: frozenset[str] | set[str]
    if EVERY in added:
        wanted = set(ALL) - dropped
    elif EVERY in dropped:
        wanted = added
    else:
        wanted = DEFAULT - dropped | added
    return tuple(name for name in ALL if name in wanted & set(available))
