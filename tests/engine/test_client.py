"""The client: what the contract cannot say. An engine that is away, goes away, or answers nonsense; long lines; uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.client import Client
from engine.client.connection import split
from engine.model.errors import Conflict, EngineError, Unavailable
from engine.model.frames import Changed, Snapshot
from engine.model.status import Status
from engine.model.world import ContainerRow
from tests.engine.api.conftest import Served, serve, until

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def saying(path: Path, answer: bytes) -> AsyncIterator[Client]:
    """A server that says the same to everybody and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(talk, path)
    async with server, Client(str(path)) as client:
        yield client


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


async def test_no_engine_is_a_sentence(tmp_path: Path) -> None:
    async with Client(str(tmp_path / "none.sock")) as client:
        with pytest.raises(Unavailable, match=r"cannot reach the engine at .*none.sock.*start it"):
            await client.containers()
        with pytest.raises(Unavailable):
            await anext(client.watch())


async def test_an_engine_that_ends_ends_the_watch_with_an_error(tmp_path: Path) -> None:
    async with Client(str(tmp_path / "e.sock")) as client:
        async with serve(tmp_path):
            frames = client.watch()
            assert isinstance(await anext(frames), Snapshot)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(anext(frames), 5)
        async with serve(tmp_path), aclosing(client.watch()) as again:  # type: ignore[type-var]
            assert isinstance(await anext(again), Snapshot)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[{}}]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops",
        b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_nonsense_is_an_error_of_the_engines_kind(tmp_path: Path, answer: bytes) -> None:
    async with saying(tmp_path / "s", answer) as client:
        with pytest.raises(EngineError) as told:
            await client.containers()
        assert str(told.value)


async def test_a_frame_cut_short_is_an_error(tmp_path: Path) -> None:
    cut = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"frame":\r\n0\r\n\r\n'
    async with saying(tmp_path / "s", cut) as client:
        with pytest.raises(EngineError):
            await anext(client.watch())


async def test_a_snapshot_of_half_a_megabyte(served: Served) -> None:
    now = served.engine.host.clock.now()
    for number in range(1000):
        row = ContainerRow(
            id=f"{number:064}",
            name=f"c{number}",
            image="busybox",
            image_id="",
            command="x" * 300,
            status=Status.RUNNING,
            created=now,
        )
        served.engine.hub.publish(Changed(row=row))
    async with Client(served.path) as client, aclosing(client.watch()) as frames:  # type: ignore[type-var]
        first = await anext(frames)
    assert isinstance(first, Snapshot) and first.world == served.engine.hub.world


async def test_leaving_a_stream_frees_it_on_both_sides(served: Served) -> None:
    async with Client(served.path) as client:
        async with aclosing(client.watch()) as frames, aclosing(client.events()) as events:  # type: ignore[type-var]
            await anext(frames)
            coming = asyncio.ensure_future(anext(events))
            await until(lambda: served.engine.events.readers)
            served.engine.events.publish("image", "load", "sha256:1")
            assert (await coming).action == "load"
        await until(lambda: not served.engine.hub.watched and not served.engine.events.readers)


async def test_many_waits_hold_nobody_up(served: Served) -> None:
    await served.create()
    async with Client(served.path) as client:
        waits = [asyncio.create_task(client.wait("web", "next-exit")) for _ in range(150)]
        await client.do("start", "web")
        await client.do("kill", "web")
        assert set(await asyncio.wait_for(asyncio.gather(*waits), 10)) == {137}


async def test_an_already_so_keeps_its_text_although_a_304_has_no_body(served: Served) -> None:
    await served.create()
    async with Client(served.path) as client:
        with pytest.raises(EngineError, match="cannot stop web: it is created already") as told:
            await client.do("stop", "web")
        assert told.value.status == 304
        with pytest.raises(Conflict):
            await client.do("pause", "web")


async def test_a_name_with_slashes_and_spaces_stays_one_name(served: Served) -> None:
    async with Client(served.path) as client:
        with pytest.raises(EngineError, match=r"No such container: a/../b \?c#d"):
            await client.inspect("a/../b ?c#d")


async def test_version_and_info(served: Served) -> None:
    await served.create()
    async with Client(served.path) as client:
        assert (await client.version())["ApiVersion"] == "1.43"
        info = await client.info()
    assert (info["Containers"], info["ContainersStopped"], info["ServerVersion"]) == (1, 1, (await _version(served)))


async def _version(served: Served) -> str:
    text: str = (await served.get("/version"))["Version"]
    return text


async def test_loading_an_archive(served: Served, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"\0" * 10_000_000)
    async with Client(served.path) as client:
        assert await client.images_load(str(archive)) == ["Loaded image: busybox:latest"]
        with pytest.raises(EngineError, match=r"cannot read .*none\.tar"):
            await client.images_load(str(tmp_path / "none.tar"))


class Chunks:
    """As much of a stream reader as lines are read from."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks

    async def iter_any(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and line.strip() == line and line)), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    async def read() -> list[bytes]:
        return [line async for line in split(Chunks(chunks))]  # type: ignore[arg-type]

    assert asyncio.run(read()) == lines
