"""The data root's records: `containers/<id>/config.v2.json` and `network/<id>.json`.

All saves go through one thread of their own: in order, never on the event loop, and never behind long work. Beside a busy
disk one takes 200 ms.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import msgspec

from engine.host import Facts
from engine.host.disk import (
    TEMPORARY,
    make_directories,
    make_directory,
    names,
    read_file,
    remove_file,
    remove_tree,
    sync_directory,
    write_file,
)
from engine.host.threads import long
from engine.host.tools import doing

CONTAINERS: Final = "containers"
RECORD: Final = "config.v2.json"
REMOVING: Final = "-removing"
DIRECTORY_MODE: Final = 0o710
FILE_MODE: Final = 0o600


class DiskRecords:
    """The port `Records` in Docker's on-disk layout."""

    def __init__(self, facts: Facts) -> None:
        self._root = facts.root
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="records")
        self.unreadable: dict[str, str] = {}
        """Records that `load` left out, by path, each with the reason. Nothing of them is touched."""

    async def save(self, kind: str, id: str, data: bytes, *, sync: bool = False) -> None:
        with doing(f"save the record of {id[:12]}"):
            await self._write(lambda: _save(self._path(kind, id), data, sync))

    async def load(self, kind: str) -> dict[str, bytes]:
        directory = os.path.join(self._root, kind)
        with doing(f"read the records in {directory}"):
            found = await self._write(lambda: _sweep(directory, kind))
            read = {id: await long(read_file, self._path(kind, id)) for id in found}
        return {id: data for id, data in read.items() if self._is_readable(self._path(kind, id), data)}

    async def forget(self, kind: str, id: str) -> None:
        directory = os.path.join(self._root, kind)
        with doing(f"remove the record of {id[:12]}"):
            if kind == CONTAINERS:
                await self._write(lambda: _retire(directory, id))
                await long(remove_tree, os.path.join(directory, id + REMOVING))
            else:
                await self._write(lambda: _unlink(self._path(kind, id)))

    def _path(self, kind: str, id: str) -> str:
        return os.path.join(self._root, kind, f"{id}/{RECORD}" if kind == CONTAINERS else f"{id}.json")

    def _is_readable(self, path: str, data: bytes) -> bool:
        try:
            msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except msgspec.MsgspecError as error:
            self.unreadable[path] = f"the record {path} cannot be read: {error}"
            return False
        return True

    async def _write(self, call: Callable[[], list[str] | None]) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(self._writer, call) or []


def _save(path: str, data: bytes, sync: bool) -> None:
    directory = os.path.dirname(path)
    make_directories(os.path.dirname(directory), DIRECTORY_MODE)
    made = make_directory(directory, DIRECTORY_MODE)
    try:
        write_file(path, data, FILE_MODE)
    except OSError:
        if made:
            with suppress(OSError):  # the first error is the one to tell
                os.rmdir(directory)
        raise
    if sync:
        sync_directory(directory)
        sync_directory(os.path.dirname(directory))


def _sweep(directory: str, kind: str) -> list[str]:
    """Remove what a crash left half made or half removed; the ids of the records that stay."""
    if kind != CONTAINERS:
        for name in names(directory):
            if name.endswith(TEMPORARY):
                remove_file(os.path.join(directory, name))
        return [name.removesuffix(".json") for name in names(directory) if name.endswith(".json")]
    ids = []
    for name in names(directory):
        own = os.path.join(directory, name)
        if name.endswith(REMOVING) or not os.path.exists(os.path.join(own, RECORD)):
            remove_tree(own)
            continue
        for file in names(own):
            if file.endswith(TEMPORARY):
                remove_file(os.path.join(own, file))
        ids.append(name)
    return ids


def _retire(directory: str, id: str) -> None:
    """The moment after which the container is gone for good: one rename, synced."""
    old, new = os.path.join(directory, id), os.path.join(directory, id + REMOVING)
    if os.path.exists(old):
        remove_tree(new)
        os.rename(old, new)
        sync_directory(directory)


def _unlink(path: str) -> None:
    if os.path.exists(path):
        remove_file(path)
        sync_directory(os.path.dirname(path))
