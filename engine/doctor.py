"""`longshored doctor`: what this host has and lacks for running containers, in sentences. Looks, and changes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

import humanize
from msgspec import Struct

from engine.config import Config
from engine.host import Facts
from engine.host.survey import Directory, Survey, survey
from engine.host.tools import not_installed

OK, NOTE, LACKS = "ok", "note", "lacks"

WIDTH = 80
"""Columns of the report, whatever the terminal has."""
LEAST_KERNEL = (5, 6)
"""openat2(2); nft's address translation in tables of the family inet came with 5.2."""
NEEDED_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN")
NEEDED_NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")
LIMITS = ("memory", "cpu", "cpuset", "pids")
NO_UPPER = ("overlay", "nfs", "nfs4", "vfat", "exfat", "ntfs3", "9p", "cifs", "smb3", "fuse", "fuseblk", "ecryptfs", "squashfs")
"""File systems that cannot hold a union mount's writable layer (filesystems/overlayfs.rst, "Upper and lower")."""
LITTLE, NOTHING = 2 << 30, 64 << 20
"""Free bytes on the data root's disk below which it is worth a word, and below which nothing can be made."""
FEW_INODES = 10_000
FILES_EACH = 6
"""A running container's pipes and log."""
MANY = 500
"""Containers that a limit should allow for."""


class Finding(Struct, frozen=True):
    """`ok`; `note`: containers run, but; `lacks`: no container runs before this is mended."""

    mark: str
    about: str
    means: str
    do: str = ""


async def doctor(config: Config) -> int:
    """Print the report; the exit code: 0 when containers can run here."""
    given = Facts(root=config.data_root, exec_root=config.exec_root, bridge=config.bridge, systemd_cgroup=config.systemd_cgroup)
    found = list(findings(await survey(given, config.containerd)))
    print(report(found))
    return int(any(finding.mark == LACKS for finding in found))


def report(found: Iterable[Finding]) -> str:
    """The findings as aligned text, and the verdict."""
    found = list(found)
    column = 7 + max(len(finding.about) for finding in found) + 2
    lines = []
    for finding in found:
        for text in filter(None, (finding.means, finding.do and f"-> {finding.do}")):
            head = f"{finding.mark:<7}{finding.about}" if text is finding.means else ""
            lines += textwrap.wrap(
                text,
                WIDTH,
                initial_indent=head.ljust(column),
                subsequent_indent=" " * column,
                break_long_words=False,
                break_on_hyphens=False,
            )
    lacks = [finding.about for finding in found if finding.mark == LACKS]
    verdict = f"Containers cannot run here yet: see {', '.join(lacks)}." if lacks else "Containers can run here."
    return "\n".join([*lines, "", *textwrap.wrap(verdict, WIDTH)])


def findings(seen: Survey) -> Iterator[Finding]:
    """What it all means. Pure."""
    yield _root(seen)
    yield from _kernel(seen)
    yield from _cgroups(seen)
    yield from _programs(seen)
    yield from _disk(seen)
    yield from _network(seen)
    yield from _standing(seen)


def _root(seen: Survey) -> Finding:
    if seen.root:
        return Finding(OK, "root", "you are root")
    means = "you are not root: only root can make containers, and some of this only root can see"
    return Finding(LACKS, "root", means, "start it with sudo")


def _kernel(seen: Survey) -> Iterator[Finding]:
    facts = seen.facts
    if facts.kernel < LEAST_KERNEL:
        least = ".".join(map(str, LEAST_KERNEL))
        yield Finding(LACKS, "kernel", f"{facts.kernel_release} is older than {least}", f"boot a kernel of {least} or later")
    else:
        yield Finding(OK, "kernel", facts.kernel_release)
    yield _missing(
        "capabilities",
        [name for name in NEEDED_CAPABILITIES if name not in facts.capabilities],
        Finding(OK, "capabilities", f"{len(facts.capabilities)}, the most that a container can be given")
        if "CAP_SYS_RESOURCE" in facts.capabilities
        else Finding(
            NOTE,
            "capabilities",
            "without CAP_SYS_RESOURCE no container gets a ulimit above the engine's own, nor a lower OOM score",
        ),
        "give them to the machine or container that this runs in",
    )
    yield _missing(
        "namespaces",
        [kind for kind in NEEDED_NAMESPACES if kind not in seen.namespaces],
        Finding(OK, "namespaces", " ".join(sorted(kind for kind in seen.namespaces if "_" not in kind))),
        "boot a kernel that has them",
    )
    if seen.seccomp:
        yield Finding(OK, "seccomp", "system calls can be filtered")
    else:
        yield Finding(
            LACKS,
            "seccomp",
            "this kernel cannot filter system calls, as every container asks for",
            "boot a kernel with CONFIG_SECCOMP_FILTER",
        )


def _cgroups(seen: Survey) -> Iterator[Finding]:
    facts = seen.facts
    if error := seen.lacks.get("cgroups"):
        yield Finding(LACKS, "cgroups", error.message, error.hint)
        return
    missing = [name for name in LIMITS if name not in facts.controllers]
    where = f"version {facts.cgroup_version}, mounted on {' and '.join(seen.cgroups)}"
    if missing:
        yield Finding(NOTE, "cgroups", f"{where}; no limits can be set for {', '.join(missing)}", "enable these controllers")
    else:
        yield Finding(OK, "cgroups", f"{where}; limits for {', '.join(sorted(facts.controllers - {'freezer', 'devices'}))}")
    yield Finding(OK, "freezer", "containers can be paused")
    if facts.systemd_cgroup and not seen.systemd:
        yield Finding(LACKS, "cgroup driver", "systemd is asked for, and does not run here", "leave --exec-opt out")


