"""A command inside a container: started, read, timed, and in the end always reaped.

Both outputs go into one FIFO and so share one buffer. The process blocks when nobody reads: what is over the limit is read
too, and dropped. The end of the output is not the end of the file, which the shim may show between one output and the other,
but the end of the exec's deletion, before which the shim copies all.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

from engine.host import within
from engine.host.containerd.client import Client, any_of, cannot_run
from engine.host.containerd.proto.tasks_pb2 import (
    DeleteProcessRequest,
    ExecProcessRequest,
    KillRequest,
    StartRequest,
    WaitRequest,
)
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.errors import EngineError, HostFailed, NotFound

_PROCESS_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_START_SECONDS: Final = 30.0
"""How long an exec may take to get going (Docker's cap for health checks)."""
_REAP_SECONDS: Final = 1.0
"""How long a killed exec is waited for. A frozen one ends when it is thawed, and is reaped then, in the background."""
_AGAIN_SECONDS: Final = 1.0
_READ_BYTES: Final = 16 << 10


class Probes:
    """Execs in the containers of one containerd; their FIFOs lie below `directory`."""

    def __init__(self, client: Client, directory: str) -> None:
        self._client = client
        self._directory = Path(directory)
        self._background: set[asyncio.Task[None]] = set()

    async def run(self, id: str, exec_id: str, process: dict[str, Any], timeout: float, limit: int) -> tuple[int, bytes]:
        """See `engine.host.Tasks.probe`."""
        output = _Output(limit)
        # Once begun it is seen through: only then is it known what there is to reap.
        starting = asyncio.create_task(self._start(id, exec_id, process, output))
        try:
            try:
                await asyncio.shield(starting)
                async with asyncio.timeout(timeout):
                    status = await self._wait(id, exec_id)
            finally:
                await self._see_off(starting, id, exec_id)
            return status, output.rest()
        except TimeoutError:
            raise TimeoutError(f"the probe in {id[:12]} did not end within {timeout:g} s") from None
        finally:
            output.close()

    async def reap(self, id: str, exec_id: str) -> None:
        """End the exec, if it still runs, and delete what is left of it. Reaping what is not there is fine."""
        doing = f"reap a probe in {id[:12]}"
        delete = DeleteProcessRequest(container_id=id, exec_id=exec_id)
        with suppress(NotFound):
            try:
                await self._client.call(doing, self._client.tasks.DeleteProcess, delete)
            except HostFailed:  # it runs
                kill = KillRequest(container_id=id, exec_id=exec_id, signal=SIGKILL)
                with suppress(NotFound):
                    await self._client.call(doing, self._client.tasks.Kill, kill)
                await self._wait(id, exec_id)
                await self._client.call(doing, self._client.tasks.DeleteProcess, delete)
        await short(self._fifo(id, exec_id).unlink, missing_ok=True)

    async def close(self) -> None:
        """Stop reaping; what is left is for `reap` after the next start."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        with suppress(OSError):  # never made, or FIFOs are left for `reap`
            self._directory.rmdir()

    async def _start(self, id: str, exec_id: str, process: dict[str, Any], output: _Output) -> None:
        fifo, what = self._fifo(id, exec_id), f"start a probe in {id[:12]}"
        with doing(what):
            output.open(await short(_make_fifo, fifo))
        spec = any_of(_PROCESS_TYPE, json.dumps(process).encode())
        request = ExecProcessRequest(container_id=id, exec_id=exec_id, stdout=str(fifo), stderr=str(fifo), spec=spec)
        try:
            await self._client.call(what, self._client.tasks.Exec, request, seconds=_START_SECONDS)
            start = StartRequest(container_id=id, exec_id=exec_id)
            await self._client.call(what, self._client.tasks.Start, start, seconds=_START_SECONDS)
        except HostFailed as error:
            raise cannot_run(error) from error

    def _fifo(self, id: str, exec_id: str) -> Path:
        """An exec's id is its own only within its container."""
        return self._directory / f"{id}-{exec_id}"

    async def _wait(self, id: str, exec_id: str) -> int:
        request = WaitRequest(container_id=id, exec_id=exec_id)
        reply = await self._client.call(f"wait for a probe in {id[:12]}", self._client.tasks.Wait, request, seconds=None)
        return reply.exit_status

    async def _see_off(self, starting: asyncio.Task[None], id: str, exec_id: str) -> None:
        """Reap what was started; where that takes long, in the background."""
        reaping = asyncio.create_task(self._reap_at_last(starting, id, exec_id), name=f"reap {exec_id}")
        self._background.add(reaping)
        reaping.add_done_callback(self._background.discard)
        await within(_REAP_SECONDS, asyncio.shield(reaping))

    async def _reap_at_last(self, starting: asyncio.Task[None], id: str, exec_id: str) -> None:
        await asyncio.gather(starting, return_exceptions=True)
        while True:
            try:
                return await self.reap(id, exec_id)
            except EngineError:
                await asyncio.sleep(_AGAIN_SECONDS)  # containerd is away, or the shim is dying


class _Output:
    """The reading end of a probe's FIFO. Keeps the first `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._fd = -1

    def open(self, fd: int) -> None:
        self._fd = fd
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _read(self) -> bool:
        """Take what is there, a piece of it; False when there is nothing."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        self._kept += data[: self._limit - len(self._kept)]
        return True

    def rest(self) -> bytes:
        """All that was kept, with what is still in the pipe."""
        while len(self._kept) < self._limit and self._read():
            pass
        return bytes(self._kept)

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)


def _make_fifo(path: Path) -> int:
    """Make it; a file descriptor that reads from it, and holds a writing end too: without a writer it would always be ready."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
