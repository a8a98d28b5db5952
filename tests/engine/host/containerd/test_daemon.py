"""A real containerd of our own: found again, kept alive, stopped, and nothing left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from engine.host import Facts, Pipes
from engine.host.containerd.client import Client
from engine.host.containerd.daemon import Daemon, vet
from engine.host.containerd.process import command, started
from engine.model.errors import Conflict, Invalid, Unavailable

from .kit import Kit, process, shim_of


class Troubles:
    """What was reported, one after the other."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, trouble: str) -> None:
        self.said.put_nowait(trouble)

    async def over(self) -> list[str]:
        """Everything until all is well again."""
        said = [await self.said.get()]
        while said[-1]:
            said.append(await self.said.get())
        return said


async def test_start_find_again_stop(fresh: Facts) -> None:
    first = Daemon(fresh)
    await first.start()
    pid = first.pid
    assert os.getsid(pid) == pid
    await first.release()
    assert started(pid)
    second = Daemon(fresh)
    await second.start()
    assert second.pid == pid
    await second.stop()
    assert started(pid) is None
    assert not Path(fresh.exec_root, "containerd").exists()
    await second.stop()


async def test_found_by_its_lock_when_the_pidfile_is_lost_or_old(fresh: Facts) -> None:
    daemon = Daemon(fresh)
    await daemon.start()
    pid = daemon.pid
    await daemon.release()
    pidfile = Path(fresh.exec_root, "containerd/containerd.pid")
    for text in (None, "", f"{os.getpid()} 1\n", f"{os.getpid()} {started(os.getpid())}\n"):
        pidfile.unlink() if text is None else pidfile.write_text(text)
        await daemon.start()
        assert daemon.pid == pid
        await daemon.release()


async def test_second_one_on_the_same_root_is_refused(fresh: Facts) -> None:
    daemon = Daemon(fresh)
    await daemon.start()
    with pytest.raises(Conflict, match=f"another containerd \\(pid {daemon.pid}\\) has it"):
        await Daemon(msgspec.structs.replace(fresh, exec_root=f"{fresh.exec_root}2")).start()
    assert started(daemon.pid)
    await daemon.stop()


async def test_socket_path_too_long(fresh: Facts) -> None:
    with pytest.raises(Invalid, match="too long"):
        await Daemon(msgspec.structs.replace(fresh, exec_root=f"{fresh.exec_root}/{'x' * 90}")).start()


async def test_broken_start_says_why(fresh: Facts) -> None:
    state = Path(fresh.exec_root, "containerd/state")
    state.parent.mkdir(parents=True)
    state.write_text("a file where containerd wants a directory")
    with pytest.raises(Unavailable, match=r"does not start: .*not a directory"):
        await Daemon(fresh).start()
    state.unlink()


async def test_killed_containerd_comes_back_and_exits_still_arrive(fresh: Facts, rootfs: Path) -> None:
    daemon, troubles, lost = Daemon(fresh), Troubles(), Troubles()
    daemon.on_trouble(troubles)
    await daemon.start()
    kit = Kit(daemon.address, fresh, rootfs)
    await kit.tasks.connect()
    kit.tasks.on_trouble(lost)
    runs, ends = await kit.sleeper(), await kit.sleeper()
    waiting = [asyncio.create_task(kit.tasks.wait(id)) for id in (runs, ends)]
    pid, ending = daemon.pid, await kit.pid(ends)
    assert troubles.said.empty() and lost.said.empty()

    os.kill(pid, signal.SIGKILL)
    os.kill(ending, signal.SIGKILL)  # while no containerd is there
    assert (await waiting[1]).status == 137
    said = await troubles.over()
    assert "ended by itself" in said[0]
    went, back = await lost.over()
    assert "went away" in went and back == ""
    assert daemon.pid != pid
    assert await kit.status(runs) == "running"
    assert not waiting[0].done()

    await kit.tasks.kill(runs, signal.SIGKILL)
    exit = await waiting[0]
    assert (exit.status, exit.lost) == (137, False)
    await kit.clean()
    await kit.tasks.close()
    await daemon.stop()
    assert not Path(fresh.exec_root, "containerd").exists()
    assert not Path(fresh.exec_root, "runtime-runc").exists()


