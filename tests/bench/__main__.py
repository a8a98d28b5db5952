"""Measure longshored beside dockerd, in the same run, round by round in turn: `make bench`.

Both have a network namespace of their own, a containerd of their own, the same image, and the same client code.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
from pathlib import Path

from tests.bench.measure import LISTED, VERBS, Subject, memory, related, report
from tests.bench.peer import Dockerd, Missing, Namespace
from tests.bench.wire import image
from tests.engines import EngineProcess
from tests.leftovers import MARK

ROUNDS = 20
AIMS = dict.fromkeys(VERBS, 1.0) | {"start": 0.5, f"list of {LISTED}": 0.5, "memory": 1.0}
"""The most that ours may take of dockerd's time, or memory."""


async def main(rounds: int) -> None:
    tag = secrets.token_hex(3)
    os.environ[MARK] = tag
    place = Path(tempfile.gettempdir())
    with Namespace(f"longshore-o{tag}") as own, Namespace(f"longshore-p{tag}") as other:
        peer, engine = Dockerd(place / f"longshore-pe{tag}", other), EngineProcess(place / f"longshore-en{tag}")
        engine.prefix = own.enter
        try:
            await peer.start()
            await engine.start()
            subjects = Subject(engine.socket), Subject(peer.socket)
            await asyncio.to_thread(compare, *subjects, rounds)
            megabytes = [memory(related(engine.pid, engine.tag))], [memory(peer.pids)]
        finally:
            await peer.end()
            await engine.clean()
    ours, theirs = (subject.times | {"memory": used} for subject, used in zip(subjects, megabytes, strict=True))
    print(f"\nmilliseconds, median of {rounds} (and nine of ten below); memory in MB, engine and containerd together")
    print("\n".join(report(ours, theirs, AIMS)))


def compare(ours: Subject, peer: Subject, rounds: int) -> None:
    """Blocking: one request at a time, on a connection that is kept."""
    archive = image()
    for subject in (ours, peer):
        subject.api.ask("POST", "/images/load?quiet=1", archive)
        subject.round("warm")
        subject.forget()
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for subject in (ours, peer) if number % 2 else (peer, ours):
            subject.round(f"round-{number}")
    for subject in (ours, peer):
        subject.listing(rounds)
        subject.api.close()
    print(file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
    except (Missing, FileNotFoundError) as error:
        sys.exit(f"cannot measure: {error}")
