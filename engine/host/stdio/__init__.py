"""A process's streams: FIFOs, the copier that turns a container's output into a log, the keeper that holds its pipes when
no engine does, and who is attached.

    process ─ shim ─> FIFO ─ splice(2) ─> spool ─┬─ encode ─> log ─> readers
                                                 └─> attached clients ─> FIFO ─ shim ─> process

`spool` says why nothing is lost or doubled when the engine is killed, `copying` and `copier` who does it, `rotation` how a log
is several files, `channel` what a client is. All is below `<exec root>/stdio/<id>/`: the FIFOs, the spools, `cursor`, the note
of the last append, and `output`, the note of what was asked for. The streams of an exec are `execs`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import NamedTuple
from weakref import WeakSet, WeakValueDictionary

from engine.host import Channel, ExecStreams, LogQuery, Output, Pipes
from engine.host.stdio import place
from engine.host.stdio.channel import Console
from engine.host.stdio.copier import Copier
from engine.host.stdio.copying import STREAMS, Copy
from engine.host.stdio.execs import Exec
from engine.host.stdio.keeping import Keeper
from engine.host.stdio.logfile import FORMATS, Log
from engine.host.stdio.place import Note
from engine.host.stdio.reader import Growth, Reader
from engine.host.stdio.rotation import LogFiles
from engine.host.threads import long, short
from engine.host.tools import doing
from engine.model.interface import LogLine
from engine.spec.logs import JSON_FILE, LOCAL, check_readable, settings


class _Open(NamedTuple):
    copy: Copy
    growth: Growth


class KernelStdio:
    """The port `Stdio` on the real kernel. Its thread starts with the first container."""

    def __init__(self, root: str, exec_root: str, *, patience: float = 2.0) -> None:
        """`patience`: seconds of silence to wait for the end of output whose pipe a left-over process still holds open."""
        self._root = root
        self._dir = os.path.join(exec_root, "stdio")
        self._exec_dir = os.path.join(exec_root, "execs")
        self._patience = patience
        self._open: dict[str, _Open] = {}
        self._consoles: dict[str, Console] = {}
        self._execs: WeakSet[Exec] = WeakSet()
        self._files: WeakValueDictionary[str, LogFiles] = WeakValueDictionary()
        self._copier: Copier | None = None
        self._keeper = Keeper(os.path.join(self._dir, "keeper.sock"), self._tell_trouble)
        self._listeners: list[Callable[[str], None]] = []

    def pipes(self, id: str, output: Output) -> Pipes:
        return place.pipes(self._directory(id), stdin=output.stdin, terminal=output.terminal)

    def log_path(self, id: str, driver: str = JSON_FILE) -> str:
        names = {JSON_FILE: f"{id}-json.log", LOCAL: "local-logs/container.log"}
        return os.path.join(self._root, "containers", id, names[driver]) if driver in names else ""

    async def make(self, id: str, output: Output) -> None:
        """See `Stdio.make`; the container's directory must be there. Raises `HostFailed`."""
        with doing(f"make the pipes of {id}"):
            note = await short(place.make, self._directory(id), output)
        for path in self._outputs(id, note):
            await self._keeper.hold(path)
        if id not in self._open:
            try:
                await self._take_up(id, note)
            finally:
                self._forget_idle(id)

    async def drain(self, id: str) -> None:
        """See `Stdio.drain`. Raises `HostFailed` when the log cannot take what is left."""
        if id in self._open:
            await self._its_copier().drain(self._open[id].copy, self._patience)

    async def drop(self, id: str) -> None:
        """See `Stdio.drop`. Raises `HostFailed` when the log cannot take what is left; then all is left as it was."""
        note = await short(place.read_note, self._directory(id)) or Note()
        if id not in self._open and await short(self._has_output, id, note):
            await self._take_up(id, note)
        if id in self._open:
            copy, growth = self._open[id]
            await self._its_copier().drain(copy, self._patience, close=True)
            del self._open[id]
            growth.close()
            if copy.log:
                await long(copy.log.files.stop_packing)
        if console := self._consoles.pop(id, None):
            console.end()
        for path in self._outputs(id, note):
            await self._keeper.drop(path)
        with doing(f"remove the pipes of {id}"):
            await short(place.remove, self._directory(id))

    async def look(self, id: str) -> str | None:
        with doing(f"look at the pipes of {id}"):
            note = await short(place.read_note, self._directory(id)) or Note()
            pipes = self.pipes(id, note.output)
            if not await short(lambda: all(map(place.is_fifo, place.paths(pipes)))):
                return None
        lines = [f"{pipes.stdin}: a FIFO"] if pipes.stdin else []
        outputs = self._outputs(id, note)
        if id not in self._open:
            return "\n".join([*lines, *(f"{path}: a FIFO that nobody copies" for path in outputs)])
        copy, _ = self._open[id]
        waiting = await self._its_copier().ask(copy.waiting)
        lines += [f"{path}: a FIFO with {n} bytes waiting" for path, n in zip(outputs, waiting, strict=True)]
        return "\n".join([*lines, copy.trouble or f"copied to {copy.target}"])

    async def read(self, id: str, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        """See `Stdio.read`. Raises `NotBuilt` for a driver that keeps nothing. Empty where nothing was ever written."""
        check_readable(query.driver)
        growth = self._open[id].growth if query.follow and id in self._open else None
        with doing(f"read the log of {id}"):
            files = self._log_files(self.log_path(id, query.driver))
            async with aclosing(Reader(files, FORMATS[query.driver], growth, query).lines()) as lines:
                async for line in lines:
                    yield line

    def attach(self, id: str) -> Channel:
        return self._console(id).attach()

    async def close_stdin(self, id: str) -> None:
        """See `Stdio.close_stdin`. Before `make` it never is opened; the next engine will not open it again."""
        if console := self._consoles.get(id):
            console.stdin.close()
        with doing(f"note that the standard input of {id} is closed"):
            await short(place.note_stdin_closed, self._directory(id))

    async def open_exec(self, id: str, exec_id: str, *, stdin: bool, terminal: bool) -> ExecStreams:
        """See `Stdio.open_exec`. Raises `HostFailed`."""
        directory = os.path.join(self._exec_dir, f"{id}-{exec_id}")
        pipes = place.pipes(directory, stdin=stdin, terminal=terminal)
        with doing(f"make the pipes of {exec_id}"):
            await short(place.make_fifos, pipes)
            streams = Exec(directory, pipes)
        self._execs.add(streams)
        return streams

    async def execs(self) -> list[tuple[str, str]]:
        with doing("look for the pipes of execs"):
            names = await short(place.names, self._exec_dir)
        return [(id, exec_id) for id, _, exec_id in (name.partition("-") for name in names)]

    def on_trouble(self, callback: Callable[[str], None]) -> None:
        """Be told, in the event loop, when output cannot be copied or kept (a sentence) and when it can again (empty)."""
        self._listeners.append(callback)

    async def close(self) -> None:
        """Stop copying; the next engine goes on. FIFOs and keeper stay."""
        if self._copier:
            await self._copier.close()
        await self._keeper.close()
        for copy, growth in self._open.values():
            growth.close()
            if copy.log:
                await long(copy.log.files.stop_packing)
        for console in self._consoles.values():
            console.end()
        for streams in self._execs:
            streams.let_go()
        self._open.clear()
        self._consoles.clear()

    def _directory(self, id: str) -> str:
        return os.path.join(self._dir, id)

    def _outputs(self, id: str, note: Note) -> list[str]:
        """The FIFOs that the process writes to."""
        pipes = self.pipes(id, note.output)
        return [path for path in (pipes.stdout, pipes.stderr) if path]

    def _log_files(self, path: str) -> LogFiles:
        files = self._files.get(path)
        if files is None:
            files = self._files[path] = LogFiles(path)
        return files

    def _console(self, id: str) -> Console:
        if id not in self._consoles:
            self._consoles[id] = Console(lambda: self._forget_idle(id))
        return self._consoles[id]

    def _forget_idle(self, id: str) -> None:
        if id not in self._open and id in self._consoles and not self._consoles[id].audience.channels:
            del self._consoles[id]

    def _its_copier(self) -> Copier:
        if self._copier is None:
            self._copier = Copier(self._tell_trouble)
        return self._copier

    async def _take_up(self, id: str, note: Note) -> None:
        growth, console = Growth(), self._console(id)
        output, pipes = note.output, self.pipes(id, note.output)
        with doing(f"copy the output of {id}"):
            copy = await short(self._make_copy, id, output, console, growth)
            await self._its_copier().add(copy)
            self._open[id] = _Open(copy, growth)
            if pipes.stdin and not note.stdin_closed:
                console.stdin.open(pipes.stdin)
            else:
                console.stdin.close()

    def _make_copy(self, id: str, output: Output, console: Console, growth: Growth) -> Copy:
        log = None
        if path := self.log_path(id, output.driver):
            if output.driver == LOCAL:
                with suppress(FileExistsError):
                    os.mkdir(os.path.dirname(path), 0o700)
            log = Log(self._log_files(path), output)
        streams = STREAMS[:1] if output.terminal else STREAMS
        buffer = settings(output.driver, output.options).buffer
        return Copy(self._directory(id), streams, log, console.audience, growth.grown, buffer)

    def _has_output(self, id: str, note: Note) -> bool:
        """Is there something to copy, and somewhere to copy it to?"""
        there = os.path.isdir(os.path.join(self._root, "containers", id))
        return there and all(map(place.is_fifo, self._outputs(id, note)))

    def _tell_trouble(self) -> None:
        troubles = [copy.trouble for copy, _ in self._open.values()] + [self._keeper.trouble]
        for callback in self._listeners:
            callback("; ".join(filter(None, troubles)))
