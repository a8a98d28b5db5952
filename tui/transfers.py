"""Images on their way belong to the dashboard, not to a screen: they go on while you look elsewhere, several at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from msgspec.structs import replace
from textual.worker import Worker

from engine.model.errors import EngineError, HostFailed
from tui.remote import Remote
from tui.view import transfers
from tui.view.scene import Notice
from tui.view.transfers import Transfer

if TYPE_CHECKING:
    from tui.app import LongshoreApp

TELL_SECONDS = 0.5
"""Between two paintings of the same transfers, at the least: bytes move faster than anybody reads."""
CHUNK = 1 << 20
"""Bytes that are gathered before they are written."""

Told = dict[str, Any]
Stream = AsyncIterator[Told]


class Transfers:
    def __init__(self, app: LongshoreApp) -> None:
        self._app = app
        self._all: dict[int, Transfer] = {}
        self._workers: dict[int, Worker[None]] = {}
        self._keys = count(1)
        self._due = False

    @property
    def running(self) -> list[Transfer]:
        return [transfer for transfer in self._all.values() if not transfer.error]

    def begin(self, verb: str, name: str, docker: str, stream: Stream) -> int:
        """Take what `stream` tells to its end; its number. What is told is an object of Docker's progress streams."""
        for old in [old for old in self._all.values() if old.error and (old.verb, old.name) == (verb, name)]:
            del self._all[old.key]
        key = next(self._keys)
        self._all[key] = Transfer(key=key, verb=verb, name=name, docker=docker)
        self._workers[key] = self._app.run_worker(self._run(key, stream), group="transfers")
        self._show()
        return key

    def end(self, key: int) -> None:
        """Give one up, or take one that has failed off the list."""
        transfer, worker = self._all.pop(key, None), self._workers.pop(key, None)
        if transfer and not transfer.error and worker:
            worker.cancel()
            kept = "; what has come is used when it is asked for again" if transfer.verb == "pull" else ""
            self._app.notice = Notice(command=transfer.docker, text=f"- the {transfer.verb} was given up{kept}", tone="warn")
        self._show()

    async def _run(self, key: int, stream: Stream) -> None:
        try:
            async with aclosing(cast("AsyncGenerator[Told, None]", stream)) as lines:
                async for told in lines:
                    self._all[key] = transfers.after(self._all[key], told)
                    self._soon()
        except (EngineError, OSError) as error:
            self._failed(key, str(error))
        else:
            done = self._all.pop(key)
            self._app.notice = Notice(command=done.docker, text=f"✔ {done.said or done.name}", tone="good")
        self._workers.pop(key, None)
        self._show()

    def _failed(self, key: int, why: str) -> None:
        failed = self._all[key] = replace(self._all[key], error=why)
        self._app.notice = Notice(command=failed.docker, text=f"✘ {why}", tone="bad")

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._app.set_timer(TELL_SECONDS, self._show)

    def _show(self) -> None:
        self._due = False
        self._app.show_transfers(tuple(self._all.values()))


async def load(engine: Remote, path: Path) -> Stream:
    """Bring in an archive. What the engine says of it comes at the end."""
    yield {"status": "the engine reads the archive"}
    said = await engine.images_load(str(path))
    yield {"status": "; ".join(said)}


async def save(engine: Remote, names: tuple[str, ...], path: Path) -> Stream:
    """Write an archive. There is no such file before it is whole. Raises `HostFailed` where it cannot be written."""
    partial = path.with_name(path.name + ".partial")
    try:
        file = await asyncio.to_thread(partial.open, "xb")
    except FileExistsError as error:
        raise HostFailed(f"cannot save to {path}: {partial} is there already", "remove it, or give another name") from error
    except OSError as error:
        raise HostFailed(f"cannot save to {path}: {error.strerror}", "give another name") from error
    moved = 0
    try:
        async for chunk in _gathered(engine.image_save(names)):
            await asyncio.to_thread(_write, file, chunk, path)
            moved += len(chunk)
            yield {"moved": moved}
        await asyncio.to_thread(_finish, file, partial, path)
    finally:
        await asyncio.to_thread(_drop, file, partial)
    yield {"status": f"saved in {path}"}


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Fewer and larger: each is a way to a thread and back."""
    held = bytearray()
    async with aclosing(cast("AsyncGenerator[bytes, None]", chunks)) as pieces:
        async for piece in pieces:
            held += piece
            if len(held) >= CHUNK:
                yield bytes(held)
                held.clear()
    yield bytes(held)


def _write(file: BinaryIO, chunk: bytes, path: Path) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise HostFailed(
            f"cannot write {path}: {error.strerror}", "nothing is left of it; make room, or save elsewhere"
        ) from error


def _finish(file: BinaryIO, partial: Path, path: Path) -> None:
    file.close()
    if path.exists():
        raise HostFailed(f"cannot save to {path}: there is such a file by now", "give another name")
    partial.rename(path)


def _drop(file: BinaryIO, partial: Path) -> None:
    file.close()
    partial.unlink(missing_ok=True)
