"""The scene: all that the panes are painted from, in one immutable value assigned at once."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from engine.model.world import ContainerRow, World
from tui.view.figures import NO_METER, Meter
from tui.view.transfers import Transfer


class Link(Struct, frozen=True, kw_only=True):
    """How fresh the world is."""

    up: bool = False
    reason: str = "connecting"
    """Why it is not up, as a sentence."""
    next_try: datetime | None = None
    age: int = 0
    """Seconds since the last frame, when that is longer than it should be; else 0."""

    @property
    def word(self) -> str:
        if not self.up:
            return "disconnected" if self.next_try else "connecting"
        return f"{self.age} s old" if self.age else "live"

    @property
    def sign(self) -> str:
        return "●" if self.word == "live" else "◌" if self.up else "✘"

    @property
    def tone(self) -> str:
        return "good" if self.word == "live" else "warn" if self.up else "bad"


class Scene(Struct, frozen=True, kw_only=True):
    now: datetime
    world: World = World()
    meters: dict[str, Meter] = {}
    host_cpu: int = 0
    """Per cent of the whole host, settled."""
    host_bars: tuple[int, ...] = (0,) * 4
    host_memory: float = 0.0
    link: Link = Link()
    held: bool = False
    """The screen is held still: what is shown is not live, on purpose."""
    written: float = 0.0
    """Bytes per second to the terminal, settled."""
    transfers: tuple[Transfer, ...] = ()
    """Images on their way to or from here."""

    def row(self, id: str) -> ContainerRow | None:
        return self.world.containers.get(id)

    def meter(self, id: str) -> Meter:
        return self.meters.get(id, NO_METER)


class Notice(Struct, frozen=True, kw_only=True):
    """What the status line says: how the last action went, and the `docker` command that does the same."""

    text: str = ""
    tone: str = ""
    command: str = ""
