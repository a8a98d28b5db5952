"""More processes inside a real container: begun, heard, ended, and nothing left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from engine.host import Pipes
from engine.host.containerd.process import command, started
from engine.host.containerd.proto.tasks_pb2 import ExecProcessRequest, GetRequest, StartRequest
from engine.model.errors import CannotRun, Conflict, HostFailed, NotFound

from .kit import Kit, Streams, process, shim_of

SLEEP = process("busybox", "sleep", "1000")


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[Callable[..., Streams]]:
    made: list[Streams] = []

    def make(*, stdin: bool = False, terminal: bool = False) -> Streams:
        made.append(Streams(tmp_path / f"streams{len(made)}", stdin=stdin, terminal=terminal))
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., Streams]


async def run(kit: Kit, id: str, streams: Streams, *args: str) -> int:
    """One exec from beginning to end; its exit code."""
    exec_id = uuid4().hex
    await kit.tasks.exec(id, exec_id, process(*args) | {"terminal": streams.pipes.terminal}, streams.pipes)
    code = await kit.tasks.wait_exec(id, exec_id)
    await kit.tasks.forget_exec(id, exec_id)
    return code


async def known(kit: Kit, id: str, exec_id: str) -> bool:
    """Does the shim remember it?"""
    try:
        await kit.tasks._client.call("look", kit.tasks._client.tasks.Get, GetRequest(container_id=id, exec_id=exec_id))
    except NotFound:
        return False
    return True


async def by_a_dead_engine(kit: Kit, id: str, exec_id: str, *, start: bool) -> int:
    """An exec that the port has never heard of; its pid."""
    client = kit.tasks._client
    request = ExecProcessRequest(container_id=id, exec_id=exec_id)
    request.spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Process"
    request.spec.value = json.dumps(SLEEP).encode()
    await client.call("exec", client.tasks.Exec, request)
    if not start:
        return 0
    return (await client.call("start", client.tasks.Start, StartRequest(container_id=id, exec_id=exec_id))).pid


async def test_exit_code_and_both_outputs(kit: Kit, streams: Make) -> None:
    id, both = await kit.sleeper(), streams()
    assert await run(kit, id, both, "sh", "-c", "echo one; echo two; echo three >&2; exit 4") == 4
    assert both.said() == [b"one\ntwo\n", b"three\n"]


async def test_without_streams(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    pid = await kit.tasks.exec(id, exec_id, SLEEP, Pipes())
    assert kit.children(id) == [pid]
    await kit.tasks.kill_exec(id, exec_id, signal.SIGTERM)
    assert await asyncio.gather(*(kit.tasks.wait_exec(id, exec_id) for _ in range(3))) == [143] * 3
    with pytest.raises(NotFound):
        await kit.tasks.kill_exec(id, exec_id, signal.SIGTERM)
    assert await known(kit, id, exec_id)
    assert await kit.tasks.wait_exec(id, exec_id) == 143
    await kit.tasks.forget_exec(id, exec_id)
    await kit.tasks.forget_exec(id, exec_id)
    assert not await known(kit, id, exec_id)
    with pytest.raises(NotFound):
        await kit.tasks.wait_exec(id, exec_id)
    assert kit.tasks._execs._execs == {}


async def test_many_at_once(kit: Kit, streams: Make) -> None:
    id = await kit.sleeper()
    each = [streams() for _ in range(5)]
    codes = await asyncio.gather(*(run(kit, id, s, "sh", "-c", f"echo {n}; exit {n}") for n, s in enumerate(each)))
    assert codes == [0, 1, 2, 3, 4]
    assert [s.said()[0] for s in each] == [b"0\n", b"1\n", b"2\n", b"3\n", b"4\n"]


async def test_two_hundred_leave_nothing(kit: Kit, streams: Make) -> None:
    id, both = await kit.sleeper(), streams()
    shim = shim_of(await kit.pid(id))

    def kept() -> tuple[int, int, list[str], list[str]]:
        bundle = Path(f"/proc/{shim}/cwd")
        ours = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
        pipes = sorted(name for name in ours if str(both.directory) in name or name.startswith("pidfd"))
        return len(os.listdir(f"/proc/{shim}/fd")), len(kit.children(id)), pipes, sorted(p.name for p in bundle.iterdir())

    await run(kit, id, both, "busybox", "true")
    before = kept()
    limit = asyncio.Semaphore(4)

    async def one() -> None:
        async with limit:
            assert await run(kit, id, both, "busybox", "true") == 0

    await asyncio.gather(*(one() for _ in range(200)))
    assert kept() == before
    execs = kit.tasks._execs
    assert (execs._execs, dict(execs._turns)) == ({}, {})
    assert not [task for task in asyncio.all_tasks() if "exec" in task.get_name()]


async def test_forgetting_kills_what_runs(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    await kit.tasks.exec(id, exec_id, SLEEP, Pipes())
    waiting = asyncio.create_task(kit.tasks.wait_exec(id, exec_id))
    await asyncio.sleep(0)
    await kit.tasks.forget_exec(id, exec_id)
    assert await waiting == 137
    assert kit.children(id) == []
    assert not await known(kit, id, exec_id)
    assert await kit.status(id) == "running"


async def test_who_is_cancelled_while_it_starts_leaves_nothing(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    starting = asyncio.create_task(kit.tasks.exec(id, exec_id, SLEEP, Pipes()))
    while not await known(kit, id, exec_id):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await kit.tasks.forget_exec(id, exec_id)
    assert kit.children(id) == []
    assert not await known(kit, id, exec_id)


async def test_who_is_cancelled_while_waiting_ends_nothing(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    pid = await kit.tasks.exec(id, exec_id, SLEEP, Pipes())
    waiting = asyncio.create_task(kit.tasks.wait_exec(id, exec_id))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert started(pid)
    await kit.tasks.kill_exec(id, exec_id, signal.SIGKILL)
    assert await kit.tasks.wait_exec(id, exec_id) == 137


@pytest.mark.parametrize(("program", "code"), [("missing", 127), ("/bin/plain", 126)])
async def test_what_cannot_run(kit: Kit, streams: Make, program: str, code: int) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    with pytest.raises(CannotRun) as caught:
        await kit.tasks.exec(id, exec_id, process(program), streams().pipes)
    assert caught.value.exit_code == code
    assert not await known(kit, id, exec_id)
    assert kit.tasks._execs._execs == {}


async def test_no_container(kit: Kit) -> None:
    for exec_id in (uuid4().hex, uuid4().hex):
        with pytest.raises(NotFound):
            await kit.tasks.exec("0" * 64, exec_id, SLEEP, Pipes())
    for verb in (kit.tasks.wait_exec("0" * 64, "x"), kit.tasks.kill_exec("0" * 64, "x", 9)):
        with pytest.raises(NotFound):
            await verb
    await kit.tasks.forget_exec("0" * 64, "x")
    assert kit.tasks._execs._execs == {}


async def test_a_pipe_that_is_gone(kit: Kit, streams: Make) -> None:
    id, exec_id, both = await kit.sleeper(), uuid4().hex, streams()
    os.unlink(both.pipes.stderr)
    with pytest.raises(HostFailed, match="the pipe for its stderr is gone"):
        await kit.tasks.exec(id, exec_id, SLEEP, both.pipes)
    assert not await known(kit, id, exec_id)
    assert kit.children(id) == []


async def test_the_same_id_twice(kit: Kit) -> None:
    id = await kit.sleeper()
    pid = await kit.tasks.exec(id, "one", SLEEP, Pipes())
    with pytest.raises(Conflict):
        await kit.tasks.exec(id, "one", SLEEP, Pipes())
    assert kit.children(id) == [pid]
    await kit.tasks.forget_exec(id, "one")
    await kit.tasks.exec(id, "one", SLEEP, Pipes())
    await kit.tasks.forget_exec(id, "one")


@pytest.mark.parametrize("start", [False, True], ids=["begun", "running"])
async def test_what_a_dead_engine_left(kit: Kit, start: bool) -> None:
    id = await kit.sleeper()
    await by_a_dead_engine(kit, id, "one", start=start)
    assert kit.children(id) == ([] if not start else kit.children(id)[:1])
    await kit.tasks.forget_exec(id, "one")
    assert kit.children(id) == []
    assert not await known(kit, id, "one")


@pytest.mark.parametrize("start", [False, True], ids=["begun", "running"])
async def test_the_id_of_a_dead_engines_is_free(kit: Kit, start: bool) -> None:
    id = await kit.sleeper()
    old = await by_a_dead_engine(kit, id, "one", start=start)
    pid = await kit.tasks.exec(id, "one", SLEEP, Pipes())
    assert pid != old and kit.children(id) == [pid]
    await kit.tasks.kill_exec(id, "one", signal.SIGTERM)
    assert await kit.tasks.wait_exec(id, "one") == 143


async def test_wait_for_a_dead_engines(kit: Kit) -> None:
    id = await kit.sleeper()
    await by_a_dead_engine(kit, id, "one", start=True)
    waiting = asyncio.create_task(kit.tasks.wait_exec(id, "one"))
    await kit.tasks.kill_exec(id, "one", signal.SIGTERM)
    assert await waiting == 143


async def test_the_container_ends_under_it(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    await kit.tasks.exec(id, exec_id, SLEEP, Pipes())
    await kit.tasks.kill(id, signal.SIGKILL)
    assert await kit.tasks.wait_exec(id, exec_id) == 137
    await kit.tasks.unregister(id)
    assert kit.tasks._execs._execs == {}
    with pytest.raises(NotFound):
        await kit.tasks.wait_exec(id, exec_id)


async def test_the_shim_is_killed_under_it(kit: Kit, streams: Make) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    pid = await kit.tasks.exec(id, exec_id, SLEEP, streams().pipes)
    os.kill(shim_of(await kit.pid(id)), signal.SIGKILL)
    with pytest.raises(NotFound, match="its container has gone"):
        await kit.tasks.wait_exec(id, exec_id)
    await kit.tasks.forget_exec(id, exec_id)
    await kit.tasks.delete(id)
    assert started(pid) is None


async def test_the_shim_is_killed_while_it_starts(kit: Kit, tmp_path: Path) -> None:
    """It waits for a reader of the process's output, and there is none."""
    id, exec_id = await kit.sleeper(), uuid4().hex
    shim = shim_of(await kit.pid(id))
    os.mkfifo(tmp_path / "output")
    pipes = Pipes(stdout=str(tmp_path / "output"), stderr=str(tmp_path / "output"))
    starting = asyncio.create_task(kit.tasks.exec(id, exec_id, SLEEP, pipes))
    while not any(command(pid)[:1] == ["busybox"] for pid in kit.children(id)):
        await asyncio.sleep(0.01)
    left = kit.children(id)
    os.kill(shim, signal.SIGKILL)
    with pytest.raises((HostFailed, NotFound), match="cannot start exec"):
        await starting
    await kit.tasks.forget_exec(id, exec_id)
    await kit.tasks.delete(id)
    assert await kit.tasks.look(id) is None
    assert [pid for pid in left if started(pid)] == []


