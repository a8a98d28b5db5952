"""Docker's progress streams as text: bars that move on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any, Final, Protocol

from tui.view.figures import size
from tui.view.text import clean, shorten

BAR: Final = 24
"""Cells of a bar."""

Told = Mapping[str, Any]


class Screen(Protocol):
    def tell(self, told: Told) -> None: ...


async def show(stream: AsyncIterator[Told], out: IO[str], *, quiet: bool = False) -> str:
    """Show all that a stream tells; its last status."""
    screen: Screen | None = None if quiet else Bars(out) if out.isatty() else Lines(out)
    last = ""
    async for told in stream:
        last = told.get("status") or last
        if screen:
            screen.tell(told)
    return last


class Lines:
    """A line for each step; bytes that move are no step."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def tell(self, told: Told) -> None:
        if (text := _text(told)) and not told.get("progressDetail"):
            self._out.write(text + "\n")
            self._out.flush()


class Bars:
    """A line for each thing that is told of, written over as it changes. What has left the screen stays as it was."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._rows: dict[str, int] = {}
        self._next = 0

    def tell(self, told: Told) -> None:
        text, id = _text(told), told.get("id", "")
        if not text:
            return
        columns, rows = shutil.get_terminal_size()
        text = shorten(text, columns - 1)
        row = self._rows.get(id) if id else None
        up = self._next - row if row is not None else 0
        if up >= rows:
            return
        if row is None:
            if id:
                self._rows[id] = self._next
            self._next += 1
            self._out.write(f"{text}\n")
        else:
            self._out.write(f"\x1b[{up}A\r\x1b[2K{text}\x1b[{up}B\r")
        self._out.flush()


def _text(told: Told) -> str:
    status = clean(str(told.get("status") or told.get("stream") or "")).strip()
    detail = told.get("progressDetail") or {}
    current, total = detail.get("current", 0), detail.get("total", 0)
    text = f"{clean(told['id'])}: {status}" if told.get("id") else status
    if not current:
        return text
    if not total:
        return f"{text}  {size(current)}"
    full = min(BAR, current * BAR // total)
    return f"{text:<26}  {'█' * full}{'░' * (BAR - full)}  {size(current)} of {size(total)}"
