"""What there is on this host for an engine: looked at, never changed. `engine.doctor` says what it means."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

import psutil
from msgspec import Struct
from msgspec.structs import replace

from engine.host import Facts
from engine.host.busybox import is_static
from engine.host.cgroup_files import ROOT, hierarchies
from engine.host.containerd.daemon import vet
from engine.host.facts import cgroup2_mount, read_facts, version_of
from engine.host.firewall import NftFirewall
from engine.host.preflight import lacks
from engine.host.threads import short
from engine.host.tools import doing, find
from engine.model.errors import EngineError

BOOT_ID = "/proc/sys/kernel/random/boot_id"
DT_UNKNOWN = 0

STRANGERS = {
    "Docker": ("dockerd", "/sys/class/net/docker0"),
    "podman": ("podman", "/sys/class/net/podman0"),
    "firewalld": ("firewalld", "/run/firewalld.pid"),
    "ufw": ("ufw", "/run/ufw.lock"),
}
"""Who else has bridges or rules on a host: the program, and what is there once it has been at work."""


class Directory(Struct, frozen=True, kw_only=True):
    """Where one of the engine's directories is, or would be made."""

    path: str
    filesystem: str = ""
    types: bool = True
    """Does a directory's listing tell files from directories (d_type, readdir(3))? Overlayfs relies on it."""
    free: int = 0
    """Bytes for root's files."""
    inodes: int | None = None
    """Free ones; None where the file system makes them as they are needed."""


class Survey(Struct, frozen=True, kw_only=True):
    """All that was seen. None: only root can see it."""

    facts: Facts
    root: bool
    lacks: dict[str, EngineError] = {}
    """By name, what `preflight` would not start without."""
    containerd: str = ""
    """Socket of the containerd that is to be used; empty: our own."""
    containerd_error: EngineError | None = None
    cgroups: tuple[str, ...] = ()
    """Where they are mounted."""
    overlay: bool | None = None
    data: Directory
    run: Directory
    boot: str = ""
    """Of which boot the exec root is: `this`, `another`, or empty when there is none."""
    namespaces: frozenset[str] = frozenset()
    seccomp: bool = True
    nft: str = ""
    iptables: str = ""
    drops: bool | None = None
    """Does somebody's firewall drop what is forwarded?"""
    strangers: dict[str, bool] = {}
    """Who else is here, and whether it has been at work."""
    bridged: bool = False
    """Do packets within a bridge pass the iptables rules (`bridge-nf-call-iptables`)?"""
    forwards: bool = False
    """Does the host as a whole forward packets (`net.ipv4.ip_forward`)?"""
    busybox: bool | None = None
    """Is it static? None: there is none."""
    ps: bool = True
    files: int = 0
    """Open files the engine may have."""
    systemd: bool = False
    """Is it what runs this host's services?"""


async def survey(given: Facts, containerd: str = "") -> Survey:
    """Look at everything. `given`: the engine's own paths; `containerd`: socket of one that is to be used.

    Raises `HostFailed` where not even /proc and the cgroups' root can be read.
    """
    error = None
    if containerd:
        try:
            await vet(containerd)
        except EngineError as refusal:
            error = refusal
    with doing("look at this host"):
        seen = await short(_seen, await read_facts(given))
    return replace(
        seen,
        lacks=await lacks(own_containerd=not containerd),
        containerd=containerd,
        containerd_error=error,
        nft=await version_of("nft"),
        iptables=await version_of("iptables"),
        drops=await NftFirewall(given.bridge).strangers_drop() if seen.root and find("nft") else None,
    )


def _seen(facts: Facts) -> Survey:
    """What no other program has to be asked about."""
    return Survey(
        facts=facts,
        root=os.geteuid() == 0,
        cgroups=_cgroups(facts),
        overlay=_has_overlay(),
        data=_directory(facts.root),
        run=_directory(facts.exec_root),
        boot=_boot(facts.exec_root),
        namespaces=frozenset(os.listdir("/proc/self/ns")),
        seccomp="Seccomp:" in Path("/proc/self/status").read_text(),
        strangers=_strangers(),
        bridged=_switched_on("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        forwards=_switched_on("/proc/sys/net/ipv4/ip_forward"),
        busybox=_busybox(),
        ps=find("ps") is not None,
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        systemd=os.path.isdir("/run/systemd/system"),  # sd_booted(3)
    )


def _cgroups(facts: Facts) -> tuple[str, ...]:
    if facts.cgroup_version == 2:
        return (ROOT,)
    return tuple(sorted({os.path.dirname(path) for path in hierarchies().values()} | {cgroup2_mount()} - {""}))


def _has_overlay() -> bool | None:
    """Root tries it (`lacks`). Others see only what is loaded by now."""
    loaded = "\toverlay\n" in Path("/proc/filesystems").read_text()
    return True if loaded or os.geteuid() == 0 else None


def _directory(path: str) -> Directory:
    """What there is to say of a directory, or of the nearest one above it that exists."""
    there = Path(path)
    while not there.is_dir():
        there = there.parent
    there = there.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if there.is_relative_to(mount.mountpoint)]
    usage = os.statvfs(there)
    return Directory(
        path=path,
        filesystem=max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else "",
        types=_has_types(str(there)),
        free=usage.f_frsize * usage.f_bfree,
        inodes=usage.f_ffree if usage.f_files else None,
    )


class _Dirent(ctypes.Structure):
    """`struct dirent`, readdir(3), as every 64-bit C library of Linux has it."""

    _fields_ = (
        ("ino", ctypes.c_uint64),
        ("off", ctypes.c_int64),
        ("reclen", ctypes.c_ushort),
        ("type", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    )


def _has_types(directory: str) -> bool:
    """Every directory has an entry to ask: its own, `.`."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype, libc.readdir.restype = ctypes.c_void_p, ctypes.POINTER(_Dirent)
    stream = ctypes.c_void_p(libc.opendir(os.fsencode(directory)))
    if not stream:
        return True  # it may not be listed by us: nobody says that it has none
    try:
        entry = libc.readdir(stream)
        return not entry or entry.contents.type != DT_UNKNOWN
    finally:
        libc.closedir(stream)


def _boot(exec_root: str) -> str:
    try:
        return "this" if Path(exec_root, "boot-id").read_text() == Path(BOOT_ID).read_text() else "another"
    except OSError:
        return ""


def _strangers() -> dict[str, bool]:
    return {
        name: os.path.exists(sign)
        for name, (program, sign) in STRANGERS.items()
        if find(program) is not None or os.path.exists(sign)
    }


def _switched_on(sysctl: str) -> bool:
    try:
        return Path(sysctl).read_text().strip() == "1"
    except FileNotFoundError:
        return False


def _busybox() -> bool | None:
    path = find("busybox")
    return None if path is None else is_static(Path(path).read_bytes())
