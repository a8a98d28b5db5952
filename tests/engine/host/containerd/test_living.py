"""What a living container is asked and told: its streams, limits, processes, and what happens to it from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.host import Pipes
from engine.host.containerd.process import started
from engine.model.errors import EngineError, HostFailed, NotFound

from .kit import CGROUPS, V2, Kit, Streams, process, shim_of


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Streams]:
    streams = Streams(tmp_path / "streams", stdin=True)
    yield streams
    streams.close()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Streams]:
    streams = Streams(tmp_path / "terminal", stdin=True, terminal=True)
    yield streams
    streams.close()


async def test_stdin_is_read_to_its_end(kit: Kit, piped: Streams) -> None:
    id = await kit.run("busybox", "cat", pipes=piped.pipes)
    os.write(piped.stdin, b"word\n")
    piped.close_stdin()
    await kit.tasks.close_stdin(id)
    assert (await kit.tasks.wait(id)).status == 0
    await kit.tasks.close_stdin(id)
    await kit.tasks.delete(id)
    await kit.tasks.close_stdin(id)
    assert piped.said() == [b"word\n", b""]


async def test_stdin_closed_before_the_task_exists(kit: Kit, piped: Streams) -> None:
    id = await kit.register("busybox", "cat")
    os.write(piped.stdin, b"word\n")
    closing = asyncio.create_task(kit.tasks.close_stdin(id))
    await asyncio.wait([closing], timeout=0.05)
    assert not closing.done()
    await kit.tasks.create(id, piped.pipes)
    await closing
    piped.close_stdin()
    await kit.tasks.start(id)
    assert (await kit.tasks.wait(id)).status == 0
    await kit.tasks.delete(id)
    assert piped.said() == [b"word\n", b""]


async def test_a_terminal_and_its_size(kit: Kit, terminal: Streams) -> None:
    id = await kit.register("sh", "-c", "read x; busybox stty size; tty", terminal=True)
    with pytest.raises(NotFound):
        await kit.tasks.resize(id, "", 120, 40)
    await kit.tasks.create(id, terminal.pipes)
    await kit.tasks.start(id)
    await kit.tasks.resize(id, "", 120, 40)
    os.write(terminal.stdin, b"\n")
    await kit.tasks.wait(id)
    with pytest.raises(NotFound):
        await kit.tasks.resize(id, "", 80, 25)
    await kit.tasks.delete(id)
    assert b"40 120\r\n" in terminal.said()[0]


async def test_a_pipe_that_is_gone(kit: Kit, piped: Streams) -> None:
    id = await kit.register("busybox", "cat")
    os.unlink(piped.pipes.stdin)
    with pytest.raises(HostFailed, match="the pipe for its stdin is gone"):
        await kit.tasks.create(id, piped.pipes)
    assert await kit.tasks.look(id) is None


async def test_limits_change_while_it_runs(kit: Kit) -> None:
    id = await kit.sleeper()
    directory, name = ("", "memory.max") if V2 else ("memory", "memory.limit_in_bytes")
    limit = CGROUPS / directory / kit.facts.cgroup_parent.strip("/") / id / name
    await kit.tasks.update(id, {"memory": {"limit": 64 << 20}})
    assert int(limit.read_text()) == 64 << 20
    with pytest.raises(HostFailed, match="cannot change the limits"):
        await kit.tasks.update(id, {"memory": {"limit": 1}})
    with pytest.raises(NotFound):
        await kit.tasks.update("0" * 64, {})


async def test_out_of_memory_is_told(kit: Kit) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    kit.tasks.on_oom(told.put_nowait)
    id = await kit.register("sh", "-c", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", memory=16 << 20)
    await kit.tasks.create(id, Pipes())
    await kit.tasks.start(id)
    assert await asyncio.wait_for(told.get(), 20) == id
    assert (await kit.tasks.wait(id)).status == 137


async def test_its_processes(kit: Kit) -> None:
    id = await kit.sleeper()
    init = await kit.pid(id)
    assert await kit.tasks.pids(id) == [init]
    pid = await kit.tasks.exec(id, "one", process("busybox", "sleep", "1000"), Pipes())
    assert sorted(await kit.tasks.pids(id)) == sorted([init, pid])
    await kit.tasks.signal(id, pid, signal.SIGTERM)
    assert await kit.tasks.wait_exec(id, "one") == 143
    with pytest.raises(NotFound):
        await kit.tasks.pids("0" * 64)


async def test_only_its_own_processes_are_signalled(kit: Kit) -> None:
    id, other = await kit.sleeper(), await kit.sleeper()
    ended = subprocess.Popen(["true"])
    ended.wait()
    for pid in (await kit.pid(other), os.getpid(), 1, 0, -1, ended.pid, 1 << 40):
        with pytest.raises(NotFound, match="has no such process"):
            await kit.tasks.signal(id, pid, signal.SIGKILL)
    assert await kit.status(other) == "running"
    with pytest.raises(NotFound):
        await kit.tasks.signal("0" * 64, await kit.pid(id), signal.SIGKILL)
    assert await kit.status(id) == "running"


async def test_a_dying_shim_is_in_nobodys_way(kit: Kit) -> None:
    id, other = await kit.sleeper(), await kit.sleeper()
    os.kill(shim_of(await kit.pid(id)), signal.SIGKILL)
    listed = [task.id for task in await kit.tasks.all()]
    assert other in listed and id not in listed
    assert await kit.tasks.look(id) is None


async def test_a_hung_shim_is_listed_as_unknown(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.host.containerd.tasks._DYING_SECONDS", 0.0)
    id, other = await kit.sleeper(), await kit.sleeper()
    shim = shim_of(await kit.pid(id))
    os.kill(shim, signal.SIGSTOP)
    try:
        assert {task.id: task.status for task in await kit.tasks.all()}.items() >= {id: "unknown", other: "running"}.items()
    finally:
        os.kill(shim, signal.SIGCONT)
    assert await kit.status(id) == "running"


async def test_the_cgroup_is_removed_from_outside(kit: Kit) -> None:
    """Its process is moved out first. What needs the cgroup says so; the end comes all the same."""
    id = await kit.sleeper()
    pid = await kit.pid(id)
    for cgroup in [*CGROUPS.glob(f"*{kit.facts.cgroup_parent}/{id}"), *CGROUPS.glob(f"{kit.facts.cgroup_parent[1:]}/{id}")]:
        (cgroup.parent.parent / "cgroup.procs").write_text(str(pid))
        cgroup.rmdir()
    for verb in (
        kit.tasks.exec(id, "one", process("busybox", "true"), Pipes()),
        kit.tasks.pause(id),
        kit.tasks.update(id, {"memory": {"limit": 64 << 20}}),
    ):
        with pytest.raises(EngineError, match="cannot"):
            await verb
    assert await kit.status(id) == "running"
    await kit.tasks.delete(id)
    assert started(pid) is None
    assert (await kit.tasks.wait(id)).status == 137
