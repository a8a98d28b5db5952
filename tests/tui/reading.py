"""Logs to read in tests, and what the Logs tab shows of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from textual.pilot import Pilot

from engine.model.interface import LogLine
from tests.tui.piloting import main, until
from tui.app import LongshoreApp
from tui.panes.logs import LogsTab

BEGAN = datetime.now(UTC) - timedelta(minutes=30)


def said(text: str, seconds: float = 0.0, stream: str = "stdout") -> LogLine:
    return LogLine(stream=stream, time=BEGAN + timedelta(seconds=seconds), log=text.encode() + b"\n")


def counted(count: int, start: int = 0) -> list[LogLine]:
    return [said(f"line {n}", n / 1000) for n in range(start, start + count)]


def tab(app: LongshoreApp) -> LogsTab:
    return main(app).query_one(LogsTab)


def foot(app: LongshoreApp) -> str:
    return "".join(span.text for span in tab(app).foot)


def shown(app: LongshoreApp) -> list[str]:
    """The lines in view, without the state below them."""
    logs = tab(app)
    return ["".join(span.text for span in logs.line_at(y)).rstrip() for y in range(logs.view_height)]


async def read(pilot: Pilot[None], app: LongshoreApp, text: str) -> None:
    """Open the logs, and wait for a text in them."""
    await pilot.press("l")
    await until(pilot, lambda: any(text in line for line in shown(app)))


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()
