"""The port on a real containerd and real runc."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode

from engine.host import Exit, Pipes
from engine.host.cgroups import KernelCgroups
from engine.host.containerd.client import translate
from engine.host.containerd.process import started
from engine.host.containerd.shims import socket_of
from engine.host.containerd.tasks import ContainerdTasks
from engine.model.errors import CannotRun, HostFailed, NotFound

from .kit import Kit, shim_of


@pytest.mark.parametrize("code", [0, 7])
async def test_exit_code_of_the_process(kit: Kit, code: int) -> None:
    id = await kit.register("sh", "-c", f"exit {code}")
    pid = await kit.tasks.create(id, Pipes())
    told: list[tuple[str, Exit]] = []
    kit.tasks.on_exit(lambda *args: told.append(args))
    await kit.tasks.start(id)
    exit = await kit.tasks.wait(id)
    assert (exit.pid, exit.status, exit.lost) == (pid, code, False)
    assert told == [(id, exit)]


async def test_every_waiter_gets_the_same_exit_also_after_the_deletion(kit: Kit) -> None:
    id = await kit.sleeper()
    early = [asyncio.create_task(kit.tasks.wait(id)) for _ in range(3)]
    await kit.tasks.kill(id, signal.SIGKILL)
    first = await kit.tasks.wait(id)
    await kit.tasks.delete(id)
    assert first.status == 137
    assert await asyncio.gather(*early, kit.tasks.wait(id)) == [first] * 4


async def test_life_as_containerd_tells_it(kit: Kit) -> None:
    id = await kit.register("busybox", "sleep", "1000")
    assert "spec of" in (await kit.tasks.look_registered(id) or "")
    assert await kit.status(id) == "none"
    pid = await kit.tasks.create(id, Pipes())
    assert await kit.status(id) == "created"
    await kit.tasks.start(id)
    await kit.tasks.start(id)
    assert await kit.status(id) == "running"
    assert [task.pid for task in await kit.tasks.all() if task.id == id] == [pid]
    await kit.tasks.kill(id, signal.SIGKILL)
    await kit.tasks.wait(id)
    stopped = await kit.tasks.look(id)
    assert stopped and stopped.status == "stopped" and stopped.exit and stopped.exit.status == 137
    with pytest.raises(NotFound):
        await kit.tasks.kill(id, signal.SIGTERM)
    await kit.tasks.delete(id)
    await kit.tasks.delete(id)
    assert await kit.status(id) == "none"
    await kit.tasks.unregister(id)
    await kit.tasks.unregister(id)
    assert await kit.tasks.look_registered(id) is None


@pytest.mark.parametrize(("command", "code"), [("missing", 127), ("/bin/plain", 126), ("/bin", 126)])
async def test_what_cannot_run(kit: Kit, command: str, code: int) -> None:
    id = await kit.register(command)
    with pytest.raises(CannotRun) as caught:
        await kit.tasks.create(id, Pipes())
    assert caught.value.exit_code == code
    assert caught.value.status == 400
    assert await kit.status(id) == "none"


async def test_output_goes_to_the_fifos(kit: Kit, tmp_path: Path) -> None:
    id = await kit.register("sh", "-c", "echo out; echo err >&2")
    fds = []
    for name in ("stdout", "stderr"):
        os.mkfifo(tmp_path / name)
        fds.append(os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK))
    await kit.tasks.create(id, Pipes(stdout=str(tmp_path / "stdout"), stderr=str(tmp_path / "stderr")))
    await kit.tasks.start(id)
    await kit.tasks.wait(id)
    await kit.tasks.delete(id)
    assert [os.read(fd, 100) for fd in fds] == [b"out\n", b"err\n"]
    for fd in fds:
        os.close(fd)


async def test_register_and_create_replace_a_leftover(kit: Kit) -> None:
    id = await kit.sleeper()
    old = await kit.pid(id)
    await kit.tasks.register(id, kit.spec(id, "sh", "-c", "exit 3"))
    assert started(old) is None
    await kit.tasks.create(id, Pipes())
    pid = await kit.pid(id)
    assert await kit.tasks.create(id, Pipes()) == pid
    await kit.tasks.start(id)
    assert (await kit.tasks.wait(id)).status == 3
    assert await kit.tasks.create(id, Pipes()) != pid
    await kit.tasks.start(id)
    assert (await kit.tasks.wait(id)).status == 3


@pytest.mark.parametrize("paused", [False, True])
async def test_delete_ends_what_runs(kit: Kit, paused: bool) -> None:
    id = await kit.sleeper()
    if paused:
        await kit.tasks.pause(id)
    pid = await kit.pid(id)
    await kit.tasks.delete(id)
    assert started(pid) is None
    assert (await kit.tasks.wait(id)).status == 137


async def test_delete_what_was_created_and_never_started(kit: Kit) -> None:
    id = await kit.register("busybox", "sleep", "1000")
    pid = await kit.tasks.create(id, Pipes())
    told: list[str] = []
    kit.tasks.on_exit(lambda id, _: told.append(id))
    await kit.tasks.delete(id)
    assert started(pid) is None
    assert told == []


async def test_pause_and_resume_twice(kit: Kit) -> None:
    id = await kit.sleeper()
    for _ in range(2):
        await kit.tasks.pause(id)
        assert kit.frozen(id)
    assert await kit.status(id) == "paused"
    for _ in range(2):
        await kit.tasks.resume(id)
        assert not kit.frozen(id)
    assert await kit.status(id) == "running"


async def test_pause_and_resume_after_a_thaw_from_outside(kit: Kit) -> None:
    id = await kit.sleeper()
    await kit.tasks.pause(id)
    await kit.thaw(id)
    await kit.tasks.pause(id)
    assert kit.frozen(id)
    await kit.thaw(id)
    await kit.tasks.resume(id)
    assert not kit.frozen(id)
    assert await kit.status(id) == "running"


async def test_pause_and_resume_after_a_freeze_from_outside(kit: Kit) -> None:
    id = await kit.sleeper()
    await kit.freeze(id)
    await kit.tasks.pause(id)
    assert kit.frozen(id)
    await kit.tasks.resume(id)
    assert not kit.frozen(id)
    assert await kit.status(id) == "running"


async def test_verbs_on_nothing(kit: Kit) -> None:
    id = "0" * 64
    for verb in (kit.tasks.start, kit.tasks.pause):
        with pytest.raises(NotFound):
            await verb(id)
    await kit.tasks.resume(id)
    with pytest.raises(NotFound):
        await kit.tasks.create(id, Pipes())
    with pytest.raises(NotFound):
        await kit.tasks.kill(id, signal.SIGTERM)
    await kit.tasks.delete(id)
    exit = await kit.tasks.wait(id)
    assert (exit.pid, exit.status, exit.lost) == (0, 255, True)


async def another(kit: Kit) -> ContainerdTasks:
    """The port of another engine on the same containerd."""
    tasks = ContainerdTasks(kit.address, kit.facts, freezer=KernelCgroups(kit.facts).freezer, freeze=kit.freeze, thaw=kit.thaw)
    await tasks.connect()
    return tasks


async def test_adopt_tells_an_exit_that_nobody_watched(kit: Kit) -> None:
    id = await kit.run("sh", "-c", "exit 9")
    seen = await kit.tasks.wait(id)
    tasks = await another(kit)
    told: asyncio.Queue[tuple[str, Exit]] = asyncio.Queue()
    tasks.on_exit(lambda *args: told.put_nowait(args))
    await tasks.adopt(id)
    await tasks.adopt(id)
    assert await told.get() == (id, seen)
    await tasks.close()
    assert told.empty()


async def test_adopt_a_running_task(kit: Kit) -> None:
    id = await kit.sleeper()
    tasks = await another(kit)
    await tasks.adopt(id)
    await kit.tasks.kill(id, signal.SIGKILL)
    assert await tasks.wait(id) == await kit.tasks.wait(id)
    await tasks.close()


async def test_killed_shim_is_a_lost_exit_and_leaves_nothing(kit: Kit) -> None:
    id = await kit.sleeper()
    pid = await kit.pid(id)
    os.kill(shim_of(pid), signal.SIGKILL)
    exit = await kit.tasks.wait(id)
    assert (exit.pid, exit.status, exit.lost) == (pid, 137, True)
    socket = socket_of(kit.address, "longshore", id)
    assert socket.exists()
    await kit.tasks.delete(id)
    assert not socket.exists()
    assert started(pid) is None


async def test_an_exit_event_makes_up_for_a_silent_wait(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.host.containerd.exits._HINT_SECONDS", 0.01)
    id = await kit.sleeper()
    call = kit.tasks._exits._watches[id].call
    assert call
    call.cancel()
    await asyncio.wait([call])
    await kit.tasks.kill(id, signal.SIGKILL)
    assert (await kit.tasks.wait(id)).status == 137


CUT_OFF = """
import asyncio, sys
from engine.host import Facts, Pipes
from engine.host.containerd.tasks import ContainerdTasks

