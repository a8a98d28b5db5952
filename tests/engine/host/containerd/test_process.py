"""A process told apart from another one with its pid, alive from dead."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

import pytest

from engine.host.containerd.process import Process, command, shares_mounts, started


async def test_alive_zombie_gone() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    try:
        ticks = started(child.pid)
        assert ticks is not None and ticks > (started(1) or 0)
        while not any(command(child.pid)):  # the kernel closes the pipe Popen waits on before it shows the arguments
            await asyncio.sleep(0)
        assert command(child.pid) == ["sleep", "1000"]
        assert shares_mounts(child.pid)
    finally:
        child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert started(child.pid) is None  # a zombie: kill(pid, 0) would say it lives
    child.wait()
    assert started(child.pid) is None
    assert command(child.pid) == []
    with pytest.raises(FileNotFoundError):
        shares_mounts(child.pid)
    with pytest.raises(ProcessLookupError):
        Process(child.pid)


def test_a_name_that_looks_like_the_rest_of_the_line() -> None:
    named = "open('/proc/self/comm', 'w').write(') Z 1 ('); print(flush=True); input()"
    with subprocess.Popen(["python3", "-c", named], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        assert (started(child.pid) or 0) > (started(1) or 0)
        child.kill()


async def test_many_wait_for_the_end_and_the_child_is_reaped() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    process = Process(child.pid)
    waiting = [asyncio.create_task(process.ended()) for _ in range(2)]
    process.send(signal.SIGKILL)
    await asyncio.gather(*waiting)
    process.send(signal.SIGKILL)
    assert not os.path.exists(f"/proc/{child.pid}")
    child.returncode = 0


async def test_letting_go_leaves_it_alive() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    process = Process(child.pid)
    process.close()
    process.close()
    assert started(child.pid)
    child.kill()
    child.wait()
