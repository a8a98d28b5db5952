"""The images' screen on a real engine, with a real registry behind it."""

from __future__ import annotations

import random
from pathlib import Path

from tests.conftest import SpawnEngine
from tests.engine.host.archives import digest, entry, tar
from tests.engine.host.registry.kit import opened, put, repository
from tests.engine.host.registry.test_parts import Cutting
from tests.registries import DebianRegistry, Front, Server
from tests.tui.piloting import WIDE, on_screen, until
from tests.tui.test_images import choose, names
from tui.app import LongshoreApp
from tui.screens.dialogs import Confirm
from tui.screens.images import ImagesScreen
from tui.view.images import Weights

LAYERS = [
    tar(entry("etc/greeting", b"hello\n"), entry("etc/gone", b"x")),
    tar(entry("etc/.wh.gone"), entry("etc/size", random.Random(1).randbytes(3_000_000))),
]


async def test_pull_given_up_and_again_then_history_and_removal(spawn_engine: SpawnEngine, tmp_path: Path) -> None:
    """A pull that was given up leaves its bytes for the next, and nothing else."""
    engine, port = await spawn_engine(), opened(tmp_path / "ours")
    cutting = Cutting(len(LAYERS[1]) // 2, data=LAYERS[1])
    async with DebianRegistry(tmp_path / "r") as registry:
        await put(repository(port, registry.name, push=True), "1", LAYERS)
        await port.close()
        async with Server(Front(registry.name, digest(LAYERS[1]), cutting)) as server, engine.client() as client:
            app, name = LongshoreApp(client), f"{server.name}/web:1"
            async with app.run_test(size=WIDE) as pilot:
                await until(pilot, lambda: app.scene.link.up)
                await pilot.press("I")
                await until(pilot, lambda: isinstance(app.screen, ImagesScreen) and app.screen.entry is not None)
                screen = app.screen
                assert isinstance(screen, ImagesScreen)

                cutting.go_on.clear()
                await pilot.press("p", *name, "enter")
                await until(pilot, lambda: on_screen(app, "░") and on_screen(app, "of 3 MB"))
                await pilot.press("escape")
                await until(pilot, lambda: on_screen(app, "the pull was given up"))
                assert names(screen) == ["busybox:latest"] and [i.tags for i in await client.images()] == [("busybox:latest",)]

                cutting.go_on.set()
                await pilot.press("p", *name, "enter")
                await until(pilot, lambda: name in names(screen) and on_screen(app, "✔ Status: Downloaded newer image"))
                assert any(asked.headers.get("Range") for asked in server.asked)
                used = await client.disk_usage()
                assert Weights(app.scene.world.images).total == used["LayersSize"]

                await choose(pilot, screen, name)
                await pilot.press("h")
                await until(pilot, lambda: on_screen(app, f"History · {name}") and on_screen(app, "3 MB  "))
                await pilot.press("1", "d")
                await until(pilot, lambda: isinstance(app.screen, Confirm) and on_screen(app, "That frees 3 MB"))
                await pilot.press("right", "enter")
                await until(pilot, lambda: names(screen) == ["busybox:latest"] and on_screen(app, "1 name gone, and the image"))