async def main(address, exec_root, id):
    tasks = ContainerdTasks(address, Facts(exec_root=exec_root), freezer=None, freeze=None, thaw=None)
    await tasks.connect()
    print(flush=True)
    await tasks.create(id, Pipes())

asyncio.run(main(*sys.argv[1:]))
"""


async def cut_off(kit: Kit, id: str, milliseconds: float) -> None:
    """An engine of its own begins to create the task, and is killed so much later."""
    arguments = (kit.address, kit.facts.exec_root, id)
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", CUT_OFF, *arguments, stdout=asyncio.subprocess.PIPE)
    assert engine.stdout and await engine.stdout.readline()
    await asyncio.sleep(milliseconds / 1000)
    engine.kill()
    assert await engine.wait() == -signal.SIGKILL


@pytest.mark.parametrize("milliseconds", [1, 8, 15, 30])
async def test_create_after_an_engine_was_killed_in_it(kit: Kit, milliseconds: float) -> None:
    id = await kit.register("sh", "-c", "exit 5")
    await cut_off(kit, id, milliseconds)
    assert await kit.tasks.create(id, Pipes()) == await kit.pid(id)
    await kit.tasks.start(id)
    assert (await kit.tasks.wait(id)).status == 5


@pytest.mark.parametrize(
    ("refusal", "spoilt"),
    [
        ("failed to start shim: mkdir {bundle}: file exists", True),
        ("failed to start shim: start failed: io.containerd.runc.v2: getwd: no such file or directory: exit status 1", True),
        ("failed to start shim: start failed: : fork/exec /usr/bin/containerd-shim-runc-v2: no such file or directory", True),
        ("failed to create shim task: open {bundle}/options.json: no such file or directory: not found", True),
        ("failed to create shim task: OCI runtime create failed: exec /x: no such file or directory: unknown", False),
        ('runtime "io.containerd.runc.v2" binary not installed "containerd-shim-runc-v2": file does not exist', False),
    ],
)
async def test_what_containerd_says_while_it_clears_an_earlier_creation_away(kit: Kit, refusal: str, spoilt: bool) -> None:
    id = "0" * 64
    bundle = Path(kit.address).parent / "state/io.containerd.runtime.v2.task/longshore" / id
    error = translate(StatusCode.NOT_FOUND if "not found" in refusal else StatusCode.UNKNOWN, refusal.format(bundle=bundle), "")
    assert isinstance(error, HostFailed)
    assert kit.tasks._remains.spoil(id, error.message) is spoilt


async def test_create_over_a_bundle_that_containerd_has_given_up_on(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the directory and the file `runtime`, containerd cannot clean the bundle, and leaves it for ever."""
    monkeypatch.setattr("engine.host.containerd.tasks._BUNDLE_SECONDS", 0.3)
    id = await kit.register("sh", "-c", "exit 5")
    bundle = Path(kit.address).parent / "state/io.containerd.runtime.v2.task/longshore" / id
    (bundle / "rootfs").mkdir(parents=True)
    assert await kit.tasks.create(id, Pipes()) == await kit.pid(id)
    await kit.tasks.start(id)
    assert (await kit.tasks.wait(id)).status == 5


