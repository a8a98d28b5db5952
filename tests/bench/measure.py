"""What is measured, the same on every engine: the verbs one container at a time, a long list, and memory."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles

from tests.bench.wire import IMAGE, Api

VERBS = ("create", "start", "pause", "unpause", "stop", "kill", "remove")
LISTED = 300
BODY = {"Image": IMAGE, "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]}
"""A process that does as it is asked: what is measured of `stop` is the engine, not the grace time."""

Times = dict[str, list[float]]
"""Milliseconds of each measurement."""


class Subject:
    """One engine under measurement. A whole round before its times count warms caches and connections."""

    def __init__(self, socket: str) -> None:
        self.api = Api(socket)
        self.times: Times = {}

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.times.setdefault(what, []).append((time.perf_counter() - began) * 1000)

    def round(self, name: str) -> None:
        """One container through its life; started a second time, unmeasured, to be killed."""
        post = f"/containers/{name}"
        with self.timed("create"):
            self.api.ask("POST", f"/containers/create?name={name}", BODY)
        with self.timed("start"):
            self.api.ask("POST", f"{post}/start")
        with self.timed("pause"):
            self.api.ask("POST", f"{post}/pause")
        with self.timed("unpause"):
            self.api.ask("POST", f"{post}/unpause")
        self._trapped(name)
        with self.timed("stop"):
            self.api.ask("POST", f"{post}/stop")
        self.api.ask("POST", f"{post}/start")
        with self.timed("kill"):
            self.api.ask("POST", f"{post}/kill")
            self.api.ask("POST", f"{post}/wait")
        with self.timed("remove"):
            self.api.ask("DELETE", post)

    def _trapped(self, name: str) -> None:
        """Wait until the shell catches SIGTERM (bit 14 of SigCgt, proc_pid_status(5))."""
        pid = self.api.ask("GET", f"/containers/{name}/json")["State"]["Pid"]
        while True:
            caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
            if int(caught.split()[1], 16) >> 14 & 1:
                return
            time.sleep(0.001)

    def listing(self, times: int) -> None:
        """A list of `LISTED` containers that were never started."""
        names = [f"listed-{number}" for number in range(LISTED)]
        for name in names:
            self.api.ask("POST", f"/containers/create?name={name}", BODY)
        for _ in range(times):
            with self.timed(f"list of {LISTED}"):
                listed = self.api.ask("GET", "/containers/json?all=1")
            assert len(listed) == LISTED
        for name in names:
            self.api.ask("DELETE", f"/containers/{name}")

    def forget(self) -> None:
        self.times.clear()


def memory(pids: Collection[int]) -> float:
    """Megabytes that these processes would free by ending: their own pages and their share of the others (Pss)."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def related(pid: int, tag: str) -> list[int]:
    """An engine and all helpers that name its directory on the command line. Containers' shims are the containers'."""
    found = [pid]
    for other in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            command = Path(f"/proc/{other}/cmdline").read_text()
            if int(other) != pid and tag in command and "containerd-shim" not in command and not _zombie(other):
                found.append(int(other))
    return found


def _zombie(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def report(ours: dict[str, list[float]], peers: dict[str, list[float]], aims: dict[str, float]) -> list[str]:
    """A table: medians, slowest tenth, ratio, and whether the aim is reached. Units are those of the rows' names."""
    lines = [f"{'':<16}{'longshore':>18}{'dockerd':>18}{'ratio':>8}   aim"]
    for what, mine in ours.items():
        theirs = peers[what]
        ratio = median(mine) / median(theirs)
        aim = aims[what]
        verdict = "reached" if ratio <= aim else "missed"
        lines.append(f"{what:<16}{_figure(mine):>18}{_figure(theirs):>18}{ratio:>7.2f}x   at most {aim:g}x: {verdict}")
    return lines


def table(head: str, rows: list[tuple[str, str, str, float, str, bool]]) -> list[str]:
    """`head`: what the figures are. Rows: name, ours, dockerd's, the ratio of both, the aim or "", whether it is reached."""
    lines = [head, f"{'':<20}{'longshore':>18}{'dockerd':>18}{'ratio':>8}   aim"]
    for what, mine, theirs, ratio, aim, reached in rows:
        verdict = f"{aim}: {'reached' if reached else 'missed'}" if aim else ""
        lines.append(f"{what:<20}{mine:>18}{theirs:>18}{ratio:>7.2f}x   {verdict}")
    return lines


def percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _figure(values: list[float]) -> str:
    """Median, and in brackets what nine of ten stay below."""
    if len(values) < 2:
        return f"{values[0]:.1f}"
    return f"{median(values):.1f} ({quantiles(values, n=10)[-1]:.1f})"
