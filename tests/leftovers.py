"""What of ours is in the kernel and on disk, looked up without the engine: before and after must be the same.

Names are ours when they say longshore, or are a test's own (`ls...` links, the session's temporary directory). What
strangers do on the machine meanwhile is not looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

MARK = "LONGSHORE_TEST_SESSION"
"""Environment variable that every process started below a test session inherits, and its containers do not."""

OURS = re.compile(r"longshore", re.IGNORECASE)
LINK = re.compile(r"longshore|veth[0-9a-f]{11}$|ls[0-9a-f-]")
SYSCTLS = (
    *("ipv4.ip_forward", "ipv4.conf.*.forwarding", "ipv4.conf.*.route_localnet", "bridge.bridge-nf-call-iptables"),
    *("ipv6.conf.all.forwarding", "ipv6.conf.*.force_forwarding", "ipv6.conf.*.accept_ra"),
)
PATIENCE = 10.0
"""Seconds for what ends by itself: PID 1 reaps, containerd's shims exit, the kernel drops a namespace's links."""


def things(directory: str, session: str) -> set[str]:
    """Everything that is ours now, one line each. `directory`: the session's temporary one; `session`: `MARK`'s value."""
    return {
        *(f"mount {path}" for path in _mounts() if OURS.search(path) or path.startswith(directory)),
        *(f"link {name}" for name in os.listdir("/sys/class/net") if LINK.match(name) or OURS.match(_alias(name))),
        *(f"network namespace {name}" for name in _names("/run/netns") if OURS.search(name)),
        *(f"nft {line}" for line in _nft() if OURS.search(line)),
        *(f"cgroup {path}" for path in _cgroups()),
        *(f"process {line}" for line in _processes(session)),
        *(f"directory {base}/{name}" for base in ("/run", "/var/lib", "/tmp") for name in _names(base) if OURS.match(name)),
    }


def alone(session: str) -> bool:
    """Is no other test session's engine on this machine? What it makes looks like ours."""
    return all(mark == session for _, mark in _marks())


def sysctls() -> dict[str, str]:
    """The switches that an engine touches, by path."""
    paths = (path for name in SYSCTLS for path in Path("/proc/sys/net").glob(name.replace(".", "/")))
    found: dict[str, str] = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[str(path)] = path.read_text().strip()
    return found


def changed(before: dict[str, str]) -> set[str]:
    """Switches that are not what they were. Those of interfaces that came or went are nobody's."""
    now = sysctls()
    return {f"sysctl {path}: {value} is now {now[path]}" for path, value in before.items() if now.get(path, value) != value}


def settle(look: Callable[[], set[str]]) -> list[str]:
    """What `look` still finds after giving it time to go. Sorted. Blocks."""
    deadline = time.monotonic() + PATIENCE
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return sorted(found)


def sweep(found: Iterable[str]) -> None:
    """The last resort, so that one broken test breaks no other: take away what these lines name."""
    order = ("process", "cgroup", "mount", "link", "nft", "directory")
    for line in sorted(found, key=lambda line: (order.index(line.split()[0]), -len(line))):
        kind, _, what = line.partition(" ")
        match kind:
            case "process":
                with suppress(ProcessLookupError):
                    os.kill(int(what.split()[0]), signal.SIGKILL)
            case "cgroup":
                _end_cgroup(Path(what))
            case "mount":
                subprocess.run(["umount", "--lazy", what], check=False, capture_output=True)
            case "link":
                subprocess.run(["ip", "link", "delete", what], check=False, capture_output=True)
            case "nft" if what.startswith("table inet"):
                subprocess.run(["nft", "delete", *what.split()], check=False, capture_output=True)
            case "directory":
                shutil.rmtree(what, ignore_errors=True)


def _end_cgroup(top: Path) -> None:
    """Thaw, kill and remove a cgroup and all below it."""
    for directory, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(directory, "freezer.state").write_text("THAWED")
        with suppress(OSError):
            for pid in Path(directory, "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while os.path.isdir(directory) and time.monotonic() < deadline:
            with suppress(OSError):
                os.rmdir(directory)
                break
            time.sleep(0.01)


def _mounts() -> Iterator[str]:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            yield line.split()[4].encode().decode("unicode_escape")


def _alias(link: str) -> str:
    """What a bridge with a name of its own says of itself."""
    with suppress(OSError):
        return Path("/sys/class/net", link, "ifalias").read_text()
    return ""


def _names(directory: str) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(directory)
    return []


def _nft() -> Iterator[str]:
    """Tables and chains, those of iptables-nft too. Listing makes nothing."""
    listing = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    table = ""
    for line in map(str.strip, listing.splitlines()):
        if line.startswith("table "):
            table = line.removesuffix(" {")
            yield table
        elif line.startswith("chain "):
            yield f"{table} {line.removesuffix(' {')}"


def _cgroups() -> Iterator[str]:
    """The top-most cgroups of ours in every hierarchy."""
    top = Path("/sys/fs/cgroup")
    for hierarchy in (top, *(path for path in top.iterdir() if path.is_dir())):
        for name in _names(str(hierarchy)):
            if OURS.match(name) and (hierarchy / name / "cgroup.procs").exists():
                yield str(hierarchy / name)


def _processes(session: str) -> Iterator[str]:
    """Living processes that were started below this session; not the session itself."""
    for pid, mark in _marks():
        if mark == session:
            with suppress(OSError):
                yield f"{pid} {Path(f'/proc/{pid}/cmdline').read_text().replace(chr(0), ' ').strip()}"


def _marks() -> Iterator[tuple[int, str]]:
    """Every other process that has the mark in its environment, and whose it is. Zombies have no environment."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            for variable in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                if variable.startswith(MARK.encode() + b"=") and int(name) != os.getpid():
                    yield int(name), variable.partition(b"=")[2].decode()
