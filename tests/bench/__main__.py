"""Measure longshored beside dockerd, in the same run: `make bench`, or some measurements by name, `python -m tests.bench idle`.

Engines beside each other have a network namespace and a containerd of their own, the same image, and the same client code.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable

from tests.bench.echo import echo
from tests.bench.execs import execs
from tests.bench.files import files
from tests.bench.freezer import freezer
from tests.bench.health import health
from tests.bench.idle import idle
from tests.bench.images import images
from tests.bench.life import life
from tests.bench.logs import logs
from tests.bench.names import names
from tests.bench.networks import ports, throughput, wiring
from tests.bench.peer import Missing
from tests.bench.pulls import pulls
from tests.bench.stall import stall
from tests.leftovers import MARK

MEASUREMENTS: dict[str, Callable[..., Awaitable[list[str]]]] = {
    "life": life,
    "exec": execs,
    "echo": echo,
    "logs": logs,
    "health": health,
    "idle": idle,
    "freezer": freezer,
    "files": files,
    "images": images,
    "names": names,
    "pulls": pulls,
    "wiring": wiring,
    "ports": ports,
    "throughput": throughput,
    "stall": stall,
}
"""Each answers with the lines of its report. One may take a number: rounds, containers, or seconds."""


async def main(words: list[str]) -> None:
    """`words`: names, each with its number after an equals sign if need be, `idle=100`. None: all."""
    os.environ[MARK] = secrets.token_hex(3)
    for word in words or MEASUREMENTS:
        name, _, number = word.partition("=")
        if name not in MEASUREMENTS or (number and not number.isdecimal()):
            sys.exit(f"cannot measure {word!r}: take {', '.join(MEASUREMENTS)}, or one with a number, as idle=100")
        report = await MEASUREMENTS[name](*([int(number)] if number else []))
        print("\n" + "\n".join(report), flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except (Missing, FileNotFoundError) as error:
        sys.exit(f"cannot measure: {error}")
