"""The standard streams of a process, at the shim's end: an input to close, a terminal's size."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from engine.host.containerd.client import Client
from engine.host.containerd.execs import Execs
from engine.host.containerd.exits import Exits
from engine.host.containerd.proto.tasks_pb2 import CloseIORequest, ResizePtyRequest
from engine.model.errors import HostFailed, NotFound


class Streams:
    """Of inits and of execs."""

    def __init__(self, client: Client, exits: Exits, execs: Execs) -> None:
        self._client = client
        self._exits = exits
        self._execs = execs
        self._making: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        """For those who wait for a task that is not there yet."""

    def made(self, id: str) -> None:
        """The task is there now."""
        if event := self._making.pop(id, None):
            event.set()

    async def close_stdin(self, id: str, exec_id: str) -> None:
        """See `engine.host.Tasks.close_stdin`. Waits for a process that is not there yet; who gives up is cancelled."""
        if exec_id:
            await self._execs.begun(id, exec_id)
            await self._execs.started(id, exec_id)  # before that the shim has nothing to close, and says that all is well
        request = CloseIORequest(container_id=id, exec_id=exec_id, stdin=True)
        while True:
            made = self._making.setdefault(id, asyncio.Event())
            try:
                await self._client.call(f"close the standard input of {id[:12]}", self._client.tasks.CloseIO, request)
                return
            except NotFound:
                if exec_id or self._exits.armed(id):
                    return  # it has ended
            except HostFailed as error:  # the shim's word for an exec that it does not know has no code
                if "not found" not in error.message:
                    raise
                return
            await made.wait()

    async def resize(self, id: str, exec_id: str, width: int, height: int) -> None:
        """See `engine.host.Tasks.resize`."""
        doing = f"set the terminal's size of {id[:12]}"
        gone = NotFound(f"cannot {doing}: the process has ended")
        if not exec_id and self._exits.ended(id):
            raise gone  # the shim keeps the terminal until the task is deleted, and would say that all is well
        await self._execs.started(id, exec_id)
        request = ResizePtyRequest(container_id=id, exec_id=exec_id, width=width, height=height)
        try:
            await self._client.call(doing, self._client.tasks.ResizePty, request)
        except HostFailed as error:
            if "cannot resize a" not in error.message:
                raise
            raise gone from error
