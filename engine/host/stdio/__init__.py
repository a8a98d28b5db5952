"""A container's output: FIFOs, the copier that turns them into a log, the keeper that holds them when no engine does.

    process ─ shim ─> FIFO ─ splice(2) ─> spool ─ encode ─> <id>-json.log ─> readers

`spool` says why nothing is lost or doubled when the engine is killed, `jsonlog` what is written, `copier` who does it.
All is below `<exec root>/stdio/<id>/`: `stdout`, `stderr`, the spools, and `cursor`, the note of the last append.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from engine.host.stdio.copier import Copier, Copy
from engine.host.stdio.keeping import Keeper
from engine.host.stdio.reader import Growth, read
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.interface import LogLine


class KernelStdio:
    """The port `Stdio` on the real kernel. Its thread starts with the first container."""

    def __init__(self, root: str, exec_root: str, *, patience: float = 2.0) -> None:
        """`patience`: seconds that `drop` waits for the end of output whose pipe a left-over process still holds open."""
        self._root = root
        self._dir = os.path.join(exec_root, "stdio")
        self._patience = patience
        self._open: dict[str, tuple[Copy, Growth]] = {}
        self._copier: Copier | None = None
        self._keeper = Keeper(os.path.join(self._dir, "keeper.sock"), self._tell_trouble)
        self._listeners: list[Callable[[str], None]] = []

    def paths(self, id: str) -> tuple[str, str]:
        directory = self._directory(id)
        return os.path.join(directory, "stdout"), os.path.join(directory, "stderr")

    def log_path(self, id: str) -> str:
        return os.path.join(self._root, "containers", id, f"{id}-json.log")

    async def make(self, id: str, log_path: str) -> None:
        """FIFOs made, kept and being copied to the log; the log's directory must be there.

        After a restart: taken up where the last engine stopped. Raises `HostFailed`.
        """
        with doing(f"make the pipes for the output of {id}"):
            await short(_make_fifos, self.paths(id))
        for path in self.paths(id):
            await self._keeper.hold(path)
        if id not in self._open:
            await self._take_up(id, log_path)

    async def drop(self, id: str, log_path: str) -> None:
        """Copy what is left, then close and remove the FIFOs.

        Raises `HostFailed` when the log cannot take it; then all is left as it was, and nothing is lost.
        """
        if id not in self._open and await short(_has_output, self.paths(id), log_path):
            await self._take_up(id, log_path)
        if id in self._open:
            copy, growth = self._open[id]
            await self._its_copier().finish(copy, self._patience)
            del self._open[id]
            growth.close()
        for path in self.paths(id):
            await self._keeper.drop(path)
        with doing(f"remove the pipes of {id}"):
            await short(_remove, self._directory(id))

    async def look(self, id: str) -> str | None:
        with doing(f"look at the pipes of {id}"):
            if not await short(_are_fifos, self.paths(id)):
                return None
        if id not in self._open:
            return "\n".join(f"{path}: a FIFO that nobody copies" for path in self.paths(id))
        copy, _ = self._open[id]
        waiting = await self._its_copier().ask(copy.waiting)
        lines = [f"{path}: a FIFO with {n} bytes waiting" for path, n in zip(self.paths(id), waiting, strict=True)]
        return "\n".join([*lines, copy.trouble or f"copied to {copy.log_path}"])

    async def read(self, id: str, *, follow: bool, tail: int | None) -> AsyncIterator[LogLine]:
        """The log, oldest first; with `follow` until the log is closed by `drop`. Empty where nothing was ever written."""
        _, growth = self._open.get(id, (None, None))
        with doing(f"read the log of {id}"):
            async with aclosing(read(self.log_path(id), growth if follow else None, tail)) as lines:
                async for line in lines:
                    yield line

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        """Be told, in the event loop, when output cannot be copied or kept (a sentence) and when it can again (empty)."""
        self._listeners.append(callback)

    async def close(self) -> None:
        """Stop copying; the next engine goes on. FIFOs and keeper stay."""
        if self._copier:
            await self._copier.close()
        await self._keeper.close()
        for _, growth in self._open.values():
            growth.close()
        self._open.clear()

    def _directory(self, id: str) -> str:
        return os.path.join(self._dir, id)

    def _its_copier(self) -> Copier:
        if self._copier is None:
            self._copier = Copier(self._tell_trouble)
        return self._copier

    async def _take_up(self, id: str, log_path: str) -> None:
        growth = Growth()
        with doing(f"copy the output of {id} to {log_path}"):
            copy = await short(Copy, self._directory(id), log_path, growth.grown)
        await self._its_copier().add(copy)
        self._open[id] = (copy, growth)

    def _tell_trouble(self) -> None:
        troubles = [copy.trouble for copy, _ in self._open.values()] + [self._keeper.trouble]
        for callback in self._listeners:
            callback("; ".join(filter(None, troubles)))


def _make_fifos(paths: tuple[str, str]) -> None:
    directory = os.path.dirname(paths[0])
    for parent in (os.path.dirname(directory), directory):
        os.makedirs(parent, mode=0o700, exist_ok=True)
    for path in paths:
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            if not _is_fifo(path):
                raise


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _are_fifos(paths: tuple[str, str]) -> bool:
    return all(map(_is_fifo, paths))


def _has_output(paths: tuple[str, str], log_path: str) -> bool:
    """Is there something to copy, and somewhere to copy it to?"""
    return _are_fifos(paths) and os.path.isdir(os.path.dirname(log_path))


def _remove(directory: str) -> None:
    """At one go: spools without their cursor would be written a second time."""
    removing = f"{directory}-removing"
    if os.path.isdir(removing):
        shutil.rmtree(removing)  # left by a crash
    try:
        os.rename(directory, removing)
    except FileNotFoundError:
        return
    shutil.rmtree(removing)
