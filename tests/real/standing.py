"""An engine that can be made to stand still: the real one, with a hook around its real ports.

`python -m tests.real.standing STAND <longshored's options>`. While the file STAND holds a number n, the n-th call from then
on that changes the world is made, and never returns: its effect is there, and nothing that follows knows of it. The engine
then writes `STAND.there` and waits to be killed from outside.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import os
import sys
from pathlib import Path
from typing import Any

from engine import __main__ as longshored
from engine.host import Host
from engine.host.real import RealHost
from engine.spec import restarts

CHANGING = frozenset(
    {"save", "forget", "make", "drop", "make_network", "drop_network", "make_init", "make_writable", "drop_layer", "mount"}
    | {"unmount", "make_directory", "plug", "unplug", "address", "unaddress", "register", "unregister", "create", "delete"}
    | {"start", "kill", "pause", "resume", "thaw", "update", "open_exec", "exec", "forget_exec"}
    | {"make_bridge", "drop_bridge", "route", "take", "give_back", "forward", "unforward", "open", "close"}
)


class StandingPort:
    def __init__(self, port: Any, stand: Path) -> None:
        self._port, self._stand = port, stand

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name not in CHANGING or not inspect.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await value(*args, **kwargs)
            await self._stop_here()
            return result

        return call

    async def _stop_here(self) -> None:
        if not self._stand.exists():
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
        names = [field.name for field in dataclasses.fields(Host) if field.name not in ("facts", "clock")]
        ports: dict[str, Any] = {name: StandingPort(getattr(host, name), self.stand) for name in names}
        return dataclasses.replace(host, **ports)


def main() -> None:
    # So long that a container stands still between two starts, or so short that it does not.
    restarts.FIRST = float(os.environ.get("BACKOFF", restarts.FIRST))
    StandingHost.stand = Path(sys.argv[1])
    setattr(longshored, "RealHost", StandingHost)  # noqa: B010 - it is not exported
    longshored.main(sys.argv[2:])


if __name__ == "__main__":
    main()
