"""What this host lacks, said before anything is begun: each an error with its remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import partial

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from engine.host.cgroup_files import ROOT, hierarchies
from engine.host.facts import cgroup_version
from engine.host.netns import in_new_thread
from engine.host.syscalls import CLONE_NEWNET, mount, unshare
from engine.host.threads import short
from engine.host.tools import find, not_installed
from engine.model.errors import EngineError, Forbidden, Unavailable

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "runc", "nft")


async def preflight(*, own_containerd: bool = True, cgroup_root: str = ROOT) -> list[EngineError]:
    """Everything that is missing; empty when an engine can run. Who is not root is told so and nothing else."""
    found = await lacks(own_containerd=own_containerd, cgroup_root=cgroup_root)
    return [found["root"]] if "root" in found else list(found.values())


async def lacks(*, own_containerd: bool = True, cgroup_root: str = ROOT) -> dict[str, EngineError]:
    """What is missing, by its name. `own_containerd`: we start it, so it must be installed. Only root can try the kernel."""
    found: dict[str, EngineError] = {}
    root = os.geteuid() == 0
    if not root:
        found["root"] = Forbidden("only root can make containers", "start it with sudo")
    found |= {program: not_installed(program) for program in _programs(own_containerd) if not find(program)}
    return found | (await short(lambda: dict(_kernel(cgroup_root))) if root else {})


def _programs(own_containerd: bool) -> tuple[str, ...]:
    return tuple(program for program in PROGRAMS if own_containerd or not program.startswith("containerd"))


def _kernel(cgroup_root: str) -> Iterator[tuple[str, EngineError]]:
    if not _has_filesystem("overlay"):
        yield "overlayfs", Unavailable("this kernel has no overlayfs", "load it: modprobe overlay")
    for kind in ("bridge", "veth"):
        if not in_new_thread(partial(_makes_links, kind)):
            yield kind, Unavailable(f"this kernel makes no links of kind {kind}", f"load it: modprobe {kind}")
    if cgroup_version(cgroup_root) == 1 and "freezer" not in hierarchies(cgroup_root):
        hint = "mount them: mount -t cgroup2 none " + cgroup_root
        yield "cgroups", Unavailable(f"no cgroups are mounted on {cgroup_root}", hint)


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