async def test_execs_outlive_a_killed_containerd(fresh: Facts, rootfs: Path) -> None:
    daemon, troubles = Daemon(fresh), Troubles()
    daemon.on_trouble(troubles)
    await daemon.start()
    kit = Kit(daemon.address, fresh, rootfs)
    await kit.tasks.connect()
    id = await kit.sleeper()
    sleep = process("busybox", "sleep", "1000")
    ending, running = [await kit.tasks.exec(id, exec_id, sleep, Pipes()) for exec_id in ("ending", "running")]
    waiting = [asyncio.create_task(kit.tasks.wait_exec(id, exec_id)) for exec_id in ("ending", "running")]
    os.kill(daemon.pid, signal.SIGKILL)
    os.kill(ending, signal.SIGTERM)  # while no containerd is there
    forgetting = asyncio.create_task(kit.tasks.forget_exec(id, "running"))
    assert await waiting[0] == 143
    await troubles.over()
    await forgetting
    assert await waiting[1] == 137
    assert started(running) is None
    await kit.tasks.forget_exec(id, "ending")
    await kit.clean()
    await kit.tasks.close()
    await daemon.stop()


async def test_killed_with_the_shim_is_a_lost_exit(fresh: Facts, rootfs: Path) -> None:
    daemon = Daemon(fresh)
    await daemon.start()
    kit = Kit(daemon.address, fresh, rootfs)
    await kit.tasks.connect()
    id = await kit.sleeper()
    pid = await kit.pid(id)
    os.kill(daemon.pid, signal.SIGKILL)
    os.kill(shim_of(pid), signal.SIGKILL)
    exit = await kit.tasks.wait(id)
    assert (exit.pid, exit.status, exit.lost) == (pid, 137, True)
    assert started(pid) is None
    await kit.clean()
    await kit.tasks.close()
    await daemon.stop()


async def test_tasks_outlive_containerd(fresh: Facts, rootfs: Path) -> None:
    daemon = Daemon(fresh)
    await daemon.start()
    kit = Kit(daemon.address, fresh, rootfs)
    await kit.tasks.connect()
    id = await kit.sleeper()
    pid = await kit.pid(id)
    await daemon.stop()
    assert started(pid)
    await daemon.start()
    assert await kit.pid(id) == pid
    await kit.clean()
    await kit.tasks.close()
    await daemon.stop()


async def test_vet_a_strangers(facts: Facts, tmp_path: Path) -> None:
    address = Daemon(facts).address
    assert await vet(f"unix://{address}") == address
    with pytest.raises(Unavailable, match="No such file"):
        await vet(str(tmp_path / "none.sock"))


async def test_one_in_another_mount_namespace_is_refused(fresh: Facts) -> None:
    daemon = Daemon(fresh)
    await daemon.start()
    config = Path(fresh.exec_root, "containerd/containerd.toml")
    argv, text = command(daemon.pid), config.read_text()
    await daemon.stop()
    config.parent.mkdir()
    config.write_text(text)
    elsewhere = subprocess.Popen(["unshare", "--mount", *argv], stderr=subprocess.DEVNULL)
    client = Client(daemon.address, "longshore")
    try:
        await client.ready(10)
        for refused in (daemon.start(), vet(daemon.address)):
            with pytest.raises(Conflict, match=f"pid {elsewhere.pid}.*another mount namespace"):
                await refused
    finally:
        elsewhere.terminate()
        elsewhere.wait()
        await client.close()


async def test_a_shim_without_a_process_goes_with_the_last_stop(fresh: Facts, rootfs: Path) -> None:
    """Its task was never deleted. One whose process lives stays, and so does what it needs."""
    daemon = Daemon(fresh)
    await daemon.start()
    kit = Kit(daemon.address, fresh, rootfs)
    await kit.tasks.connect()
    id = await kit.sleeper()
    pid = await kit.pid(id)
    shim = shim_of(pid)
    await kit.tasks.close()
    await daemon.stop()
    assert started(pid) and started(shim)
    os.kill(pid, signal.SIGKILL)
    while started(pid):
        await asyncio.sleep(0.01)
    await daemon.stop()
    while started(shim):
        await asyncio.sleep(0.01)
    for cgroup in Path("/sys/fs/cgroup").glob(f"*{fresh.cgroup_parent}/{id}"):
        cgroup.rmdir()