async def test_in_a_frozen_container_it_is_reaped_after_the_thaw(kit: Kit) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    pid = await kit.tasks.exec(id, exec_id, SLEEP, Pipes())
    await kit.tasks.pause(id)
    with pytest.raises(HostFailed, match="paused"):
        await kit.tasks.exec(id, uuid4().hex, SLEEP, Pipes())
    await kit.tasks.forget_exec(id, exec_id)  # is back in a second; the process dies when it can
    await kit.tasks.resume(id)
    await kit.tasks.forget_exec(id, exec_id)
    assert started(pid) is None
    assert not await known(kit, id, exec_id)


async def test_stdin_is_read_to_its_end(kit: Kit, streams: Make) -> None:
    id, exec_id, both = await kit.sleeper(), uuid4().hex, streams(stdin=True)
    await kit.tasks.exec(id, exec_id, process("busybox", "cat"), both.pipes)
    os.write(both.stdin, b"word\n")
    both.close_stdin()
    await kit.tasks.close_stdin(id, exec_id)
    assert await kit.tasks.wait_exec(id, exec_id) == 0
    await kit.tasks.forget_exec(id, exec_id)
    assert both.said() == [b"word\n", b""]
    await kit.tasks.exec(id, exec_id, SLEEP, Pipes())
    await kit.tasks.close_stdin(id, exec_id)


