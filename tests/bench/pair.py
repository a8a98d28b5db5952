"""The two engines of a measurement, started when one of them is first needed."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.peer import Dockerd, Namespace
from tests.engines import EngineProcess


@dataclass
class Pair:
    ours: EngineProcess
    peer: Dockerd
    own: Namespace
    """Ours."""
    other: Namespace


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """longshored and dockerd, each with a network namespace and a containerd of its own. Both are gone afterwards."""
    tag, place = secrets.token_hex(3), Path(tempfile.gettempdir())
    with Namespace(f"longshore-o{tag}") as own, Namespace(f"longshore-p{tag}") as other:
        found = Pair(EngineProcess(place / f"longshore-en{tag}"), Dockerd(place / f"longshore-pe{tag}", other), own, other)
        found.ours.prefix = own.enter
        found.ours.options = tuple(option.replace(".1/24", ".1/16") for option in found.ours.options)  # room for hundreds
        try:
            await found.peer.start()
            await found.ours.start()
            yield found
        finally:
            await found.peer.end()
            await found.ours.clean()
