"""Commands inside a real container."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from engine.host.containerd.process import command, started
from engine.host.containerd.proto.tasks_pb2 import ExecProcessRequest, GetRequest, StartRequest
from engine.model.errors import CannotRun, NotFound

from .kit import Kit, process

LIMIT = 4096


def children(kit: Kit, id: str) -> list[int]:
    """The container's processes, its init left out."""
    procs = kit.freezer(id).with_name("cgroup.procs").read_text().split()
    return [int(pid) for pid in procs][1:]


async def running(kit: Kit, id: str) -> None:
    """Until a command runs beside the init."""
    while not any(command(pid)[:1] == ["busybox"] for pid in children(kit, id)):
        await asyncio.sleep(0.01)


def fifos(kit: Kit) -> list[str]:
    return os.listdir(f"{kit.facts.exec_root}/containerd/execs")


async def forgotten(kit: Kit, id: str, exec_id: str) -> bool:
    try:
        await kit.tasks._client.call("look", kit.tasks._client.tasks.Get, GetRequest(container_id=id, exec_id=exec_id))
    except NotFound:
        return exec_id not in fifos(kit)
    return False


async def test_exit_code_and_both_outputs(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    command = process("sh", "-c", "echo one; echo two; echo three >&2; exit 4")
    status, output = await kit.tasks.probe(id, exec_id, command, 10, LIMIT)
    assert (status, sorted(output.split())) == (4, [b"one", b"three", b"two"])
    assert await forgotten(kit, id, exec_id)


async def test_output_over_the_limit_is_dropped_and_blocks_nobody(kit: Kit) -> None:
    id = await kit.sleeper()
    command = process("sh", "-c", "busybox yes x | busybox head -c 1000000; exit 2")
    assert await kit.tasks.probe(id, uuid4().hex, command, 10, 10) == (2, b"x\n" * 5)


async def test_many_at_once(kit: Kit) -> None:
    id = await kit.sleeper()
    probes = (kit.tasks.probe(id, uuid4().hex, process("sh", "-c", f"echo {n}; exit {n}"), 10, LIMIT) for n in range(5))
    assert await asyncio.gather(*probes) == [(n, f"{n}\n".encode()) for n in range(5)]


async def test_timeout_kills_and_reaps(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    with pytest.raises(TimeoutError, match=r"did not end within 0\.05 s"):
        await kit.tasks.probe(id, exec_id, process("busybox", "sleep", "1000"), 0.05, LIMIT)
    assert children(kit, id) == []
    assert await forgotten(kit, id, exec_id)
    assert await kit.status(id) == "running"


@pytest.mark.parametrize("ready", [False, True], ids=["while it starts", "while it runs"])
async def test_cancel_kills_and_reaps(kit: Kit, ready: bool) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    probe = asyncio.create_task(kit.tasks.probe(id, exec_id, process("busybox", "sleep", "1000"), 1000, LIMIT))
    if ready:
        await running(kit, id)
    else:
        while not Path(kit.facts.exec_root, f"containerd/execs/{id}-{exec_id}").exists():
            await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert children(kit, id) == []
    assert await forgotten(kit, id, exec_id)


@pytest.mark.parametrize(("command", "code"), [("missing", 127), ("/bin/plain", 126)])
async def test_what_cannot_run(kit: Kit, command: str, code: int) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    with pytest.raises(CannotRun) as caught:
        await kit.tasks.probe(id, exec_id, process(command), 10, LIMIT)
    assert caught.value.exit_code == code
    assert await forgotten(kit, id, exec_id)


async def test_no_container(kit: Kit) -> None:
    with pytest.raises(NotFound):
        await kit.tasks.probe("0" * 64, uuid4().hex, process("true"), 10, LIMIT)
    await kit.tasks.forget_exec("0" * 64, uuid4().hex)


async def test_container_ends_under_the_probe(kit: Kit) -> None:
    id = await kit.sleeper()
    probe = asyncio.create_task(kit.tasks.probe(id, uuid4().hex, process("busybox", "sleep", "1000"), 1000, LIMIT))
    await running(kit, id)
    await kit.tasks.kill(id, signal.SIGKILL)
    assert await probe == (137, b"")


async def test_frozen_probe_is_reaped_after_the_thaw(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    probe = asyncio.create_task(kit.tasks.probe(id, exec_id, process("busybox", "sleep", "1000"), 1000, LIMIT))
    await running(kit, id)
    await kit.tasks.pause(id)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    await kit.tasks.resume(id)
    await asyncio.gather(*kit.tasks._probes._background)
    assert children(kit, id) == []
    assert await forgotten(kit, id, exec_id)


async def test_forget_what_a_dead_engine_left_running(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    client = kit.tasks._client
    spec = ExecProcessRequest(container_id=id, exec_id=exec_id)
    spec.spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Process"
    spec.spec.value = b'{"args": ["busybox", "sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"]}'
    await client.call("exec", client.tasks.Exec, spec)
    pid = (await client.call("start", client.tasks.Start, StartRequest(container_id=id, exec_id=exec_id))).pid
    assert started(pid)
    await kit.tasks.forget_exec(id, exec_id)
    await kit.tasks.forget_exec(id, exec_id)
    assert started(pid) is None
    assert await kit.status(id) == "running"
