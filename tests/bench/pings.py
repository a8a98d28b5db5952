"""A process of its own that pings an engine without a pause, so that nothing but the engine keeps it waiting.

`python -m tests.bench.pings SOCKET`, ended by the end of its input. Tells the milliseconds of each ping, as JSON.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

from tests.bench.wire import Api

PAUSE = 0.001


def main(path: str) -> None:
    # First in the queue for a processor: on a busy host it would measure its own waiting.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    api, took = Api(path), []
    api.ask("GET", "/containers/json")
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        began = time.perf_counter()
        api.ping()
        took.append((time.perf_counter() - began) * 1000)
    print(json.dumps(took))


if __name__ == "__main__":
    main(sys.argv[1])
