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
from engine.model.network import ICC, MTU
from tui import background
from tui.app import LongshoreApp
from tui.panes.details import DetailsPane
from tui.panes.logs import LogsTab
from tui.screens.lesson import LessonScreen
from tui.screens.main import MainScreen
from tui.screens.wire import WireScreen

HERE = Path(__file__).parent
SIZE = (120, 40)
PLACES = ("/var/lib/longshore", "/run/longshore")
BRIDGE = "longshore0"
PATIENCE = 30.0
SECOND = 1_000_000_000
STEPS = 3
"""How far the lesson is walked for its picture."""


def container(script: str, **more: Any) -> dict[str, Any]:
    # From the environment: a list of processes has no room for a script.
    command = ["sh", "-c", 'eval "$SCRIPT"']
    return {"Image": "busybox", "Cmd": command, "Env": [f"SCRIPT={script}"], "StopSignal": "SIGKILL", **more}


def probe(command: str) -> dict[str, Any]:
    return {"Healthcheck": {"Test": ["CMD-SHELL", command], "Interval": SECOND, "Timeout": SECOND, "Retries": 2}}


BUSY = "while :; do i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done; sleep 0.1; done"
QUIET = "echo ready; while :; do sleep 3600; done"
PINGING = "set -- $(ip route); ping -qs 1400 $3 >/dev/null & "
SERVING = PINGING + "mkdir -p /www; echo ahoy >/www/index.html; httpd -p 8080 -h /www; " + BUSY
SOUND = "http://127.0.0.1:5672/health"
QUEUE = "mkdir -p /www; echo fine >/www/health; httpd -p 5672 -h /www; " + BUSY
ORDERS = r"""n=4710
say() { printf '\033[%sm%-5s\033[0m %s\n' "$1" "$2" "$3"; }
while :; do
    n=$((n+1))
    say 32 INFO "order $n: three lighthouses to Cuxhaven"
    if [ $((n % 4)) = 0 ]; then say 33 WARN "order $n: the payment took $((n % 7 + 2)) s"; fi
    if [ $((n % 7)) = 0 ]; then say 31 ERROR "order $n: no answer from queue: Connection refused" >&2; fi
    sleep 0.7
done"""
"""Coloured lines, the errors among them on standard error."""
MAIL = "echo 'reading /etc/mail.conf'; sleep 0.3; echo 'no relay is set: giving up' >&2; exit 78"

BACKEND = {"NetworkMode": "backend"}
PUBLISHED = {"80/tcp": [{"HostPort": "8080"}], "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}]}

NETWORKS: dict[str, dict[str, Any]] = {
    "backend": {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "10.90.0.0/24"}, {"Subnet": "fd00:90::/64"}]}},
    "vault": {"Internal": True, "IPAM": {"Config": [{"Subnet": "10.91.0.0/24"}]}, "Options": {ICC: "false", MTU: "1400"}},
}
CONNECTED = {"web": "backend", "db": "vault", "queue": "vault"}
"""Containers, and the networks that they are connected to beside the one they are made on."""

CONTAINERS = {
    "web": container(
        SERVING, HostConfig={"Memory": 128 << 20, "PortBindings": PUBLISHED}, **probe("wget -qO- http://127.0.0.1:8080/")
    ),
    "db": container(QUIET, HostConfig=BACKEND, **probe("ip route | grep -q default")),
    "queue": container(QUEUE, HostConfig=BACKEND, **probe(f"wget -qO- {SOUND}")),
    "orders": container(ORDERS, HostConfig=BACKEND),
    "mail": container(MAIL, HostConfig={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 20}}),
    "job-17": container("echo done"),
    "shop": container(QUIET),
}
LATER = ("mail", "shop")
"""Started when their pictures are taken."""


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
    for name, body in NETWORKS.items():
        await engine.do("create_network", "", {"body": {"Name": name, **body}})
    for name, body in CONTAINERS.items():
        await engine.do("create", "", {"name": name, "body": body})
        if name in CONNECTED:
            await engine.do("connect", name, {"network": CONNECTED[name]})
        if name not in LATER:
            await engine.do("start", name)
    await engine.wait("job-17")

    deadline = time.monotonic() + PATIENCE
    while [row.health for row in await engine.containers()].count("healthy") < 3:
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
        await health(pilot, front, engine)
        await tab(pilot, front, "processes")
        await tab(pilot, front, "inspect")
        await open_tab(pilot, front, "web", "Steps")
        await pilot.pause(4)  # eight samples make the sparklines
        shoot(app, "main")
        await networks(pilot, front)
        await over(pilot, front, "question_mark", "help")
        await engine.do("start", "mail")
        await logs(pilot, front)
        await explain(pilot, front)
        await over(pilot, front, "E", "events")
        await lesson(pilot, front)


async def health(pilot: Pilot[None], front: MainScreen, engine: Client) -> None:
    """What was well falls ill: its last good probes can still be seen."""
    await open_tab(pilot, front, "queue", "Health")
    made = await engine.exec_create("queue", {"Cmd": ["rm", "/www/health"]})
    await engine.exec_start(made, detach=True)
    await until(pilot, lambda: bool(front.row and front.row.health == "unhealthy"))
    shoot(front.longshore, "health")


async def tab(pilot: Pilot[None], front: MainScreen, name: str) -> None:
    await open_tab(pilot, front, "web", name.title())
    shoot(front.longshore, name)


async def networks(pilot: Pilot[None], front: MainScreen) -> None:
    """The pane over the whole screen, and both ends of one cable."""
    app = front.longshore
    await select(pilot, front, "web")
    await pilot.press("3", "plus", "g", *"jjjjjj")  # its cable into the backend: under two networks and four cables
    await pilot.pause(1)
    shoot(app, "networks")
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, WireScreen) and bool(app.screen.before))
    shoot(app, "cable")
    await pilot.press("escape", "plus", "1")


async def logs(pilot: Pilot[None], front: MainScreen) -> None:
    """Of three containers in the order of time, a search among them."""
    for name in ("queue", "orders", "mail"):
        await select(pilot, front, name)
        await pilot.press("space")
    await pilot.press("l", "plus")
    await until(pilot, lambda: len(front.query_one(LogsTab).page.entries) > 20)
    await pilot.press("m")
    await pilot.pause(3)
    await pilot.press("slash", *"order 47.[05]", "enter")
    await pilot.pause(0.5)
    shoot(front.longshore, "logs")
    await pilot.press("escape", "plus", "alt+1", "u")


async def explain(pilot: Pilot[None], front: MainScreen) -> None:
    """What waits for its next start, which is told with its time."""
    await select(pilot, front, "mail")
    await until(pilot, lambda: bool(front.row and front.row.restart_at and front.row.restarts > 4))
    await over(pilot, front, "x", "explain")


async def lesson(pilot: Pilot[None], front: MainScreen) -> None:
    app = front.longshore
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


async def over(pilot: Pilot[None], front: MainScreen, key: str, name: str) -> None:
    """A picture of what a key opens over the main screen."""
    app = front.longshore
    await pilot.press(key)
    await until(pilot, lambda: app.screen is not front)
    shoot(app, name)
    await pilot.press("escape")
    await until(pilot, lambda: app.screen is front)


async def open_tab(pilot: Pilot[None], front: MainScreen, name: str, label: str) -> None:
    await select(pilot, front, name)
    details = front.query_one(DetailsPane)
    while details.tab.label != label:
        await pilot.press("right_square_bracket")
        await pilot.pause()
    await pilot.pause(1)


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