async def test_stranded_shim_is_ended_by_the_next_engine(kit: Kit, tmp_path: Path) -> None:
    """A shim whose bundle was thrown away: here a program with a shim's command line, in a directory that is gone."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    script, names = "echo; read x", ("-namespace", "longshore", "-id", "0" * 64, "-address", kit.address)
    argv = ("containerd-shim-stranded", "-c", script, *names)
    pipe = asyncio.subprocess.PIPE
    shim = await asyncio.create_subprocess_exec(*argv, executable="/bin/sh", cwd=bundle, stdin=pipe, stdout=pipe)
    assert shim.stdout and await shim.stdout.readline()
    kept = await kit.sleeper()
    bundle.rmdir()
    await (await another(kit)).close()
    assert await shim.wait() == -signal.SIGKILL
    assert await kit.status(kept) == "running"


@pytest.fixture
async def shim(kit: Kit, tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """A real shim whose bundle is there and whose task never came, as when containerd dies in a creation: its id and pid."""
    id = await kit.register("busybox", "true")
    (tmp_path / "config.json").write_text(json.dumps(kit.spec(id, "busybox", "true")))
    os.mkfifo(tmp_path / "log")
    log = os.open(tmp_path / "log", os.O_RDWR)
    arguments = ("-namespace", "longshore", "-id", id, "-address", kit.address, "start")
    helper = await asyncio.create_subprocess_exec(
        "containerd-shim-runc-v2", *arguments, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await helper.communicate()
    assert str(socket_of(kit.address, "longshore", id)) in out.decode()
    pid = int((await asyncio.to_thread(pgrep, id)).strip())
    yield id, pid
    os.close(log)
    if started(pid):
        os.kill(pid, signal.SIGKILL)


def pgrep(word: str) -> str:
    return subprocess.run(["pgrep", "-f", word], capture_output=True, text=True).stdout


async def test_a_shim_without_a_task_goes_with_the_deletion(kit: Kit, shim: tuple[str, int]) -> None:
    id, pid = shim
    assert started(pid)
    await kit.tasks.delete(id)
    assert started(pid) is None
    assert not socket_of(kit.address, "longshore", id).exists()


async def test_a_shim_without_a_task_is_ended_by_the_next_engine(kit: Kit, shim: tuple[str, int]) -> None:
    _, pid = shim
    kept = await kit.sleeper()
    await (await another(kit)).close()
    while started(pid):
        await asyncio.sleep(0.01)
    assert await kit.status(kept) == "running"


async def test_version(kit: Kit) -> None:
    assert (await kit.tasks.version())[0].isdigit()
