"""The event loop's place in the queue for a processor."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.host import priority


def policies(root: str) -> list[int]:
    """Of a thread that has asked to go first, and of another that it starts."""
    found: list[int] = []

    def look() -> None:
        found.append(os.sched_getscheduler(0))

    def ask() -> None:
        priority.go_first(root)
        look()
        other = threading.Thread(target=look)
        other.start()
        other.join()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A cgroup2 in which this process's cgroup has these controllers."""

    def make(controllers: str) -> str:
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "cgroup.controllers").write_text(controllers)
        return str(tmp_path)

    monkeypatch.setattr(priority, "cgroup_version", lambda root: 2)
    monkeypatch.setattr(priority, "read", lambda path: "12:cpuset:/other\n0::/own")
    return make


def may() -> bool:
    """Does the kernel let this process's children be real-time ones at all?"""
    return subprocess.run(("chrt", "--rr", "1", "true"), check=False).returncode == 0


def test_the_thread_goes_first_and_what_it_starts_does_not(unified: Callable[[str], str]) -> None:
    first, other = policies(unified("cpuset cpu io memory pids"))
    assert bool(first & os.SCHED_RR) == may()
    assert other == os.SCHED_OTHER


def test_nobody_goes_first_where_that_would_keep_the_cpu_controller_out(unified: Callable[[str], str]) -> None:
    assert policies(unified("cpuset io memory pids")) == [os.SCHED_OTHER] * 2


def test_the_kernels_refusal_is_no_error(unified: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        asked.append(1)
        raise PermissionError

    asked: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert policies(unified("cpu")) == [os.SCHED_OTHER] * 2 and asked
