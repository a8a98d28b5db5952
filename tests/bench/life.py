"""The verbs one container at a time, a long list, and memory."""

from __future__ import annotations

import asyncio
import sys

from tests.bench.measure import LISTED, VERBS, Subject, memory, related, report
from tests.bench.pair import pair
from tests.bench.wire import image

ROUNDS = 20
AIMS = dict.fromkeys(VERBS, 1.0) | {"start": 0.5, f"list of {LISTED}": 0.5, "memory": 1.0}
"""The most that ours may take of dockerd's time, or memory."""


async def life(rounds: int = ROUNDS) -> list[str]:
    async with pair() as engines:
        subjects = Subject(engines.ours.socket), Subject(engines.peer.socket)
        await asyncio.to_thread(compare, *subjects, rounds)
        megabytes = [memory(related(engines.ours.pid, engines.ours.tag))], [memory(engines.peer.pids)]
    ours, theirs = (subject.times | {"memory": used} for subject, used in zip(subjects, megabytes, strict=True))
    head = f"milliseconds, median of {rounds} (and nine of ten below); memory in MB, engine and containerd together"
    return [head, *report(ours, theirs, AIMS)]


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
