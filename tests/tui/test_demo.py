"""The demo walks a container through its life on a real engine, and its proof can fail."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import SpawnEngine
from tests.tui.commands import begin, end, longshore

VERBS = ("create", "start", "pause", "unpause", "stop", "remove")


async def test_a_whole_life_and_nothing_left(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    said = await longshore("--host", f"unix://{place.socket}")
    assert said.code == 0, said.out + said.err
    assert re.findall(rf"^({'|'.join(VERBS)}) demo-", said.out, re.MULTILINE) == list(VERBS)
    for sign in ("it says: ahoy from", "it is healthy", "the kernel says FROZEN", "the kernel says THAWED"):
        assert sign in said.out
    proof = said.out.partition("proof,")[2]
    counts = re.findall(r"(\d+) +(\d+)$", proof, re.MULTILINE)
    assert len(counts) == 5 and all(int(ran) > 0 and int(now) == 0 for ran, now in counts)
    assert said.out.endswith("Nothing is left.\n")
    async with place.client() as client:
        assert not await client.containers()


async def test_what_is_left_is_found_and_fails_it(spawn_engine: SpawnEngine) -> None:
    place = await spawn_engine()
    demo = await begin("--host", f"unix://{place.socket}", "demo")
    async with place.client() as client:
        async for frame in client.watch():
            if row := getattr(frame, "row", None):
                litter = Path(place.root, f"litter-{row.id[:12]}")
                litter.touch()
                break
    said = await end(demo)
    assert said.code == 1 and said.err == ""
    assert f"left: {litter}" in said.out
    assert said.out.endswith("Something is left.\n")


async def test_a_demo_that_cannot_go_on_leaves_no_container(spawn_engine: SpawnEngine) -> None:
    """Somebody else removes the container under the demo's hands."""
    place = await spawn_engine()
    demo = await begin("--host", f"unix://{place.socket}", "demo")
    async with place.client() as client:
        async for frame in client.watch():
            if (row := getattr(frame, "row", None)) and row.health == "starting" and not row.lesson:
                await client.do("remove", row.id, {"force": True})
                break
        said = await end(demo)
        assert not await client.containers()
    assert said.code == 1
    assert said.err.startswith("longshore: ") and said.err.count("\n") == 1