async def test_stdin_closed_before_the_process_exists(kit: Kit, streams: Make) -> None:
    id, exec_id, both = await kit.sleeper(), uuid4().hex, streams(stdin=True)
    os.write(both.stdin, b"word\n")
    closing = asyncio.create_task(kit.tasks.close_stdin(id, exec_id))
    await asyncio.sleep(0)
    await kit.tasks.exec(id, exec_id, process("busybox", "cat"), both.pipes)
    await closing
    both.close_stdin()
    assert await kit.tasks.wait_exec(id, exec_id) == 0
    await kit.tasks.forget_exec(id, exec_id)
    assert both.said() == [b"word\n", b""]


async def test_stdin_of_one_that_cannot_run(kit: Kit, streams: Make) -> None:
    id, exec_id = await kit.sleeper(), uuid4().hex
    closing = asyncio.create_task(kit.tasks.close_stdin(id, exec_id))
    with pytest.raises(CannotRun):
        await kit.tasks.exec(id, exec_id, process("missing"), streams(stdin=True).pipes)
    await closing


async def test_a_terminal_and_its_size(kit: Kit, streams: Make) -> None:
    id, exec_id, one = await kit.sleeper(), uuid4().hex, streams(stdin=True, terminal=True)
    stty = process("sh", "-c", "busybox stty size; read x; busybox stty size") | {
        "terminal": True,
        "consoleSize": {"width": 90, "height": 20},
    }
    await kit.tasks.exec(id, exec_id, stty, one.pipes)
    assert await one.hear() == b"20 90\r\n"
    await kit.tasks.resize(id, exec_id, 120, 40)
    os.write(one.stdin, b"\n")
    await kit.tasks.wait_exec(id, exec_id)
    with pytest.raises(NotFound):
        await kit.tasks.resize(id, exec_id, 80, 25)
    await kit.tasks.forget_exec(id, exec_id)
    assert one.said()[0].endswith(b"40 120\r\n")
    with pytest.raises(NotFound):
        await kit.tasks.resize(id, exec_id, 80, 25)
