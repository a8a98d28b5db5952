"""Take the pictures of the README from the running program: `make screenshots`, as root.

A real engine with real containers, and the real dashboard on its socket. It runs in a mount namespace of its own, with fresh
file systems where an engine keeps its things, so that the pictures show the paths a reader will see.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from engine.client import Client
from engine.model.errors import EngineError
from engine.model.network import ICC, MTU
from tests.registries import DebianRegistry, Passing, Server
from tui import background
from tui.app import LongshoreApp
from tui.panes.details import DetailsPane
from tui.panes.logs import LogsTab
from tui.panes.networks import NetworksPane
from tui.screens.compare import CompareScreen
from tui.screens.files import FilesScreen
from tui.screens.images import ImagesScreen
from tui.screens.lesson import LessonScreen
from tui.screens.main import MainScreen
from tui.screens.why import WhyScreen
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
CONNECTED: dict[str, dict[str, Any]] = {
    "web": {"network": "backend"},
    "db": {"network": "vault"},
    "queue": {"network": "vault"},
    "job-17": {"network": "vault", "endpoint": {"IPAMConfig": {"IPv4Address": "10.91.0.17"}}},
}
"""Containers, and how they are connected to one network beside the one they are made on."""

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
IMAGES = {
    "shop:1.4": ("busybox", "mkdir -p /srv/shop/media; dd if=/dev/urandom of=/srv/shop/media/catalogue bs=1M count=18; "
                 "echo 'theme = light' >/srv/shop/shop.conf; dd if=/dev/urandom of=/tmp/build.log bs=1M count=6"),
    "shop:1.5": ("shop:1.4", "rm /tmp/build.log; echo 'theme = dark' >/srv/shop/shop.conf; "
                 "dd if=/dev/urandom of=/srv/shop/media/posters bs=1M count=4"),
    "shop:1.6": ("shop:1.4", "echo 'theme = system' >/srv/shop/shop.conf; rm -r /srv/shop/media; mkdir /srv/shop/media; "
                 "echo soon >/srv/shop/media/index.txt"),
    "": ("busybox", "dd if=/dev/urandom of=/notes bs=1M count=2"),
    "archive:2025": ("busybox", "mkdir /data; dd if=/dev/urandom of=/data/orders bs=1M count=30"),
}  # fmt: skip
"""What images are committed from: a base, and a script. The empty name has none in the end."""
CHANGED = "echo 'theme = dark' >/srv/shop/shop.conf; rm /tmp/build.log; mkdir /srv/shop/cart; echo 7 >/srv/shop/cart/4711"
SLOWLY = 0.04
"""Seconds before each piece of a body, for the picture of a pull."""
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
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # a registry complains of a pull that is given up
    await asyncio.to_thread(background.ensure, background.SOCKET)
    try:
        async with Client(background.SOCKET) as engine:
            await populate(engine)
            with tempfile.TemporaryDirectory() as directory:
                async with DebianRegistry(Path(directory)) as registry, Server(Passing(registry.name, SLOWLY)) as slow:
                    await make_images(engine, registry.name)
                    await photograph(engine, f"{slow.name}/museum/archive:2025")
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
            await engine.do("connect", name, CONNECTED[name])
        if name not in LATER:
            await engine.do("start", name)
    await engine.wait("job-17")

    deadline = time.monotonic() + PATIENCE
    while [row.health for row in await engine.containers()].count("healthy") < 3:
        if time.monotonic() > deadline:
            raise EngineError("the health checks do not come to a result")
        await asyncio.sleep(0.1)
    await engine.do("pause", "db")


async def make_images(engine: Client, registry: str) -> None:
    """Images with layers that are worth a look; one of them only in the registry."""
    for name, (base, script) in IMAGES.items():
        repository, _, tag = name.partition(":")
        await engine.create({"Image": base, "Cmd": ["sh", "-c", script]}, "build")
        await engine.do("start", "build")
        await engine.wait("build")
        await engine.commit("build", repository=repository, tag=tag)
        await engine.do("remove", "build")
    there = f"{registry}/museum/archive:2025"
    await engine.image_tag("archive:2025", there)
    async for _ in engine.push(there):
        pass
    for name in (there, "archive:2025"):
        await engine.image_remove(name)
    await engine.create({"Image": "shop:1.5", "Cmd": ["sh", "-c", f"{CHANGED}; {QUIET}"], "StopSignal": "SIGKILL"}, "kiosk")
    await engine.do("start", "kiosk")


async def photograph(engine: Client, far: str) -> None:
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
        await why(pilot, front)
        await over(pilot, front, "question_mark", "help")
        await engine.do("start", "mail")
        await logs(pilot, front)
        await explain(pilot, front)
        await over(pilot, front, "E", "events")
        await layers(pilot, front)
        await images(pilot, front, far)
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
    await pilot.press("3", "plus", "g")
    pane = front.query_one(NetworksPane)
    for _ in pane.rows:
        if (row := pane.row) and row.container and (row.network.name, row.container.name) == ("backend", "web"):
            break
        await pilot.press("j")
        await pilot.pause()
    await pilot.pause(1)
    shoot(app, "networks")
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, WireScreen) and bool(app.screen.before))
    shoot(app, "cable")
    await pilot.press("escape", "plus", "1")


async def why(pilot: Pilot[None], front: MainScreen) -> None:
    """From one bridge to another, which the rules between them stop."""
    app = front.longshore
    await select(pilot, front, "orders")
    await pilot.press("W", *"kiosk", "tab", *"80", "enter")
    await until(pilot, lambda: isinstance(app.screen, WhyScreen) and app.screen.verdict is not None)
    shoot(app, "why")
    await leave(pilot, front)


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


async def layers(pilot: Pilot[None], front: MainScreen) -> None:
    """The pile of a container over the whole screen, and its files: what is hidden, and by which layer."""
    app = front.longshore
    await select(pilot, front, "kiosk")
    await pilot.press("2", "plus")
    await pilot.pause(2)
    shoot(app, "layers")
    await pilot.press("plus", "1", "f")
    await until(pilot, lambda: isinstance(app.screen, FilesScreen) and len(app.screen.changes) > 0)
    for name in ("srv", "shop", "tmp"):
        await pilot.press("slash", *name, "enter", "right")
        await pilot.pause(0.5)
    await pilot.press("slash", *"shop.conf", "enter")
    await pilot.pause(1)
    shoot(app, "files")
    await leave(pilot, front)


async def images(pilot: Pilot[None], front: MainScreen, far: str) -> None:
    """The images while one comes, and two of them compared."""
    app = front.longshore
    await pilot.press("I")
    await until(pilot, lambda: isinstance(app.screen, ImagesScreen) and app.screen.entry is not None)
    screen = app.screen
    assert isinstance(screen, ImagesScreen)
    await pilot.press("slash", *"shop", "enter", "g", "j", "space", "space", "equals_sign")
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.found is not None)
    shoot(app, "compare")
    await pilot.press("escape", "u", "g", "j", "escape")
    await pilot.press("p", *far, "enter")
    await until(pilot, lambda: any(moving.bytes > 20_000_000 for moving in app.transfers.running))
    shoot(app, "images")
    await pilot.press("escape", "escape")
    await leave(pilot, front)


async def leave(pilot: Pilot[None], front: MainScreen) -> None:
    while front.longshore.screen is not front:
        await pilot.press("q")
        await pilot.pause(0.1)


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
    for _ in front.longshore.scene.world.containers:
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
