"""What a service manager has to do with a real engine, and `longshored`'s words beside serving."""

from __future__ import annotations

import asyncio
import shlex
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.engines import READY, EngineProcess


async def test_the_service_manager_hears_when_the_socket_answers_and_when_it_ends(
    place_engine: Callable[[], EngineProcess], tmp_path: Path
) -> None:
    engine, loop = place_engine(), asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(f"{tmp_path}/notify")
        engine.environment["NOTIFY_SOCKET"] = f"{tmp_path}/notify"
        await engine.launch()
        assert await asyncio.wait_for(loop.sock_recv(manager, 100), READY) == b"READY=1"
        assert await engine.answers()
        await engine.end()
        assert await asyncio.wait_for(loop.sock_recv(manager, 100), READY) == b"STOPPING=1"


async def said(*command: str) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


async def test_the_units_command_is_this_engine() -> None:
    code, out, err = await said(sys.executable, "-m", "engine", "unit", "--log-level", "debug")
    assert (code, err) == (0, "")
    (start,) = [line.removeprefix("ExecStart=") for line in out.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith("--log-level debug")
    code, version, _ = await said(*shlex.split(start), "--version")
    assert code == 0 and version.startswith("longshored ")


async def test_the_doctor_takes_longshoreds_options_and_refuses_others(tmp_path: Path) -> None:
    doctor = (sys.executable, "-m", "engine", "doctor")
    code, out, _ = await said(*doctor, "--data-root", str(tmp_path))
    assert code == 0 and str(tmp_path) in out and out.endswith("Containers can run here.\n")
    code, out, err = await said(*doctor, "--nonsense")
    assert code == 1 and out == "" and "--nonsense" in err
