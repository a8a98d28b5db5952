"""The terminal itself: what is written to it, and that it is given back."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from rich.segment import Segment
from textual.strip import Strip

from tests.tui.piloting import dashboard
from tests.tui.scripted import ScriptedEngine
from tui.widgets.terminal import TightUpdate

ROOT = Path(__file__).parents[2]
CRASHING = """
import asyncio
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp

class Broken(ScriptedEngine):
    async def steps(self, target):
        secret = "a local variable"
        raise ZeroDivisionError(secret)

asyncio.run(LongshoreApp(Broken()).run_async())
"""


@contextmanager
def terminal(rows: int = 40, columns: int = 120) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: the end a person sits at, and the program's end."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    try:
        yield outer, inner
    finally:
        os.close(outer)
        os.close(inner)


async def run_in(inner: int, outer: int, tmp_path: Path, code: str, keys: bytes = b"") -> tuple[int, str]:
    """Run a program on the terminal to its end; its exit code and all it wrote. `keys` are typed at its first picture."""
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_STATE_HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(ROOT)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=inner, stdout=inner, stderr=inner, cwd=ROOT, env=environment
    )
    written = bytearray()
    ready = asyncio.Event()

    def read() -> None:
        written.extend(os.read(outer, 65536))
        if "● live".encode() in written:
            ready.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(outer, read)
    try:
        async with asyncio.timeout(20):
            if keys:
                await ready.wait()
                os.write(outer, keys)
            code_ = await child.wait()
        while select.select([outer], [], [], 0)[0]:
            read()
    finally:
        loop.remove_reader(outer)
        if child.returncode is None:
            child.kill()
            await child.wait()
    return code_, written.decode(errors="replace")


async def test_a_crash_gives_the_terminal_back_with_a_sentence(tmp_path: Path) -> None:
    with terminal() as (outer, inner):
        before = termios.tcgetattr(inner)
        _, text = await run_in(inner, outer, tmp_path, CRASHING)
        assert termios.tcgetattr(inner) == before
    assert "\x1b[?1049h" in text
    last = text.rpartition("\x1b[?1049l")[2]
    assert last, "the alternate screen was not left"
    words = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last).split())
    assert "longshore has ended on an error of its own (ZeroDivisionError). Engine and containers go on." in words
    assert "Traceback" not in text and "a local variable" not in text
    report = next(tmp_path.rglob("crash-*.txt")).read_text()
    assert "ZeroDivisionError: a local variable" in report


async def test_q_gives_the_terminal_back(tmp_path: Path) -> None:
    code = CRASHING.replace("raise ZeroDivisionError(secret)", "return await super().steps(target)")
    with terminal() as (outer, inner):
        before = termios.tcgetattr(inner)
        ended, text = await run_in(inner, outer, tmp_path, code, b"q")
        assert termios.tcgetattr(inner) == before
    assert ended == 0
    assert text.rindex("\x1b[?1049l") > text.rindex("\x1b[?1049h")
    assert not list(tmp_path.rglob("crash-*.txt"))


def test_a_partial_update_begins_at_the_first_changed_cell() -> None:
    strip = Strip([Segment("0123456789")])
    update = TightUpdate([{0: strip}], [(0, 4, 6)], [[10]])
    assert update.render_segments(Console()) == "\x1b[1;5H45"


def test_a_partial_update_touches_every_chop_it_crosses_and_no_other() -> None:
    chops = [{0: Strip([Segment("abc")]), 3: Strip([Segment("def")]), 6: Strip([Segment("ghi")])}]
    update = TightUpdate(chops, [(0, 2, 5)], [[3, 6, 9]])
    assert update.render_segments(Console()) == "\x1b[1;3Hc\x1b[1;4Hde"


async def test_copying_is_osc_52_and_wrapped_inside_tmux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    async with dashboard(ScriptedEngine()) as (app, _pilot):
        written: list[str] = []
        assert app._driver
        monkeypatch.setattr(app._driver, "write", written.append)
        app.copy_to_clipboard("hi")
        assert "".join(written) == "\x1b]52;c;aGk=\a\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"
