"""Take the pictures of the README from the running program: `make screenshots`, as root.

A real engine with real containers, and the real dashboard on its socket. It runs in a mount namespace of its own, with fresh
file systems where an engine keeps its things, so that the pictures show the paths a reader will see.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from engine.client import Client
from engine.model.errors import EngineError
from engine.model.world import ContainerRow
from tui import background
from tui.app import LongshoreApp
from tui.screens.lesson import LessonScreen
from tui.screens.main import MainScreen

HERE = Path(__file__).parent
SIZE = (120, 40)
PLACES = ("/var/lib/longshore", "/run/longshore")
BRIDGE = "longshore0"
PATIENCE = 30.0
SECOND = 1_000_000_000
STEPS = 3
"""How far the lesson is walked for its picture."""


def container(script: str, **more: Any) -> dict[str, Any]:
    return {"Image": "busybox", "Cmd": ["sh", "-c", script], "StopSignal": "SIGKILL", **more}


def probe(command: str) -> dict[str, Any]:
    return {"Healthcheck": {"Test": ["CMD-SHELL", command], "Interval": SECOND, "Timeout": SECOND, "Retries": 2}}


BUSY = "while :; do i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done; sleep 0.1; done"
QUIET = "echo ready; while :; do sleep 3600; done"
SERVING = "set -- $(ip route); ping -qs 1400 $3 >/dev/null & mkdir -p /www; echo ahoy >/www/index.html; " + BUSY

CONTAINERS = {
    "web": container(SERVING, HostConfig={"Memory": 128 << 20}, **probe("test -s /www/index.html")),
    "db": container(QUIET, **probe("ip route | grep -q default")),
    "queue": container(BUSY, **probe("false")),
    "job-17": container("echo done"),
    "shop": container(QUIET),
}


def main() -> None:
    if "--inside" in sys.argv:
        try:
            asyncio.run(pictures())
        except EngineError as error:
            sys.exit(f"cannot take the pictures: {error}")
        return
    if os.geteuid() != 0:
        sys.exit("cannot take the pictures: they show a real engine, which needs root")
    if os.path.exists(f"/sys/class/net/{BRIDGE}"):
        sys.exit("cannot take the pictures: an engine is running; end it first: longshore engine stop --containers")
    made = [place for place in PLACES if not os.path.isdir(place)]
    for place in made:
        os.makedirs(place)
    try:
        mounts = " && ".join(f"mount -t tmpfs longshore {place}" for place in PLACES)
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        again = [sys.executable, "-m", "screenshots.make", "--inside"]
        unshare = ["unshare", "--mount", "--propagation", "private"]
        sys.exit(subprocess.run([*unshare, "sh", "-c", f'{mounts} && exec "$@"', "sh", *again], check=False).returncode)
    finally:
        for place in made:
            os.rmdir(place)


async def pictures() -> None:
    await asyncio.to_thread(background.ensure, background.SOCKET)
    try:
        async with Client(background.SOCKET) as engine:
            await populate(engine)
            await photograph(engine)
    finally:
        pid = background.listener(background.SOCKET)
        async with Client(background.SOCKET) as engine:
            await engine.shutdown(containers=True)
        await asyncio.to_thread(background.wait_end, pid or 0)


async def populate(engine: Client) -> None:
    for name, body in CONTAINERS.items():
        await engine.do("create", "", {"name": name, "body": body})
        if name != "shop":
            await engine.do("start", name)
    await engine.wait("job-17")

    def settled(rows: dict[str, ContainerRow]) -> bool:
        return (rows["web"].health, rows["db"].health, rows["queue"].health) == ("healthy", "healthy", "unhealthy")

    deadline = time.monotonic() + PATIENCE
    while not settled({row.name: row for row in await engine.containers()}):
        if time.monotonic() > deadline:
            raise EngineError("the health checks do not come to a result")
        await asyncio.sleep(0.1)
    await engine.do("pause", "db")


async def photograph(engine: Client) -> None:
    app = LongshoreApp(engine)
    async with app.run_test(size=SIZE) as pilot:
        front = app.screen
        assert isinstance(front, MainScreen)
        await until(pilot, lambda: len(app.scene.world.samples) >= 3)
        await pilot.pause(8)  # eight samples make the sparklines
        await select(pilot, front, "web")
        await until(pilot, lambda: bool(front.row and front.row.name == "web"))
        shoot(app, "main")
        await pilot.press("question_mark")
        await until(pilot, lambda: app.screen is not front)
        shoot(app, "help")
        await pilot.press("escape")
        await select(pilot, front, "shop")
        await pilot.press("t")
        await until(pilot, lambda: app.screen is not front)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen))
        lesson = app.screen
        assert isinstance(lesson, LessonScreen)
        for at in range(1, STEPS + 1):
            await pilot.press("space")
            await until(pilot, lambda at=at: lesson.plan.at == at)  # type: ignore[misc]
        shoot(app, "lesson")
        await pilot.press("escape")


async def select(pilot: Pilot[None], front: MainScreen, name: str) -> None:
    """Walk the table from the top down to a container."""
    await pilot.press("g")
    for _ in CONTAINERS:
        await pilot.pause()
        if front.row and front.row.name == name:
            return
        await pilot.press("j")
    raise EngineError(f"cannot find {name} on the screen")


async def until(pilot: Pilot[None], so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not so():
            await pilot.pause(0.05)
    await pilot.pause(0.5)


def shoot(app: LongshoreApp, name: str) -> None:
    path = HERE / f"{name}.svg"
    # Some renderers drop spaces at the beginning of a text otherwise, no-break spaces too.
    path.write_text(app.export_screenshot(title="longshore").replace("<svg ", '<svg xml:space="preserve" ', 1))
    print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
