"""Debian's dockerd and a containerd for it, in a network namespace of their own, ended by pid and leaving nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.bench.wire import Api
from tests.leftovers import settle, sweep, things

UNPACKED = Path(__file__).parents[2] / "build/docker.io"
READY = 60.0

CONTAINERD = """
version = 2
root = "{here}/containerd-root"
state = "{here}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{here}/containerd.sock"
[debug]
  level = "error"
"""


class Missing(Exception):
    """The peer is not here: a measurement beside nothing says nothing."""


class Namespace:
    """A network namespace with `lo` up, by the name that ip(8) gives it."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Not `ip netns exec`: that gives a mount namespace too, in which the cgroups are hidden.
        self.enter = ("nsenter", f"--net=/run/netns/{name}")

    def __enter__(self) -> Namespace:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run([*self.enter, "ip", "link", "set", "lo", "up"], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=True)


class Dockerd:
    """dockerd in a directory. Its tag, the directory's last eight letters, is in the name of all that it makes."""

    def __init__(self, directory: Path, namespace: Namespace) -> None:
        self.directory, self.namespace = directory, namespace
        self.tag = directory.name[-8:]
        self.socket = str(directory / "docker.sock")
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """Raises `Missing` where Debian's package is not unpacked, or dockerd does not come up."""
        if not UNPACKED.exists():
            raise Missing(f"there is no dockerd below {UNPACKED}; `make bench` puts it there")
        self.directory.mkdir()
        config = self.directory / "containerd.toml"
        config.write_text(CONTAINERD.format(here=self.directory))
        await self._run("containerd", "--config", str(config))
        await self._listens(str(self.directory / "containerd.sock"))
        await self._serve()

    async def restart(self) -> None:
        """dockerd alone; its containers end with it, and those with a restart policy come back."""
        await self._end(self.processes.pop())
        await self._serve()

    async def _serve(self) -> None:
        dockerd = UNPACKED / "usr/sbin/dockerd"
        await self._run(
            *(str(dockerd), "--host", f"unix://{self.socket}", "--containerd", str(self.directory / "containerd.sock")),
            *("--data-root", str(self.directory / "root"), "--exec-root", str(self.directory / "run")),
            *("--pidfile", str(self.directory / "docker.pid"), "--cgroup-parent", f"/longshore-peer-{self.tag}"),
            *("--storage-driver", "overlay2", "--log-level", "error", "--config-file", str(self.directory / "daemon.json")),
        )
        await self._listens(self.socket)
        # It listens long before it is up, and answers when it is.
        await asyncio.to_thread(self._version)

    def _version(self) -> None:
        api = Api(self.socket)
        api.ask("GET", "/version")
        api.close()

    async def _run(self, *command: str) -> None:
        libraries = ":".join(str(path) for path in (UNPACKED / "lib").glob("*-linux-gnu"))
        path = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin:{UNPACKED / 'usr/bin'}:{UNPACKED / 'usr/sbin'}"
        (self.directory / "daemon.json").write_text("{}")
        with (self.directory / "log").open("ab") as log:
            self.processes.append(
                await asyncio.create_subprocess_exec(
                    *(*self.namespace.enter, *command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "PATH": path, "LD_LIBRARY_PATH": libraries},
                )
            )

    async def _listens(self, path: str) -> None:
        process = self.processes[-1]
        try:
            async with asyncio.timeout(READY):
                while True:
                    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                        probe.connect(path)
                        return
                    if process.returncode is not None:
                        break
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        said = (self.directory / "log").read_text(errors="replace").strip().splitlines()
        raise Missing(f"dockerd does not come up: {said[-1] if said else 'it says nothing'}")

    @property
    def pids(self) -> list[int]:
        """dockerd and its containerd."""
        return [process.pid for process in self.processes]

    async def end(self) -> None:
        """End both, dockerd first, then take away what they leave: networks, mounts, cgroups, files."""
        for process in reversed(self.processes):
            await self._end(process)
        await asyncio.to_thread(sweep, [*await asyncio.to_thread(self._left), f"directory {self.directory}"])
        left = await asyncio.to_thread(settle, lambda: set(self._left()))
        assert not left, f"dockerd left behind: {left}"

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()

    def _left(self) -> list[str]:
        """Mounts below its directory and its cgroups. Its bridge and rules go with the network namespace."""
        found = things(str(self.directory), self.tag)
        return [line for line in found if self.tag in line and not line.startswith("directory ")]
