"""How long `/_ping` takes while an engine works: asked every ten milliseconds, by a process that does nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.measure import percentile
from tests.bench.wire import Api

PAUSE = 0.01


class Pings:
    """The asking process of one engine. `with` starts and ends it."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._windows: list[tuple[float, float]] = []

    def __enter__(self) -> Pings:
        self._answers = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen([sys.executable, "-m", "tests.bench.pings", self._socket], stdout=self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._answers.close()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Only what is asked meanwhile counts."""
        began = time.monotonic()
        yield
        self._windows.append((began, time.monotonic()))

    def took(self) -> list[float]:
        """Milliseconds of each."""
        self._answers.seek(0)
        lines = [line.split() for line in self._answers if line.endswith("\n")]
        asked = [(float(when), float(took)) for when, took in lines]
        self._answers.seek(0, os.SEEK_END)
        return [took for when, took in asked if any(began <= when <= ended for began, ended in self._windows)]

    def report(self, who: str) -> str:
        took = self.took()
        below = f"99 of 100 below {percentile(took, 99):.1f} ms, median {percentile(took, 50):.1f}, longest {max(took):.1f}"
        return f"{who}: {below}, of {len(took)}"


def main(socket: str) -> None:
    api = Api(socket)
    while True:
        began = time.monotonic()
        api.ask("HEAD", "/_ping")
        print(f"{began:.6f} {(time.monotonic() - began) * 1000:.3f}", flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(sys.argv[1])
