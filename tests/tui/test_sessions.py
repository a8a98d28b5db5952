"""A shell, and a container's own process, on the whole terminal: a real one, with the dashboard in it before and after."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from engine.model.status import Status
from tests.tui.piloting import choose, dashboard, on_screen, until
from tests.tui.scripted import ScriptedEngine
from tests.tui.test_terminal import ROOT, terminal
from tui.app import LongshoreApp

PROGRAM = """
import asyncio
from engine.model.errors import Unavailable
from engine.model.world import World
from tests.tui.scripted import ScriptedEngine, row
from tui.app import LongshoreApp

class Engine(ScriptedEngine):
    {body}

async def main():
    web = row("web", **{row})
    engine = Engine(World(containers={{web.id: web}}))
    await LongshoreApp(engine).run_async()
    print("typed", engine.typed)
    print("asked", [call[0] for call in engine.calls if call[0] in ("do", "exec", "attach")])

asyncio.run(main())
"""


class Sitting:
    """A person at a terminal with the dashboard on it."""

    def __init__(self, child: asyncio.subprocess.Process, outer: int) -> None:
        self.child, self.outer = child, outer
        self.written = bytearray()
        self.since = 0
        self._news = asyncio.Event()

    def read(self) -> None:
        try:
            self.written += os.read(self.outer, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self.outer)
        self._news.set()

    async def see(self, *texts: str) -> str:
        """Wait until these are written; all that was since the last time."""
        async with asyncio.timeout(20):
            while not all(text in self.new for text in texts):
                self._news.clear()
                await self._news.wait()
        new = self.new
        self.since = len(self.written)
        return new

    @property
    def new(self) -> str:
        text = self.written[self.since :].decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;]*[mH]", "", text)

    def type(self, text: str) -> None:
        os.write(self.outer, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.child.send_signal(signal.SIGWINCH)


@asynccontextmanager
async def sitting(tmp_path: Path, body: str = "pass", **row: Any) -> AsyncIterator[Sitting]:
    environment = os.environ | {"TERM": "xterm-256color", "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with terminal() as (outer, inner):
        before = termios.tcgetattr(inner)
        program = PROGRAM.format(row=row, body=body)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdin=inner, stdout=inner, stderr=inner, cwd=ROOT, env=environment
        )
        here = Sitting(child, outer)
        asyncio.get_running_loop().add_reader(outer, here.read)
        try:
            await here.see("● live")
            yield here
            here.type("q")
            assert await asyncio.wait_for(child.wait(), 20) == 0
            assert termios.tcgetattr(inner) == before
        finally:
            asyncio.get_running_loop().remove_reader(outer)
            if child.returncode is None:
                child.kill()
                await child.wait()


async def whole(here: Sitting, text: str) -> None:
    """The dashboard is back, all of it, and says this."""
    back = await here.see(text, "longshore", "1 Containers", "2 Layers", "3 Networks", "4 web")
    assert "\x1b[?1049h" in back


async def test_a_shell_has_the_terminal_to_itself_and_gives_it_back_whole(tmp_path: Path) -> None:
    async with sitting(tmp_path) as here:
        here.type("e")
        hint = await here.see("ready")
        assert "\x1b[?1049l" in hint
        assert "A shell in web. exit or Ctrl-D ends it; Ctrl-P Ctrl-Q leaves it running." in hint
        assert "$ docker exec -it web sh -c" in hint
        here.type("sdq\r")  # letters that stop, remove and quit out there
        await here.see("SDQ")
        here.resize(100, 35)
        here.type("size\r")
        await here.see("(100, 35)")
        here.type("exit 3\r")
        await whole(here, "the shell in web ended with exit code 3")
        here.type("e")
        await here.see("ready")
        here.type("exit\r")
        await whole(here, "the shell in web ended with exit code 0")
        here.type("q")
        await here.see("asked ['exec', 'exec']")


async def test_what_is_typed_in_one_go_reaches_the_shell_and_then_the_dashboard(tmp_path: Path) -> None:
    async with sitting(tmp_path) as here:
        here.type("eone\rtwo\r\x1b[A")
        await here.see("TWO")
        here.type("\rexit\r")
        await whole(here, "ended with exit code 0")
        here.type("q")
        await here.see(r"typed b'one\rtwo\r\x1b[A\rexit\r'")


async def test_the_detach_keys_leave_it_running(tmp_path: Path) -> None:
    async with sitting(tmp_path) as here:
        here.type("e")
        await here.see("ready")
        here.type("\x10\x11")
        await whole(here, "the shell in web was left running")


async def test_attached_to_a_terminal_until_it_is_left_or_ends(tmp_path: Path) -> None:
    async with sitting(tmp_path, terminal=True, stdin=True) as here:
        here.type("a")
        assert "Attached to web. Ctrl-P Ctrl-Q leaves it running." in await here.see("ready")
        here.type("hello\r")
        await here.see("HELLO")
        here.type("\x10\x11")
        await whole(here, "left web; it goes on")
        here.type("a")
        await here.see("ready")
        here.type("exit 4\r")
        await whole(here, "web has ended with exit code 4; x says what that means")


async def test_attached_without_input_ctrl_c_leaves_and_ends_nobody(tmp_path: Path) -> None:
    async with sitting(tmp_path) as here:
        here.type("a")
        assert "Ctrl-C leaves it running. It takes no input" in await here.see("ready")
        here.type("s")  # not read by anybody, and no command for the dashboard afterwards
        await asyncio.sleep(0)
        here.child.send_signal(signal.SIGINT)
        await whole(here, "left web; it goes on")
        here.type("q")
        await here.see("asked ['attach']")


async def test_an_engine_that_goes_away_gives_the_terminal_back(tmp_path: Path) -> None:
    body = "async def exec_inspect(self, exec_id): raise Unavailable('the engine is gone')"
    async with sitting(tmp_path, body) as here:
        here.type("e")
        await here.see("ready")
        here.type("exit\r")
        await whole(here, "✘ the engine is gone")


async def test_an_error_of_our_own_in_between_gives_the_terminal_back(tmp_path: Path) -> None:
    body = "import tui.sessions; tui.sessions.talk = lambda *streams, **how: 1 / 0"
    async with sitting(tmp_path, body) as here:
        here.type("e")
        await here.see("A shell in web")
        last = await here.see("longshore has ended on an error of its own (ZeroDivisionError)")
        assert last.rindex("\x1b[?1049l") > last.rindex("\x1b[?1049h")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    monkeypatch.setattr(LongshoreApp, "suspend", lambda app: nullcontext())
    return ScriptedEngine()


@pytest.mark.parametrize("key", ["e", "a"])
@pytest.mark.parametrize(
    ("name", "said"), [("db", "it is frozen, and would not answer; p thaws it"), ("job-17", "it is exited; s starts it")]
)
async def test_what_does_not_run_is_refused_with_its_reason(engine: ScriptedEngine, key: str, name: str, said: str) -> None:
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, name)
        await pilot.press(key)
        await until(pilot, lambda: on_screen(app, said))
        assert not engine.execs and engine.find(name).status is not Status.RUNNING


async def test_a_container_without_a_shell_is_told_clearly(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(exec_id: str) -> dict[str, Any]:
        return {"Running": False, "ExitCode": 127, "Pid": 0}

    monkeypatch.setattr(engine, "exec_inspect", fails)
    monkeypatch.setattr("tui.sessions._talk", _at_once)
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("e")
        await until(pilot, lambda: on_screen(app, "✘ there is no shell in web: neither bash nor sh can be run in it"))


async def test_without_a_terminal_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine()
    async with dashboard(engine) as (app, pilot):
        await choose(pilot, app, "web")
        await pilot.press("e")
        await until(pilot, lambda: on_screen(app, "there is no terminal here that could be handed over"))
        await pilot.press("j", "k")
        assert app.is_running


async def _at_once(app: Any, stream: Any, *rest: Any, **more: Any) -> bool:
    await stream.close()
    return False
