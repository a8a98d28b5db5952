"""A process of its own that pings an engine without a pause, so that nothing but the engine keeps it waiting.

`python -m tests.bench.pings SOCKET PID`, ended by the end of its input. Tells the milliseconds of each ping as JSON, and for
how many of them the main thread of the process PID would have run, but found no processor free.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path

from tests.bench.wire import Api

PAUSE = 0.001


def main(path: str, pid: str) -> None:
    # First in the queue for a processor: on a busy host it would measure its own waiting.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    api, took = Api(path), []
    api.ask("GET", "/containers/json")
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        began, waited = time.perf_counter(), _waited(pid)
        api.ping()
        took.append(((time.perf_counter() - began) * 1000, _waited(pid) - waited))
    print(json.dumps(took))


def _waited(pid: str) -> float:
    """Milliseconds so far, of a thread that was ready to run (kernel's sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
