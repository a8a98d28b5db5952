"""A real `longshored` process of a test's own: with directories, bridge, addresses and cgroups of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from engine.client import Client
from engine.model.status import Verb
from tests.leftovers import MARK, settle, sweep, things

READY = 30.0
"""Seconds until the socket answers, on a slow and busy machine."""
GONE = 60.0

ranges = itertools.count(secrets.randbelow(4096))
"""Numbers for address ranges: `10.192.0.0/12` cut into 4096 pieces of /24."""


class EngineProcess:
    """One engine's place on this machine, and the process in it, which may be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tag = directory.name[-8:]
        number = next(ranges) % 4096
        self.socket = str(directory / "run/engine.sock")
        self.root, self.run = str(directory / "root"), str(directory / "run")
        self.bridge, self.cgroup_parent = f"ls{self.tag}", f"/longshore-test-{self.tag}"
        self.subnet = f"10.{192 + number // 256}.{number % 256}.0/24"
        self.options: tuple[str, ...] = (
            *("--host", f"unix://{self.socket}", "--data-root", self.root, "--exec-root", self.run),
            *("--bridge", self.bridge, "--bip", self.subnet.replace(".0/", ".1/"), "--cgroup-parent", self.cgroup_parent),
        )
        self.prefix: tuple[str, ...] = ()
        """A command that runs another: `nsenter ...`."""
        self.environment: dict[str, str] = {}
        self.program: tuple[str, ...] = (sys.executable, "-m", "engine")
        self.log = directory / "longshored.log"
        self.process: asyncio.subprocess.Process | None = None
        self.ready = READY

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def client(self) -> Client:
        """A new client; close it, or use it as a context."""
        return Client(self.socket)

    def said(self) -> str:
        """What the engine has written to its log and its terminal."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def launch(self, *more: str) -> asyncio.subprocess.Process:
        """Start the process and wait for nothing: it may be meant to fail."""
        self.directory.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*self.prefix, *self.program, *self.options, *more),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        return self.process

    async def start(self, *more: str) -> None:
        """Start the engine and wait until its socket answers. Raises `AssertionError` with its log when it ends instead."""
        process = await self.launch(*more)
        async with asyncio.timeout(self.ready):
            while not await self.answers():
                assert process.returncode is None, f"the engine ended with {process.returncode}: {self.said()}"
                await asyncio.sleep(0.01)

    async def answers(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(self.socket)
            return True
        return False

    async def kill9(self) -> None:
        """`kill -9` from outside; asserts that this, and nothing else, ended it."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        assert await self.process.wait() == -signal.SIGKILL, self.said()

    async def end(self) -> None:
        """SIGTERM: the engine goes, its containers stay. Asserts a clean exit."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(GONE):
            assert await self.process.wait() == 0, self.said()

    async def shutdown(self) -> None:
        """The engine goes with containers, containerd, bridge, rules. One that was killed is started for it."""
        if not self.alive:
            await self.start()
        async with self.client() as client:
            await client.shutdown(containers=True)
        assert self.process
        async with asyncio.timeout(GONE):
            assert await self.process.wait() == 0, self.said()
        self.process = None

    async def clean(self) -> None:
        """Shut down, and prove that nothing is left. What is left fails the test, and is taken away by force."""
        try:
            if self.process is not None:
                if self.alive:
                    await self._kill_all()
                await self.shutdown()
            found = await asyncio.to_thread(settle, self.left)
            assert not found, f"left behind: {found}\n{self.said()}"
        finally:
            if self.alive:
                assert self.process
                self.process.kill()
                await self.process.wait()
            await asyncio.to_thread(sweep, [*self.left(), f"directory {self.directory}"])

    async def _kill_all(self) -> None:
        """Whoever still runs has nothing to finish: a patient stop waits 10 s for a first process that is deaf to SIGTERM."""
        async with self.client() as client:
            rows = [row for row in await client.containers() if row.status.alive]
            await asyncio.gather(*(client.do(Verb.KILL, row.id) for row in rows), return_exceptions=True)

    def left(self) -> set[str]:
        """Everything that bears the engine's tag: mounts, bridge, table, cgroups, and who names them on the command line."""
        found = things(str(self.directory), os.environ.get(MARK, ""))
        return {line for line in found if self.tag in line and not line.startswith("directory ")}
