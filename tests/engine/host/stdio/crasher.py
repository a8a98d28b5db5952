"""Copies output in one child process after the other, and has each killed with SIGKILL at a chosen call.

Run by `test_crash` as a program of its own, because it forks. Prints, as JSON, how each child ended, how many numbered
lines went into stdout, and how many bytes of equal lines into stderr.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from typing import Any

from engine.host.stdio import spool as spool_module
from engine.host.stdio.channel import Audience
from engine.host.stdio.copying import STREAMS, Copy
from engine.host.stdio.logfile import Log
from engine.host.stdio.rotation import LogFiles
from engine.host.things import Output

POINTS = (
    (os, "splice", "before"), (os, "splice", "after"),
    (os, "pwrite", "before"), (os, "pwrite", "after"),
    (os, "write", "before"), (os, "write", "after"),
    (os, "write", "half"), (os, "ftruncate", "before"), (os, "ftruncate", "after"),
    (spool_module, "_punch_hole", "before"), (spool_module, "_punch_hole", "after"),
)  # fmt: skip
"""What is done, and when death comes. A truncation is needed only after half a write, so it follows that."""

ROTATION = (
    (os, "rename", "before"), (os, "rename", "after"),
    (os, "unlink", "before"), (os, "unlink", "after"),
    (os, "fdatasync", "before"), (os, "fdatasync", "after"),
)  # fmt: skip
"""What else is done where the log is rotated and compressed."""

EQUAL = b"again the same line\n"

ONCE = ("ftruncate", "_punch_hole")


class Feeder:
    """Fills a pipe without waiting, and knows what it has put in."""

    def __init__(self, path: str, lines: Any) -> None:
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # stands for the keeper
        self._pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        self._lines = lines
        self._rest = b""
        self.put = 0

    def fill(self) -> None:
        while True:
            self._rest = self._rest or b"".join(itertools.islice(self._lines, 1000))
            try:
                n = os.write(self._pipe, self._rest)
            except BlockingIOError:
                return
            self.put += n
            self._rest = self._rest[n:]


def arm(where: Any, call: str, moment: str, nth: int) -> None:
    real = getattr(where, call)
    calls = itertools.count(1)

    def armed(*args: Any, **kwargs: Any) -> Any:
        if next(calls) < nth:
            return real(*args, **kwargs)
        if moment == "half":
            real(args[0], args[1][: len(args[1]) // 2])
        if moment == "after":
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("alive after SIGKILL")

    setattr(where, call, armed)


def copy_all(directory: str, log_path: str, output: Output) -> Copy:
    log = Log(LogFiles(log_path), output)
    copy = Copy(directory, STREAMS, log, Audience(), lambda: None)
    for spool in copy.spools:
        copy.write(spool)
    for spool in copy.spools:
        while copy.turn(spool):
            pass
    while packing := log.files._packing:
        packing.result()
    return copy


def main(directory: str, log_path: str, driver: str, options: str) -> None:
    output = Output(driver=driver, options=json.loads(options))
    out = Feeder(os.path.join(directory, "stdout"), (b"%d\n" % n for n in itertools.count()))
    err = Feeder(os.path.join(directory, "stderr"), itertools.repeat(EQUAL))
    statuses = []
    points = POINTS + ROTATION if output.options else POINTS
    for nth, (where, call, moment) in itertools.product((1, 2, 5), points):
        out.fill()
        err.fill()
        child = os.fork()
        if child == 0:
            arm(where, call, moment, 1 if call in ONCE else nth)
            copy_all(directory, log_path, output)
            os._exit(1)
        statuses.append((call, moment, nth, os.waitpid(child, 0)[1]))
    copy = copy_all(directory, log_path, output)
    for spool in copy.spools:
        copy.write(spool, last=True)
    copy.close()
    print(json.dumps({"statuses": statuses, "stdout": out.put, "stderr": err.put}))


if __name__ == "__main__":
    main(*sys.argv[1:])
