"""Exits: one `Wait` per task, armed before the process starts, is the truth about how it ends.

The shim answers a `Wait` also long after the exit, until the task is deleted, so a broken connection loses nothing: the
call is made again. The event stream only hints; where an event names a task whose `Wait` stays silent, we look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from engine.host import Exit
from engine.host.containerd.client import WORK_SECONDS, Client
from engine.host.containerd.proto.tasks_pb2 import ListTasksRequest, WaitRequest
from engine.host.containerd.proto.types_pb2 import STOPPED
from engine.model.errors import EngineError, NotFound

_AGAIN_SECONDS: Final = 0.1
_HINT_SECONDS: Final = 2.0
"""How long after an exit event the `Wait` may stay silent."""
_KILLED: Final = 137
_UNKNOWN: Final = 255


@dataclass(eq=False)
class _Watch:
    id: str
    pid: int
    """0: there was no such task when the wait was armed."""
    exit: asyncio.Future[Exit] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    call: asyncio.Task[None] | None = None


class Exits:
    """Who ended, and how. An exit is kept until the task's id is forgotten, so who asks late gets the same answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._watches: dict[str, _Watch] = {}
        self._callbacks: list[Callable[[str, Exit], None]] = []

    def on_exit(self, callback: Callable[[str, Exit], None]) -> None:
        self._callbacks.append(callback)

    def arm(self, id: str, pid: int) -> None:
        """Begin to wait for the task's exit. Once is enough."""
        if id not in self._watches:
            watch = self._watches[id] = _Watch(id, pid)
            watch.call = asyncio.create_task(self._wait(watch), name=f"wait {id[:12]}")

    def armed(self, id: str) -> bool:
        return id in self._watches

    def ended(self, id: str) -> bool:
        return (watch := self._watches.get(id)) is not None and watch.exit.done()

    async def wait(self, id: str) -> Exit:
        """The exit of an armed task. Raises `NotFound` when the task is forgotten before it ends."""
        return await asyncio.shield(self._watches[id].exit)

    def settle(self, id: str, exit: Exit) -> None:
        """The task has ended like this, as its deletion told."""
        if watch := self._watches.get(id):
            self._settle(watch, exit)

    def forget(self, id: str) -> None:
        """The id stands for another task from now on, or for none."""
        if watch := self._watches.pop(id, None):
            _stop(watch)
            if not watch.exit.done():
                watch.exit.set_exception(NotFound(f"cannot wait for {id[:12]}: its task was deleted before it started"))
                watch.exit.exception()  # nobody has to be waiting

    def hint(self, id: str) -> None:
        """An event says that this task has ended: its `Wait` should have said so very soon."""
        if (watch := self._watches.get(id)) and not watch.exit.done():
            asyncio.get_running_loop().call_later(_HINT_SECONDS, self._doubt, watch)

    async def check(self) -> None:
        """Settle what the list of tasks shows as stopped: exits of the time when nobody could hear of them."""
        watches = dict(self._watches)
        reply = await self._client.call("list the tasks", self._client.tasks.List, ListTasksRequest(), seconds=WORK_SECONDS)
        for task in reply.tasks:
            if task.status == STOPPED and (watch := watches.get(task.container_id)):
                self._settle(watch, exit_of(watch.pid, task.exit_status, task.exited_at))

    async def close(self) -> None:
        calls = [_stop(watch) for watch in self._watches.values()]
        await asyncio.gather(*filter(None, calls), return_exceptions=True)

    def _doubt(self, watch: _Watch) -> None:
        if not watch.exit.done():
            _stop(watch)
            watch.call = asyncio.create_task(self._wait(watch), name=f"wait {watch.id[:12]}")

    async def _wait(self, watch: _Watch) -> None:
        request = WaitRequest(container_id=watch.id)
        while True:
            try:
                reply = await self._client.call(f"wait for {watch.id[:12]}", self._client.tasks.Wait, request, seconds=None)
            except NotFound:
                status = _KILLED if watch.pid else _UNKNOWN
                self._settle(watch, Exit(pid=watch.pid, status=status, at=datetime.now(UTC), lost=True))
                return
            except EngineError:
                # containerd is away, or the shim is, and containerd is about to notice.
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._settle(watch, exit_of(watch.pid, reply.exit_status, reply.exited_at))
                return

    def _settle(self, watch: _Watch, exit: Exit) -> None:
        if watch.exit.done():
            return
        watch.exit.set_result(exit)
        for callback in self._callbacks:
            callback(watch.id, exit)
        _stop(watch)


def _stop(watch: _Watch) -> asyncio.Task[None] | None:
    if watch.call and watch.call is not asyncio.current_task():
        watch.call.cancel()
    return watch.call


def exit_of(pid: int, status: int, at: Timestamp) -> Exit:
    """containerd's words for an exit. A time before 1970 is Go's zero time: not known."""
    when = at.ToDatetime(UTC) if at.seconds > 0 else datetime.now(UTC)
    return Exit(pid=pid, status=status, at=when)
