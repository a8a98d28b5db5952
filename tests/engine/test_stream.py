"""The client's side of attach and exec: frames however they are cut, refusals, and engines that talk nonsense or go away."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.client import Client
from engine.model.errors import CannotRun, Conflict, EngineError, Invalid, NotFound, Unavailable
from engine.model.status import Status
from engine.stream import NAMES, Stream, take_over
from tests.engine.api.conftest import Served, serve, until
from tests.engine.worlds import REACH, end

FRAMED = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n"
RAW = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
CAT = {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        await REACH[Status.RUNNING](served.engine)
        yield served


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    async with Client(served.path) as client:
        yield client


async def everything(stream: Stream) -> dict[str, bytes]:
    said: dict[str, io.BytesIO] = {}
    async with asyncio.timeout(5), aclosing(stream.read()) as pieces:
        async for name, data in pieces:
            said.setdefault(name, io.BytesIO()).write(data)
    return {name: heard.getvalue() for name, heard in said.items()}


async def first(stream: Stream) -> tuple[str, bytes]:
    async with asyncio.timeout(5):
        return await anext(stream.read())


@asynccontextmanager
async def answering(path: Path, *pieces: bytes, reset: bool = False) -> AsyncIterator[str]:
    """A server that says this, piece by piece, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if reset:
            writer.transport.abort()
        writer.close()

    async with await asyncio.start_unix_server(talk, path):
        yield str(path)


async def test_attach(client: Client, served: Served) -> None:
    id = await served.create("terminal", OpenStdin=True)
    stream = await client.attach(id, stdin=True)
    await client.do("start", id)
    await stream.write(b"hello")
    assert await first(stream) == ("stdout", b"hello")
    await client.do("kill", id)
    assert await everything(stream) == {}
    await stream.close()


async def test_attach_with_the_log(client: Client) -> None:
    stream = await client.attach("web", logs=True, stream=False)
    assert await everything(stream) == {"stdout": b"hello\n"}


async def test_exec(client: Client) -> None:
    id = await client.exec_create("web", CAT)
    stream = await client.exec_start(id)
    assert stream
    await stream.write(b"hello")
    assert await first(stream) == ("stdout", b"hello")
    assert (await client.exec_inspect(id))["Running"]
    await client.exec_resize(id, 80, 24)
    await stream.close_stdin()
    assert await everything(stream) == {}
    assert (await client.exec_inspect(id))["ExitCode"] == 0
    await stream.close()


async def test_exec_detached(client: Client) -> None:
    id = await client.exec_create("web", {"Cmd": ["true"]})
    assert await client.exec_start(id, detach=True) is None
    with pytest.raises(Conflict):
        await client.exec_start(id, detach=True)


async def test_exec_in_a_terminal(client: Client) -> None:
    id = await client.exec_create("web", CAT | {"Tty": True})
    stream = await client.exec_start(id, tty=True, size=(80, 24))
    assert stream
    await stream.write(b"\x01\0\0\0")
    assert await first(stream) == ("stdout", b"\x01\0\0\0")
    await stream.close()


async def test_refusals(client: Client, served: Served) -> None:
    with pytest.raises(NotFound, match="No such container: a/b"):
        await client.attach("a/b")
    with pytest.raises(Invalid, match="detach keys"):
        await client.attach("web", detach_keys="x y")
    with pytest.raises(NotFound, match="No such exec"):
        await client.exec_start("nobody")
    with pytest.raises(NotFound):
        await client.exec_inspect("nobody")
    with pytest.raises(EngineError, match="not found") as told:
        await client.exec_start(await client.exec_create("web", {"Cmd": ["missing"]}), detach=True)
    assert told.value.status == CannotRun("", 127).status
    await client.resize("web", 80, 24)
    await end(served.engine, 0)
    with pytest.raises(Conflict):
        await client.exec_create("web", CAT)
    with pytest.raises(Conflict):
        await client.resize("web", 80, 24)


async def test_leaving_frees_the_engine(client: Client, served: Served) -> None:
    await client.exec_create("web", CAT)
    tasks = len(asyncio.all_tasks())
    for _ in range(3):
        id = await client.exec_create("web", CAT)
        stream = await client.exec_start(id)
        assert stream
        await stream.close()
    await until(lambda: not served.world.execs and len(asyncio.all_tasks()) <= tasks)


async def test_no_engine(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot reach the engine at .*none.*start it"):
        await take_over(str(tmp_path / "none"), "/")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", Unavailable),
        (b"nonsense\r\n\r\n", Unavailable),
        (b"HTTP/1.1 many\r\n\r\n", Unavailable),
        (b"HTTP/1.1 101 UPGR", Unavailable),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nno\n", Conflict),
        (b"HTTP/1.1 404 Not Found\r\n\r\nnobody\r\n", NotFound),
        (b'HTTP/1.1 400 Bad\r\nContent-Length: 17\r\n\r\n{"message":"bad"}', Invalid),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 30\r\n\r\nno\n", Unavailable),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: lots\r\n\r\nno\n", Unavailable),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", EngineError),
        (b"x" * 200_000, Unavailable),
    ],
)
async def test_answers_that_are_no_stream(tmp_path: Path, answer: bytes, kind: type[EngineError]) -> None:
    async with answering(tmp_path / "s", answer) as path:
        with pytest.raises(kind) as told:
            await take_over(path, "/")
        assert type(told.value) is kind and str(told.value)


@pytest.mark.parametrize(
    "answer", [b"\x01\0\0\0\0\0", b"\x01\0\0\0\0\0\0\x05hel", b"\x07\0\0\0\0\0\0\x01x", b"\x03\0\0\0\0\0\0\x04oops"]
)
async def test_streams_that_break(tmp_path: Path, answer: bytes) -> None:
    async with answering(tmp_path / "s", FRAMED, answer) as path:
        stream = await take_over(path, "/")
        with pytest.raises(EngineError) as told:
            await everything(stream)
        assert str(told.value) == "oops" if b"oops" in answer else str(told.value)
        await stream.close()


async def test_writing_to_who_has_gone(tmp_path: Path) -> None:
    async with answering(tmp_path / "s", RAW, reset=True) as path:
        stream = await take_over(path, "/")
        with pytest.raises(Unavailable):
            async with asyncio.timeout(5):
                while True:
                    await stream.write(b"x" * 100_000)
        await stream.close()


@given(st.lists(st.tuples(st.sampled_from((1, 2)), st.binary(max_size=30)), max_size=6), st.data())
def test_frames_are_the_same_however_they_are_cut(said: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = b"".join(bytes((kind, 0, 0, 0)) + len(text).to_bytes(4, "big") + text for kind, text in said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    async def read() -> dict[str, bytes]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        stream = Stream(reader, writer, framed=True)
        heard = asyncio.create_task(everything(stream))
        for piece in pieces:
            theirs.sendall(piece)
            await asyncio.sleep(0)
        theirs.close()
        try:
            return await heard
        finally:
            await stream.close()

    expected = {NAMES[number]: b"".join(text for kind, text in said if kind == number) for number in NAMES}
    assert asyncio.run(read()) == {name: text for name, text in expected.items() if text}
