"""Images on their way belong to the dashboard, not to a screen: they go on while you look elsewhere, several at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from msgspec.structs import replace
from textual.worker import Worker

from engine import logins
from engine.model.errors import EngineError, HostFailed
from engine.model.registry import registry_of
from tui.remote import Remote
from tui.view import transfers
from tui.view.scene import Notice
from tui.view.transfers import Transfer

if TYPE_CHECKING:
    from tui.app import LongshoreApp

TELL_SECONDS = 0.5
"""Between two paintings of the same transfers, at the least: bytes move faster than anybody reads."""
CHUNK = 1 << 20
"""Bytes that are read and written at once: each is a way to a thread and back."""

Told = dict[str, Any]
Tell = Callable[[Told], None]
Work = Callable[[Tell], Awaitable[None]]
"""Does it all, and tells how it goes on in objects of Docker's progress streams, or `{"moved": bytes, "total": bytes}`."""


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

    def begin(self, verb: str, name: str, docker: str, work: Work) -> int:
        """Do it beside all else; its number."""
        for old in [old for old in self._all.values() if old.error and (old.verb, old.name) == (verb, name)]:
            del self._all[old.key]
        key = next(self._keys)
        self._all[key] = Transfer(key=key, verb=verb, name=name, docker=docker)
        self._workers[key] = self._app.run_worker(self._run(key, work), group="transfers")
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

    async def _run(self, key: int, work: Work) -> None:
        def tell(told: Told) -> None:
            if key in self._all:
                self._all[key] = transfers.after(self._all[key], told)
                self._soon()

        try:
            await work(tell)
        except (EngineError, OSError) as error:
            failed = self._all[key] = replace(self._all[key], error=str(error))
            self._app.notice = Notice(command=failed.docker, text=f"✘ {error}", tone="bad")
        else:
            done = self._all.pop(key)
            self._app.notice = Notice(command=done.docker, text=f"✔ {done.said or done.name}", tone="good")
        self._workers.pop(key, None)
        self._show()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._app.set_timer(TELL_SECONDS, self._show)

    def _show(self) -> None:
        self._due = False
        self._app.show_transfers(tuple(self._all.values()))


def pull(engine: Remote, name: str) -> Work:
    """With the logins of whoever sits here, as the docker command does it."""

    async def work(tell: Tell) -> None:
        await _all_told(engine.pull(name, credentials=await logins.from_file(registry_of(name))), tell)

    return work


def push(engine: Remote, name: str) -> Work:
    async def work(tell: Tell) -> None:
        await _all_told(engine.push(name, credentials=await logins.from_file(registry_of(name))), tell)

    return work


def load(engine: Remote, path: Path) -> Work:
    """Bring in an archive. Raises `HostFailed` where it cannot be read."""

    async def work(tell: Tell) -> None:
        try:
            file, total = await asyncio.to_thread(lambda: (path.open("rb"), path.stat().st_size))
        except OSError as error:
            raise HostFailed(f"cannot read {path}: {error.strerror}", "give an archive that docker save has written") from error
        with file:
            await _all_told(engine.image_load(_read(file, total, tell)), tell)

    return work


def save(engine: Remote, names: tuple[str, ...], path: Path) -> Work:
    """Write an archive. There is no such file before it is whole. Raises `HostFailed` where it cannot be written."""

    async def work(tell: Tell) -> None:
        partial = path.with_name(path.name + ".partial")
        try:
            file = await asyncio.to_thread(_create, partial)
        except FileExistsError as error:
            raise HostFailed(f"cannot save to {path}: {partial} is there already", "remove it, or give another name") from error
        except OSError as error:
            raise HostFailed(f"cannot save to {path}: {error.strerror}", "give another name") from error
        moved = 0
        try:
            async for chunk in _gathered(engine.image_save(names)):
                await asyncio.to_thread(_write, file, chunk, path)
                moved += len(chunk)
                tell({"moved": moved})
            await asyncio.to_thread(_finish, file, partial, path)
        finally:
            await asyncio.to_thread(_drop, file, partial)
        tell({"status": f"saved in {path}"})

    return work


async def _all_told(stream: AsyncIterator[Told], tell: Tell) -> None:
    async with aclosing(cast("AsyncGenerator[Told, None]", stream)) as lines:
        async for told in lines:
            tell(told)


async def _read(file: BinaryIO, total: int, tell: Tell) -> AsyncIterator[bytes]:
    moved = 0
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk
        moved += len(chunk)
        tell({"moved": moved, "total": total})


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held = bytearray()
    async with aclosing(cast("AsyncGenerator[bytes, None]", chunks)) as pieces:
        async for piece in pieces:
            held += piece
            if len(held) >= CHUNK:
                yield bytes(held)
                held.clear()
    yield bytes(held)


def _create(path: Path) -> BinaryIO:
    """Nobody else's to read: an image may hold what is secret."""
    return open(path, "xb", opener=lambda path, flags: os.open(path, flags, 0o600))


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
