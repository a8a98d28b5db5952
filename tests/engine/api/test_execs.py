"""Execs over the socket: their bodies and answers, their streams, and clients that vanish."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.model.status import Status
from tests.engine.api.conftest import Answer, Served, until
from tests.engine.api.conversation import Conversation, talking
from tests.engine.api.test_attach import MULTIPLEXED, RAW
from tests.engine.worlds import REACH, end

CAT: dict[str, Any] = {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}


@pytest.fixture(autouse=True)
async def running(served: Served) -> None:
    await REACH[Status.RUNNING](served.engine)


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Conversation]:
    async with talking(served.path) as talk:
        yield talk


async def create(served: Served, prefix: str = "", **body: Any) -> str:
    answer = await served.ask("POST", f"{prefix}/containers/web/exec", json=CAT | body)
    assert answer.status == 201, answer.data
    id: str = answer.json["Id"]
    return id


async def start(served: Served, id: str, **body: Any) -> Answer:
    return await served.ask("POST", f"/exec/{id}/start", json={"Detach": True} | body)


def asked(**body: Any) -> bytes:
    return msgspec.json.encode(body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"Cmd": []}, 400),
        ({"Cmd": "true"}, 400),
        ({"Cmd": ["true"], "Env": "A=b"}, 400),
        ({"Cmd": ["true"], "DetachKeys": "ctrl-what"}, 500),
        ({"cmd": ["true"], "Unknown": 1, "User": None}, 201),
    ],
)
async def test_bodies(served: Served, body: dict[str, Any], status: int) -> None:
    answer = await served.ask("POST", "/containers/web/exec", json=body)
    assert answer.status == status, answer.data
    assert answer.json.get("message") or len(answer.json["Id"]) == 64


async def test_whose_it_would_be(served: Served) -> None:
    assert (await served.ask("POST", "/containers/nobody/exec", json=CAT)).status == 404
    id = await create(served)
    await served.engine.do("pause", "web")
    assert (await served.ask("POST", "/containers/web/exec", json=CAT)).status == 409
    assert (await start(served, id)).status == 409
    await served.engine.do("unpause", "web")
    await end(served.engine, 0)
    for method, url in (("POST", "/start"), ("GET", "/json"), ("POST", "/resize?h=1&w=1")):
        answer = await served.ask(method, f"/exec/{id}{url}", **({"json": {}} if method == "POST" else {}))
        assert answer.status == 404 and "No such exec" in answer.json["message"]


async def test_inspect_tells_all(served: Served) -> None:
    id = await create(served, User="nobody", Tty=True, Cmd=["sh", "-c", "x"], DetachKeys="ctrl-a,d", AttachStderr=False)
    shown = await served.get(f"/exec/{id}/json")
    assert shown == {
        "ID": id,
        "Running": False,
        "ExitCode": None,
        "ProcessConfig": {"tty": True, "entrypoint": "sh", "arguments": ["-c", "x"], "privileged": False, "user": "nobody"},
        "OpenStdin": True,
        "OpenStderr": False,
        "OpenStdout": True,
        "CanRemove": False,
        "ContainerID": served.engine.resolve("web").id,
        "DetachKeys": "AWQ=",
        "Pid": 0,
    }
    assert (await served.get("/containers/web/json"))["ExecIDs"] == [id]
    assert (await start(served, id)).status == 200
    shown = await served.get(f"/exec/{id}/json")
    assert shown["Running"] and shown["ExitCode"] is None and shown["Pid"] > 0


async def test_detached(served: Served) -> None:
    id = await create(served, AttachStdin=False)
    answer = await start(served, id)
    assert (answer.status, answer.data) == (200, b"")
    assert (await start(served, id)).status == 409
    missing = await create(served, Cmd=["missing"])
    answer = await start(served, missing)
    assert answer.status == 400 and "not found" in answer.json["message"]
    assert (await served.get(f"/exec/{missing}/json"))["ExitCode"] == 126


@pytest.mark.parametrize(
    ("prefix", "tty", "kind"), [("", False, MULTIPLEXED), ("", True, RAW), ("/v1.41", False, RAW), ("/v1.41", True, RAW)]
)
async def test_its_streams(served: Served, client: Conversation, prefix: str, tty: bool, kind: str) -> None:
    id = await create(served, Tty=tty)
    status, headers = await client.post(f"{prefix}/exec/{id}/start", asked(Tty=tty))
    assert (status, headers["Content-Type"]) == (101, kind)
    client.say(b"hello")
    assert await client.exactly(5 if tty else 13) == (b"hello" if tty else b"\x01\0\0\0\0\0\0\x05hello")
    client.shut()
    assert await client.rest() == b""
    shown = await served.get(f"/exec/{id}/json")
    assert (shown["Running"], shown["ExitCode"]) == ((True, None) if tty else (False, 0))


async def test_a_client_that_asks_for_no_upgrade(served: Served, client: Conversation) -> None:
    id = await create(served, AttachStdin=False)
    assert await client.post(f"/exec/{id}/start", asked(), headers="") == (200, {"Content-Type": RAW})
    assert await client.rest() == b""


async def test_what_cannot_run_is_told_in_the_stream(served: Served, client: Conversation) -> None:
    id = await create(served, Cmd=["missing"])
    assert (await client.post(f"/exec/{id}/start", asked()))[0] == 101
    ((kind, text),) = await client.frames()
    assert kind == 1 and b"not found" in text and text.endswith(b"\r\n")
    assert (await served.get(f"/exec/{id}/json"))["ExitCode"] == 126


async def test_a_second_start_is_refused_before_the_head(served: Served, client: Conversation) -> None:
    id = await create(served)
    await start(served, id)
    status, _ = await client.post(f"/exec/{id}/start", asked())
    assert status == 409


@pytest.mark.parametrize("shut", [False, True])
async def test_a_client_that_vanishes_frees_all(served: Served, shut: bool) -> None:
    await create(served)
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        id = await create(served)
        async with talking(served.path) as client:
            await client.post(f"/exec/{id}/start", asked())
            client.say(b"hello")
            await client.exactly(13)
            if shut:
                client.shut()
            client.vanish()
    await until(lambda: not served.world.execs and not served.world.exec_streams)
    await until(lambda: len(asyncio.all_tasks()) <= tasks and len(os.listdir("/proc/self/fd")) <= files)


async def test_what_a_client_sent_before_it_closed_arrives(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = bytearray()

    async def write(self: Any, data: bytes) -> None:
        await asyncio.sleep(0.01)
        heard.extend(data)

    monkeypatch.setattr("engine.host.simulated_process.SimulatedChannel.write", write)
    id = await create(served)
    async with talking(served.path) as client:
        await client.post(f"/exec/{id}/start", asked())
        client.say(b"x" * 150_000)
        await client.writer.drain()
        client.writer.close()
        await client.writer.wait_closed()
    await until(lambda: len(heard) == 150_000)
    await until(lambda: not served.world.execs)


async def test_resize(served: Served) -> None:
    id = await create(served, Tty=True)
    await start(served, id)
    assert (await served.ask("POST", f"/exec/{id}/resize?h=24&w=80")).status == 200
    assert (await served.ask("POST", f"/exec/{id}/resize?h=24")).status == 400


@pytest.mark.parametrize(("prefix", "heard"), [("", True), ("/v1.41", False)])
async def test_the_size_of_its_terminal(served: Served, monkeypatch: pytest.MonkeyPatch, prefix: str, heard: bool) -> None:
    processes: list[dict[str, Any]] = []
    real = served.engine.host.tasks.exec

    async def exec(id: str, exec_id: str, process: dict[str, Any], pipes: Any) -> int:
        processes.append(process)
        return await real(id, exec_id, process, pipes)

    monkeypatch.setattr(served.engine.host.tasks, "exec", exec)
    for created, started in (((24, 80), None), (None, (24, 80)), ((1, 1), (24, 80))):
        id = await create(served, prefix, Tty=True, ConsoleSize=created)
        body = {"Detach": True, "Tty": True, "ConsoleSize": started}
        assert (await served.ask("POST", f"{prefix}/exec/{id}/start", json=body)).status == 200
    sizes = [process.get("consoleSize") for process in processes]
    assert sizes == [{"height": 24, "width": 80} if heard else None] * 3
