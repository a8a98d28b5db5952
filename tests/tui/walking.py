"""Where the cursor of the Networks pane is, how it gets there, and what the engine was asked."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from tests.tui.piloting import main, seen
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.panes.networks import NetworksPane


def asked(engine: ScriptedEngine, kind: str = "do") -> list[tuple[str, str, dict[str, Any]]]:
    return [(verb, target, params) for what, verb, target, params in engine.calls if what == kind]


def at(app: LongshoreApp) -> str:
    """Where the cursor of the pane is: a network, or a container on it."""
    found = main(app).query_one(NetworksPane).row
    assert found
    return found.network.name + (f"/{found.container.name}" if found.container else "")


async def walk(pilot: Pilot[None], app: LongshoreApp, place: str) -> None:
    """Go to the pane, and down to a line of it."""
    await pilot.press("3", "g")
    for _ in range(12):
        await pilot.pause()
        if at(app) == place:
            return
        await pilot.press("j")
    raise AssertionError(f"there is no {place} in\n" + "\n".join(seen(app)))
