"""What this host lacks, said before anything is begun: each an error with its remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import partial

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from engine.host.cgroups import ROOT, hierarchies
from engine.host.facts import cgroup_version
from engine.host.netns import in_new_thread
from engine.host.syscalls import CLONE_NEWNET, mount, unshare
from engine.host.threads import short
from engine.host.tools import find, not_installed
from engine.model.errors import EngineError, Forbidden, Unavailable

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "runc", "nft")


async def preflight(*, own_containerd: bool = True, cgroup_root: str = ROOT) -> list[EngineError]:
    """Everything that is missing; empty when an engine can run. `own_containerd`: we start it, so it must be installed."""
    if os.geteuid() != 0:
        return [Forbidden("only root can make containers", "start it with sudo")]
    missing: list[EngineError] = [not_installed(program) for program in _programs(own_containerd) if not find(program)]
    missing += await short(lambda: list(_kernel(cgroup_root)))
    return missing


def _programs(own_containerd: bool) -> tuple[str, ...]:
    return tuple(program for program in PROGRAMS if own_containerd or not program.startswith("containerd"))


def _kernel(cgroup_root: str) -> Iterator[EngineError]:
    if not _has_filesystem("overlay"):
        yield Unavailable("this kernel has no overlayfs", "load it: modprobe overlay")
    for kind in ("bridge", "veth"):
        if not in_new_thread(partial(_makes_links, kind)):
            yield Unavailable(f"this kernel makes no links of kind {kind}", f"load it: modprobe {kind}")
    if cgroup_version(cgroup_root) == 1 and "freezer" not in hierarchies(cgroup_root):
        yield Unavailable(f"no cgroups are mounted on {cgroup_root}", "mount them: mount -t cgroup2 none " + cgroup_root)


def _has_filesystem(name: str) -> bool:
    """mount(2) says ENODEV for a file system the kernel neither has nor can load. No overlay mounts without a lowerdir."""
    try:
        mount(name, "/", name)
    except OSError as error:
        return error.errno != errno.ENODEV
    return True


def _makes_links(kind: str) -> bool:
    """Try it, in a network namespace that ends with this thread. The kernel loads the module where it has one."""
    unshare(CLONE_NEWNET)
    with IPRoute() as kernel:
        try:
            kernel.link("add", ifname="probe", kind=kind)
        except NetlinkError as error:
            if error.code != errno.EOPNOTSUPP:
                raise
            return False
    return True
