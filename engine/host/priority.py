"""Whose turn it is on a busy host."""

from __future__ import annotations

import os
from contextlib import suppress

from engine.host.cgroup_files import ROOT, optional, read
from engine.host.facts import cgroup_version


def go_first(root: str = ROOT) -> None:
    """Let the calling thread run before all ordinary ones as soon as it has something to do (sched(7)): the event loop's.

    It works for a millisecond and waits. On a host whose processors are taken by a hundred starting containers, whoever asks
    would wait for each of them. Threads and processes that it starts begin as ordinary ones. Where the kernel or its cgroup
    does not let it, all stays as it is.
    """
    if _harmless(root):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _harmless(root: str) -> bool:
    """On cgroup v2, is the cpu controller at work here already? Some kernels (RT_GROUP_SCHED) could not begin with it any more
    beside a real-time thread outside the root cgroup, and containers would have no limits (cgroup-v2.rst, CPU).
    """
    if cgroup_version(root) == 1:
        return True
    own = next((line.removeprefix("0::") for line in read("/proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    return own == "/" or "cpu" in optional(root + own, "cgroup.controllers").split()