def _programs(seen: Survey) -> Iterator[Finding]:
    facts = seen.facts
    if error := seen.containerd_error:
        yield Finding(LACKS, "containerd", error.message, error.hint)
    elif seen.containerd:
        yield Finding(OK, "containerd", f"the one at {seen.containerd} answers, and sees the same mounts as we do")
    for program, version in (("containerd", facts.containerd_version), ("runc", facts.runc_version), ("nft", seen.nft)):
        error = seen.lacks.get(program) or (program == "containerd" and seen.lacks.get("containerd-shim-runc-v2")) or None
        if error:
            yield Finding(LACKS, program, error.message, error.hint)
        elif not (program == "containerd" and seen.containerd):
            yield Finding(OK, program, version or "installed")
    if seen.busybox:
        yield Finding(OK, "busybox", "static: the first image is made of it, without a registry")
    else:
        why = "needs libraries, which no container has" if seen.busybox is False else "is not installed"
        means = f"{why}: there is no image to begin with until one is loaded"
        yield Finding(NOTE, "busybox", means, "apt install busybox-static")
    if seen.ps:
        yield Finding(OK, "ps", "installed: it lists a container's processes")
    else:
        yield Finding(NOTE, "ps", f"{not_installed('ps').message}: `top` cannot list processes", "apt install procps")


def _disk(seen: Survey) -> Iterator[Finding]:
    data, error = seen.data, seen.lacks.get("overlayfs")
    if error:
        yield Finding(LACKS, "overlayfs", error.message, error.hint)
    elif seen.overlay is None:
        yield Finding(NOTE, "overlayfs", "not loaded: only root can tell whether the kernel can", "run this as root")
    elif data.filesystem in NO_UPPER:
        means = f"cannot have its writable layers on {data.filesystem}, where {data.path} is"
        yield Finding(LACKS, "overlayfs", means, "choose a --data-root on ext4, xfs or btrfs")
    elif not data.types:
        means = f"the file system of {data.path} does not tell files from directories (d_type)"
        yield Finding(LACKS, "overlayfs", means, "make it anew: mkfs.xfs -n ftype=1, or choose another --data-root")
    else:
        yield Finding(OK, "overlayfs", f"on {data.filesystem}, which tells files from directories (d_type)")
    yield _room(data)
    if seen.run.filesystem in ("tmpfs", "ramfs"):
        yield Finding(OK, "run", f"{seen.run.path} is in memory, and empty after a reboot")
    else:
        stale = ", as it will be next time: it is of another boot" if seen.boot == "another" else ""
        means = f"{seen.run.path} is on {seen.run.filesystem}, and outlives a reboot: the engine then empties it itself{stale}"
        yield Finding(NOTE, "run", means)


def _room(data: Directory) -> Finding:
    free = f"{humanize.naturalsize(data.free, binary=True)} free for {data.path}"
    if data.free < NOTHING:
        return Finding(LACKS, "disk", f"only {free}", "make room, or choose another --data-root")
    if data.free < LITTLE:
        return Finding(NOTE, "disk", f"only {free}", "make room before images are loaded")
    if data.inodes is not None and data.inodes < FEW_INODES:
        return Finding(NOTE, "disk", f"{free}, but only {data.inodes} more files can be made", "remove files")
    return Finding(OK, "disk", free)


def _network(seen: Survey) -> Iterator[Finding]:
    for kind in ("bridge", "veth"):
        if error := seen.lacks.get(kind):
            yield Finding(LACKS, kind, error.message, error.hint)
    if seen.forwards:
        yield Finding(OK, "forwarding", "on for the whole host")
    else:
        yield Finding(OK, "forwarding", "off for the host; the engine switches it on for its bridge and the uplinks only")
    for name, active in seen.strangers.items():
        works = "is or was at work here" if active else "is installed"
        yield Finding(OK, name, f"{works}; the engine leaves all that is its own alone")
    yield _firewall(seen)


def _firewall(seen: Survey) -> Finding:
    if seen.drops is None:
        do = "install nft, and look again" if seen.root else "run this as root"
        return Finding(NOTE, "firewall", "whether somebody drops forwarded packets cannot be seen", do)
    if not seen.drops:
        spared = "" if seen.iptables else ", so iptables, which is not installed, is not needed"
        return Finding(OK, "firewall", f"nobody drops forwarded packets{spared}")
    if seen.iptables:
        also = ", and with bridge-nf-call-iptables those within a bridge too" if seen.bridged else ""
        means = f"somebody's FORWARD chain drops packets{also}; the engine lets its own pass, in a chain of its own"
        return Finding(OK, "firewall", means)
    means = "somebody's FORWARD chain drops packets, and without iptables the engine cannot let its own pass: no network"
    return Finding(NOTE, "firewall", means, "apt install iptables")


def _standing(seen: Survey) -> Iterator[Finding]:
    room = seen.files // FILES_EACH
    means = f"{seen.files} may be open, enough for about {room} running containers"
    if room < MANY:
        yield Finding(NOTE, "files", means, "raise the hard limit: ulimit -Hn 65536, LimitNOFILE= in a unit")
    else:
        yield Finding(OK, "files", means)
    if seen.systemd:
        yield Finding(OK, "boot", "systemd runs here: `longshored unit` prints a unit for it")
    else:
        yield Finding(NOTE, "boot", "systemd does not run here: nothing starts the engine at boot", "start it from your init")


def _missing(about: str, missing: list[str], fine: Finding, do: str) -> Finding:
    return Finding(LACKS, about, f"lacks {', '.join(missing)}", do) if missing else fine
