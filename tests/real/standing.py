"""An engine that can be made to stand still: the real one, with one hook around its real records.

`python -m tests.real.standing STAND <longshored's options>`. While the file STAND holds a number n, the n-th save of a
container's record from then on is not made: the effect of a step is in the world, the journal does not know it yet. The
engine then writes `STAND.there` and waits to be killed from outside.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import __main__ as longshored
from engine.host import Host
from engine.host.real import RealHost


class StandingRecords:
    def __init__(self, records: Any, stand: Path) -> None:
        self._records, self._stand = records, stand

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    async def save(self, kind: str, id: str, data: bytes, *, sync: bool = False) -> None:
        await self._stop_here(kind)
        await self._records.save(kind, id, data, sync=sync)

    async def forget(self, kind: str, id: str) -> None:
        await self._stop_here(kind)
        await self._records.forget(kind, id)

    async def _stop_here(self, kind: str) -> None:
        if kind != "containers" or not self._stand.exists():
            return
        left = int(self._stand.read_text())
        self._stand.write_text(str(left - 1))
        if left == 0:
            self._stand.with_suffix(".there").touch()
            await asyncio.Event().wait()


class StandingHost(RealHost):
    stand = Path()

    async def open(self) -> Host:
        host = await super().open()
        return replace(host, records=StandingRecords(host.records, self.stand))


def main() -> None:
    StandingHost.stand = Path(sys.argv[1])
    longshored.RealHost = StandingHost  # type: ignore[misc]
    longshored.main(sys.argv[2:])


if __name__ == "__main__":
    main()
