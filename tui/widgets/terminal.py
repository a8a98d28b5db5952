"""What goes over the wire to the terminal: counted, and cut to what changed."""

from __future__ import annotations

import signal

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.drivers.linux_driver import LinuxDriver


class CountingDriver(LinuxDriver):
    """Counts the bytes it writes, for the header."""

    written = 0
    lending = False
    """The terminal goes to another program for a while, and with it what is typed meanwhile."""

    def write(self, data: str) -> None:
        self.written += len(data) if data.isascii() else len(data.encode())
        super().write(data)

    def disable_input(self) -> None:
        """The stock one throws away what was typed and not read yet; lent, it is left to the next reader."""
        if not self.lending or self.exit_event.is_set():
            super().disable_input()
            return
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        self._disable_mouse_support()
        self.exit_event.set()
        if self._key_thread is not None:
            self._key_thread.join()
        self.exit_event.clear()


class TightUpdate(ChopsUpdate):
    """A partial update that begins at the first changed cell; the stock one begins at the widget's left edge."""

    def render_segments(self, console: Console) -> str:
        parts: list[str] = []
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                start = max(x, x1)
                parts.append(Control.move_to(start, y).segment.text)
                parts.append(strip.crop(start - x, min(end, x2) - x).render(console))
        return "".join(parts)
