"""Blobs on their way in: cut, taken up, corrupt, shared, kept and swept."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from aiohttp import web

from engine.host.registry import Registries
from engine.model.errors import Invalid
from tests.engine.host.archives import digest
from tests.engine.host.registry.kit import fetched, opened, repository
from tests.registries import Server

DATA = bytes(range(256)) * 8000
CUT = 1_500_000


class Cutting:
    """Serves one blob, and cuts the connection after `cuts[i]` bytes of the i-th answer."""

    def __init__(self, *cuts: int, ranges: bool = True, data: bytes = DATA) -> None:
        self.cuts, self.ranges, self.data = list(cuts), ranges, data
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/":
            return web.json_response({})
        first = 0
        if self.ranges and (asked := request.headers.get("Range")):
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
        rest = self.data[first:]
        response = web.StreamResponse(status=206 if first else 200, headers={"Content-Length": str(len(rest))})
        if first:
            response.headers["Content-Range"] = f"bytes {first}-{len(self.data) - 1}/{len(self.data)}"
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else len(rest)
        await response.write(rest[:cut])
        self.begun.set()
        await self.go_on.wait()
        if cut < len(rest):
            assert request.transport
            request.transport.close()
        return response


def part(root: Path) -> Path:
    return root / "root/tmp/pull" / f"{digest(DATA).removeprefix('sha256:')}.part"


async def test_a_cut_is_taken_up_where_it_was(registries: Registries, tmp_path: Path) -> None:
    async with Server(Cutting(CUT, 400_000)) as server:
        assert await fetched(repository(registries, server.name), DATA) == DATA
        blobs = [each for each in server.asked if "blobs" in each.path]
        first, *more = [each.headers.get("Range") for each in blobs]
        starts = [int((asked or "").removeprefix("bytes=").removesuffix("-")) for asked in more]
        assert first is None and 0 < starts[0] <= CUT and starts[0] < starts[1] <= starts[0] + 400_000
    assert not part(tmp_path).exists()


async def test_what_an_earlier_engine_left_is_taken_up(registries: Registries, tmp_path: Path) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(DATA[:CUT])
    async with Server(Cutting()) as server:
        assert await fetched(repository(registries, server.name), DATA) == DATA
        assert server.asked[-1].headers["Range"] == f"bytes={CUT}-"


async def test_a_whole_one_is_not_fetched_again(registries: Registries, tmp_path: Path) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(DATA)
    async with Server(Cutting()) as server:
        assert await fetched(repository(registries, server.name), DATA) == DATA
        assert not server.asked


async def test_what_was_left_is_not_trusted(registries: Registries, tmp_path: Path) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(b"x" * CUT)
    async with Server(Cutting()) as server:
        assert await fetched(repository(registries, server.name), DATA) == DATA
        assert [each.headers.get("Range") for each in server.asked[1:]] == [f"bytes={CUT}-", None]


async def test_a_registry_without_ranges(registries: Registries) -> None:
    async with Server(Cutting(CUT, ranges=False)) as server:
        assert await fetched(repository(registries, server.name), DATA) == DATA


async def test_a_corrupt_blob_is_refused(registries: Registries, tmp_path: Path) -> None:
    async with Server(Cutting(data=DATA[:-1] + b"!")) as server:
        with pytest.raises(Invalid, match="verification failed for digest"):
            await fetched(repository(registries, server.name), DATA)
    assert part(tmp_path).stat().st_size == 0


async def test_a_blob_longer_than_said_is_refused(registries: Registries, tmp_path: Path) -> None:
    async with Server(Cutting(data=DATA + DATA)) as server:
        with pytest.raises(Invalid, match="longer than the"):
            await fetched(repository(registries, server.name), DATA)
    assert part(tmp_path).stat().st_size == 0


async def test_two_who_want_it_fetch_it_once_and_one_may_leave(registries: Registries) -> None:
    cutting = Cutting()
    cutting.go_on.clear()
    async with Server(cutting) as server:
        from_ = repository(registries, server.name)
        first, second = (asyncio.create_task(fetched(from_, DATA)) for _ in range(2))
        await cutting.begun.wait()
        first.cancel()
        cutting.go_on.set()
        assert await second == DATA
        assert len([each for each in server.asked if "blobs" in each.path]) == 1


async def test_what_is_cancelled_is_kept_for_the_next(registries: Registries, tmp_path: Path) -> None:
    cutting = Cutting(CUT)
    cutting.go_on.clear()
    async with Server(cutting) as server:
        from_ = repository(registries, server.name)
        work = asyncio.create_task(fetched(from_, DATA))
        await cutting.begun.wait()
        async with asyncio.timeout(10):
            while not part(tmp_path).exists() or not part(tmp_path).stat().st_size:
                await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        kept = part(tmp_path).stat().st_size
        assert kept > 0
        cutting.go_on.set()
        assert await fetched(from_, DATA) == DATA
        assert server.asked[-1].headers["Range"] == f"bytes={kept}-"


async def test_what_nobody_comes_back_for_is_swept(tmp_path: Path) -> None:
    port = opened(tmp_path / "root")
    old, young = part(tmp_path).with_name("0" * 64 + ".part"), part(tmp_path).with_name("1" * 64 + ".part")
    old.parent.mkdir(parents=True)
    for path, hours in ((old, 25), (young, 23)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - hours * 3600,) * 2)
    async with Server(Cutting()) as server:
        assert await fetched(repository(port, server.name), DATA) == DATA
    assert not old.exists() and young.exists()
    await port.close()
