"""The engine's side of the keeper: tell it what to hold."""

from __future__ import annotations

from collections.abc import Callable

from engine.host.helper import Helper
from engine.host.stdio import keeper as program
from engine.host.tools import doing
from engine.model.errors import HostFailed


class Keeper:
    """One keeper per exec root, found by its socket. `keeper` says what it does and when it ends."""

    def __init__(self, path: str, on_trouble: Callable[[], None]) -> None:
        self.trouble = ""
        self._on_trouble = on_trouble
        self._held: set[str] = set()
        self._helper = Helper(
            path,
            (program.__file__, path),
            "the keeper of the containers' output",
            lambda: [f"hold {held}".encode() for held in self._held],
            self._say,
        )

    async def hold(self, path: str) -> None:
        """Keep what is in a FIFO from being lost. Held already is fine. Raises `HostFailed`."""
        self._held.add(path)
        await self._ask("hold", path)

    async def drop(self, path: str) -> None:
        """Hold it no longer. Not held, or no keeper to hold it, is fine."""
        self._held.discard(path)
        if await self._helper.there():
            await self._ask("drop", path)

    async def close(self) -> None:
        """Leave. The keeper goes on while it holds anything."""
        await self._helper.close()

    async def _ask(self, verb: str, path: str) -> None:
        with doing(f"{verb} {path}"):
            answer = await self._helper.ask(f"{verb} {path}".encode())
        if answer != b"ok":
            raise HostFailed(f"cannot {verb} {path}: the keeper says: {answer.decode()}")

    def _say(self, trouble: str) -> None:
        self.trouble = f"{trouble}; if the engine ends now, output that is not copied yet is lost" if trouble else ""
        self._on_trouble()
