"""An engine that kills itself: the real one, with an ear for each change that it makes to its store of images.

`python -m tests.real.dying ORDER <longshored's options>`. While the file ORDER holds `nth label`, the process ends by SIGKILL
right before it makes that change for the nth time; before the first change is after nothing, and before each other one is
after the one before it. While it holds `0 list`, the label of each change goes to `ORDER.list`, and nothing dies.

A label is what is done and where, with `ID` in place of all that is different each time, and `...` where one place is as good
as another: `os.rename image/overlay2/layerdb/tmp/ID`.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from engine import __main__ as longshored
from engine.host.registry.parts import Growing
from engine.host.unpack import Feed

CHANGES = frozenset({"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link"})
"""Audit events of Python's own (library reference, "Audit events table"). Each comes before its change."""
BELOW = ("image/", "overlay2/", "tmp/")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
VARYING = re.compile(r"[0-9a-f]{64}|\b[A-Z2-7]{26}\b|#\d+")
FURTHER = re.compile(r"/diff/.+|(?<=layerdb/tmp/ID)/.+|(?<=-)[0-9a-f]{8}(?=-removing)|(?<=-removing)/.+")


class Ear:
    """Hears every change, in whichever thread."""

    def __init__(self, order: Path, root: str) -> None:
        self._root = os.path.realpath(root) + "/"
        self._fd = os.open(order, os.O_RDONLY | os.O_CREAT, 0o600)
        self._list = os.open(f"{order}.list", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._heard: Counter[str] = Counter()
        self._order = ""

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES and (label := self._label(event, args)):
            self.hear(label)

    def hear(self, label: str) -> None:
        order = os.pread(self._fd, 1000, 0).decode()
        if not order:
            return
        nth, _, wanted = order.partition(" ")
        with self._lock:
            if order != self._order:
                self._order, self._heard = order, Counter()
            self._heard[label] += 1
            if wanted == "list":
                os.write(self._list, f"{label}\n".encode())
            elif wanted == label and self._heard[label] == int(nth):
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()

    def _label(self, event: str, args: tuple[Any, ...]) -> str:
        if event == "open" and not args[2] & WRITES:
            return ""
        path = args[1 if event == "os.symlink" else 0]
        if not isinstance(path, str | bytes | os.PathLike):
            return ""
        path = os.fsdecode(path)
        at = args[-1] if event in ("os.mkdir", "os.remove", "os.rmdir") else -1
        if at != -1 and not path.startswith("/"):
            path = os.path.join(os.readlink(f"/proc/self/fd/{at}"), path)
        path = path.removeprefix(self._root)
        if not path.startswith(BELOW):
            return ""
        return f"{event} {FURTHER.sub('/...', VARYING.sub('ID', path))}"


def main() -> None:
    ear = Ear(Path(sys.argv[1]), sys.argv[sys.argv.index("--data-root") + 1])
    push, append = Feed.push, Growing._append

    def feed(self: Feed, data: bytes) -> bool:
        ear.hear("feed the unpacker")
        return push(self, data)

    def fetch(self: Growing, chunk: bytes) -> None:
        ear.hear("keep more of a blob" if self.have else "keep what was fetched")
        append(self, chunk)

    setattr(Feed, "push", feed)  # noqa: B010 - no change that Python tells of
    setattr(Growing, "_append", fetch)  # noqa: B010
    sys.addaudithook(ear)
    longshored.main(sys.argv[2:])


if __name__ == "__main__":
    main()
