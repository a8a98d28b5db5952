"""Attach over the socket: heads, frames, half-closed connections, and clients that vanish."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.host import Channel
from engine.host.simulated_process import SimulatedChannel
from engine.model.errors import EngineError
from engine.model.status import Status
from tests.engine.api.conftest import Served, serve, until
from tests.engine.api.conversation import Conversation, talking
from tests.engine.worlds import REACH, end

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
ALL = "stream=1&stdin=1&stdout=1&stderr=1"


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Conversation]:
    async with talking(served.path) as talk:
        yield talk


@pytest.fixture
def channels(served: Served, monkeypatch: pytest.MonkeyPatch) -> list[Channel]:
    """The channels that are open."""
    open_: list[Channel] = []
    real = served.engine.host.stdio.attach

    def attach(id: str) -> Channel:
        channel = real(id)
        close = channel.close

        async def closed() -> None:
            if channel in open_:
                open_.remove(channel)
            await close()

        monkeypatch.setattr(channel, "close", closed)
        open_.append(channel)
        return channel

    monkeypatch.setattr(served.engine.host.stdio, "attach", attach)
    return open_


@pytest.fixture
def told(served: Served) -> list[str]:
    actions: list[str] = []
    real = served.engine.events.publish

    def publish(type: str, action: str, *more: Any) -> None:
        actions.append(action)
        real(type, action, *more)

    served.engine.events.publish = publish  # type: ignore[method-assign,assignment]
    return actions


async def run(served: Served, **config: Any) -> str:
    id = await served.create(**config)
    await served.engine.do("start", id)
    return id


def process(served: Served) -> SimulatedChannel:
    """The last channel: what is put into it the container has said."""
    (channels,) = served.world.channels.values()
    channel: SimulatedChannel = channels[-1]
    return channel


@pytest.mark.parametrize(
    ("prefix", "headers", "tty", "status", "kind"),
    [
        ("", "Connection: Upgrade\r\nUpgrade: tcp\r\n", False, 101, MULTIPLEXED),
        ("", "Connection: Upgrade\r\nUpgrade: tcp\r\n", True, 101, RAW),
        ("/v1.42", "Connection: Upgrade\r\nUpgrade: tcp\r\n", False, 101, MULTIPLEXED),
        ("/v1.41", "Connection: Upgrade\r\nUpgrade: tcp\r\n", False, 101, RAW),
        ("", "", False, 200, RAW),
        ("", "", True, 200, RAW),
    ],
)
async def test_heads(
    served: Served, client: Conversation, prefix: str, headers: str, tty: bool, status: int, kind: str
) -> None:
    await run(served, Tty=tty)
    assert await client.post(f"{prefix}/containers/web/attach?{ALL}", headers=headers) == (
        status,
        {"Content-Type": kind} | ({"Connection": "Upgrade", "Upgrade": "tcp"} if status == 101 else {}),
    )
    await process(served).write(b"hello")
    process(served)._pieces.put_nowait(("stderr", b"oh"))
    await end(served.engine, 0)
    data = await client.rest()
    assert data == (b"hellooh" if tty else b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x02oh")


async def test_before_the_start_nothing_is_missed(served: Served, client: Conversation, told: list[str]) -> None:
    await served.create()
    assert (await client.post(f"/containers/web/attach?{ALL}"))[0] == 101
    await process(served).write(b"first words")
    await served.engine.do("start", "web")
    await end(served.engine, 0)
    assert await client.frames() == [(1, b"first words")]
    await until(lambda: told[-1] == "detach")
    assert told.count("attach") == 1


@pytest.mark.parametrize(
    ("status", "query", "code"),
    [
        (Status.PAUSED, "", 409),
        (Status.RESTARTING, "", 409),
        (Status.RUNNING, "&detachKeys=ctrl-what", 400),
        (Status.EXITED, "", 101),
        (Status.CREATED, "", 101),
    ],
)
async def test_who_cannot_be_joined(served: Served, client: Conversation, status: Status, query: str, code: int) -> None:
    await REACH[status](served.engine)
    head = await client.post(f"/containers/web/attach?{ALL}{query}")
    assert head[0] == code
    if code != 101:
        assert head[1]["Content-Type"] == RAW
        text = (await client.rest()).decode()
        assert text.endswith("\r\n") and text[0] not in "{\n" and ";" in text


async def test_nobody(client: Conversation) -> None:
    assert (await client.post("/containers/nobody/attach?stream=1"))[0] == 404
    assert await client.rest() == b"No such container: nobody\r\n"


async def test_only_what_is_asked_for(served: Served, client: Conversation) -> None:
    await run(served)
    await client.post("/containers/web/attach?stream=1&stderr=1")
    process(served)._pieces.put_nowait(("stdout", b"no"))
    process(served)._pieces.put_nowait(("stderr", b"yes"))
    await end(served.engine, 0)
    assert await client.frames() == [(2, b"yes")]


async def test_the_log_alone(served: Served, client: Conversation, channels: list[Channel]) -> None:
    await run(served)
    await client.post("/containers/web/attach?logs=1&stdout=1")
    assert await client.frames() == [(1, b"hello\n")]
    assert channels == []


async def test_the_log_and_then_what_comes(served: Served, client: Conversation) -> None:
    await run(served)
    await client.post("/containers/web/attach?logs=1&stream=1&stdout=1")
    await process(served).write(b"new")
    await end(served.engine, 0)
    assert await client.frames() == [(1, b"hello\n"), (1, b"new")]


async def test_what_goes_wrong_later_is_told_in_the_stream(
    served: Served, client: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: Any) -> AsyncIterator[Any]:
        raise EngineError("the log is gone")
        yield

    monkeypatch.setattr(served.engine.host.stdio, "read", read)
    await run(served)
    assert (await client.post("/containers/web/attach?logs=1&stdout=1"))[0] == 101
    assert await client.frames() == [(3, b"the log is gone\n")]


async def test_input_needs_an_open_stdin(served: Served, client: Conversation) -> None:
    await run(served)
    await client.post(f"/containers/web/attach?{ALL}")
    client.say(b"to nobody")
    client.shut()
    await asyncio.sleep(0.02)
    await end(served.engine, 0)
    assert await client.frames() == []


async def test_input_comes_back(served: Served, client: Conversation) -> None:
    await run(served, OpenStdin=True)
    await client.post(f"/containers/web/attach?{ALL}")
    client.say(b"hello")
    assert await client.exactly(13) == b"\x01\0\0\0\0\0\0\x05hello"


async def test_an_input_that_ends_once_ends_for_the_container_too(
    served: Served, client: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    async def close_stdin(id: str, exec_id: str = "") -> None:
        closed.append(id)

    monkeypatch.setattr(served.engine.host.stdio, "close_stdin", close_stdin)
    monkeypatch.setattr(served.engine.host.tasks, "close_stdin", close_stdin)
    id = await run(served, OpenStdin=True, StdinOnce=True)
    await client.post(f"/containers/web/attach?{ALL}")
    client.say(b"last")
    client.shut()
    await until(lambda: closed == [id, id])
    await process(served).write(b", and the answer")
    await end(served.engine, 0)
    assert b"".join(data for _, data in await client.frames()) == b"last, and the answer"


async def test_an_input_that_ends_leaves_where_others_may_write(served: Served, client: Conversation) -> None:
    await run(served, OpenStdin=True)
    await client.post(f"/containers/web/attach?{ALL}")
    client.shut()
    assert await client.frames() == []
    assert served.engine.resolve("web").status is Status.RUNNING


async def test_the_detach_keys_leave_a_terminal(served: Served, client: Conversation, told: list[str]) -> None:
    await run(served, OpenStdin=True, Tty=True)
    await client.post(f"/containers/web/attach?{ALL}&detachKeys=ctrl-a,d")
    client.say(b"x\x01")
    client.say(b"dy")
    assert await client.rest() in (b"x", b"")
    assert told[-1] == "detach" and served.engine.resolve("web").status is Status.RUNNING


async def test_many_clients_each_hear_all(served: Served) -> None:
    await run(served)
    async with talking(served.path) as one, talking(served.path) as two:
        for client in (one, two):
            await client.post(f"/containers/web/attach?{ALL}")
        (channels,) = served.world.channels.values()
        for channel in channels:
            await channel.write(b"hello")
        await end(served.engine, 0)
        assert await one.frames() == await two.frames() == [(1, b"hello")]


@pytest.mark.parametrize("shut", [False, True])
async def test_a_client_that_vanishes_frees_all(
    served: Served, client: Conversation, channels: list[Channel], told: list[str], shut: bool
) -> None:
    await run(served, OpenStdin=True, StdinOnce=True)
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        async with talking(served.path) as other:
            await other.post(f"/containers/web/attach?{ALL}")
            if shut:
                other.shut()
            await until(lambda: channels)
            other.vanish()
            await until(lambda: not channels)
    await until(lambda: len(asyncio.all_tasks()) <= tasks and len(os.listdir("/proc/self/fd")) <= files)
    assert served.engine.resolve("web").status is Status.RUNNING
    assert told.count("attach") == 5 and "detach" not in told


async def test_a_client_that_vanishes_while_nothing_reads_what_it_sent(
    served: Served, client: Conversation, channels: list[Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sessions.joined.GRACE", 0.05)
    stuck = asyncio.Event()

    async def write(self: Any, data: bytes) -> None:
        await stuck.wait()

    monkeypatch.setattr(SimulatedChannel, "write", write)
    await run(served, OpenStdin=True)
    await client.post(f"/containers/web/attach?{ALL}")
    client.say(b"x" * 10_000_000)
    await until(lambda: channels)
    await asyncio.sleep(0.05)  # until the connection is full
    client.vanish()
    await until(lambda: not channels)


async def test_a_client_that_does_not_read_holds_little_memory(served: Served, client: Conversation) -> None:
    await run(served)
    await client.post(f"/containers/web/attach?{ALL}")
    channel = process(served)
    for _ in range(200):
        await channel.write(b"x" * 65536)
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(0.1)
    assert channel._pieces.qsize() > 180  # the rest waits where the process does, not with us
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]
    await end(served.engine, 0)
    assert sum(len(data) for _, data in await client.frames()) == 200 * 65536


async def test_who_leaves_because_it_has_ended_was_detached(served: Served, client: Conversation, told: list[str]) -> None:
    await REACH[Status.EXITED](served.engine)
    await client.post(f"/containers/web/attach?{ALL}")
    client.vanish()
    await until(lambda: told[-1] == "detach")


async def test_removing_what_never_ran_ends_it(served: Served, client: Conversation) -> None:
    await served.create()
    await client.post(f"/containers/web/attach?{ALL}")
    await served.engine.do("remove", "web")
    assert await client.frames() == []


async def test_an_engine_that_ends_lets_go_of_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    async def close_stdin(id: str, exec_id: str = "") -> None:
        closed.append(id)

    async with serve(tmp_path) as served:
        monkeypatch.setattr(served.engine.host.tasks, "close_stdin", close_stdin)
        await run(served, OpenStdin=True, StdinOnce=True)
        reader, writer = await asyncio.open_unix_connection(served.path)
        client = Conversation(reader, writer)
        await client.post(f"/containers/web/attach?{ALL}")
    assert await client.frames() == []
    writer.close()
    assert closed == []  # it is the engine that goes: the next one takes the container over


async def test_over_a_web_socket(served: Served) -> None:
    await run(served, OpenStdin=True)
    async with served.session.ws_connect(f"/containers/web/attach/ws?{ALL}") as socket:
        await socket.send_bytes(b"hello")
        assert await socket.receive_bytes(timeout=5) == b"hello"
        await socket.send_str("text")
        assert await socket.receive_bytes(timeout=5) == b"text"
        await end(served.engine, 0)
        assert (await socket.receive(timeout=5)).type.name in ("CLOSE", "CLOSED")
    answer = await served.ask("GET", f"/containers/nobody/attach/ws?{ALL}")
    assert answer.status == 404


RESIZES = [
    (Status.RUNNING, "h=24&w=80", 200),
    (Status.PAUSED, "h=24&w=80", 200),
    (Status.CREATED, "h=24&w=80", 409),
    (Status.EXITED, "h=24&w=80", 409),
    (Status.RESTARTING, "h=24&w=80", 404),
    (Status.RUNNING, "h=24", 400),
    (Status.RUNNING, "h=24&w=wide", 400),
    (Status.RUNNING, "h=-1&w=80", 400),
]


@pytest.mark.parametrize(("status", "query", "code"), RESIZES)
async def test_resize(served: Served, told: list[str], status: Status, query: str, code: int) -> None:
    await REACH[status](served.engine)
    told.clear()
    answer = await served.ask("POST", f"/containers/web/resize?{query}")
    assert answer.status == code, answer.data
    assert told == (["resize"] if code == 200 else [])
    assert (await served.ask("POST", "/containers/nobody/resize?h=1&w=1")).status == 404
