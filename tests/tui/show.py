"""Run the dashboard on the scripted engine, to look at it.

python -m tests.tui.show [CONTAINERS] [--busy] [--svg FILE COLUMNSxROWS [KEY...]]
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from engine.model.interface import LogLine
from engine.model.status import Status
from engine.model.world import Freezer, Sample
from tests.tui.made import row, sampled, small_world
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp


def world_of(count: int) -> ScriptedEngine:
    world = small_world()
    for n in range(count):
        world = world.with_container(row(f"worker-{n:02}", image="registry.example.org/team/worker:2.1"))
    if not count:
        world = world.with_container(row("cache", image="redis:7", health="unhealthy", streak=3, probes="..xxx"))
        held = row("batch", freezer=Freezer(kernel="frozen", asked=False, self_frozen=True))
        world = world.with_container(replace(held, missing=("veth6261746",)))
        world = world.with_container(row("old", Status.EXITED, exit_code=137, error="its end was not seen"))
    engine = ScriptedEngine(world)
    text = b"a line of output that is long enough to be wrapped somewhere in the middle of it, at a word: GET /index.html 200\n"
    engine.lines = [LogLine(stream="stderr" if n % 7 == 3 else "stdout", time=datetime.now(UTC), log=text) for n in range(30)]
    return engine


async def live(engine: ScriptedEngine) -> None:
    """Samples each second, as the monitor sends them."""
    rng = random.Random(7)
    load = {id: rng.uniform(0.5, 20) for id in engine.world.containers}
    while True:
        alive = [r for r in engine.world.containers.values() if r.status is Status.RUNNING]
        engine.publish(
            sampled(
                *(
                    Sample(
                        id=r.id,
                        cpu=load.get(r.id, 1) * rng.uniform(0.7, 1.3),
                        memory=int((96 + rng.uniform(0, 3)) * (1 << 20)),
                        memory_limit=512 << 20,
                        rx=3000 * rng.uniform(0.7, 1.3),
                        tx=1000 * rng.uniform(0.7, 1.3),
                        rw_size=12_000,
                        changes=3,
                    )
                    for r in alive
                ),
                cpu=12 + rng.uniform(-3, 3),
            )
        )
        await asyncio.sleep(1)


async def picture(engine: ScriptedEngine, path: str, size: tuple[int, int], keys: list[str]) -> None:
    app = LongshoreApp(engine)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.4)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.3)
        svg = app.export_screenshot().replace("Fira Code", "DejaVu Sans Mono").replace("<text ", '<text xml:space="preserve" ')
        Path(path).write_text(svg)


async def main(arguments: list[str]) -> None:
    count = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 0
    engine = world_of(count)
    if "--svg" in arguments:
        path, size, *keys = arguments[arguments.index("--svg") + 1 :]
        columns, rows = (int(n) for n in size.split("x"))
        await picture(engine, path, (columns, rows), keys)
        return
    ticking = asyncio.create_task(live(engine)) if "--busy" in arguments else None
    await LongshoreApp(engine).run_async()
    if ticking:
        ticking.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
