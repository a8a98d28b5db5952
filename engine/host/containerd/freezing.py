"""Freeze and thaw a task, whatever has been done to its freezer from outside.

The shim keeps its own word for "paused" and does not see a freeze or thaw by file, so the freezer's file is written where
the two may differ. Pause and resume done twice are errors with a text only, so we look before we call. What was frozen from
outside is thawed by file before runc is asked to freeze or end it: runc refuses to freeze it again, and waits for ever on a
cgroup v1 that stays FREEZING, as when a program with threads is caught in execve(2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from engine.host import Freeze, Task
from engine.host.containerd.client import WORK_SECONDS, Client
from engine.host.containerd.proto.tasks_pb2 import PauseTaskRequest, ResumeTaskRequest
from engine.model.errors import HostFailed, NotFound

Write = Callable[[str], Awaitable[None]]


class Freezing:
    """`look` tells of a task as containerd sees it; `freezer` reads the kernel's file, `freeze` and `thaw` write it."""

    def __init__(
        self,
        client: Client,
        look: Callable[[str], Awaitable[Task | None]],
        freezer: Callable[[str], Awaitable[Freeze | None]],
        freeze: Write,
        thaw: Write,
    ) -> None:
        self._client = client
        self._look = look
        self._freezer = freezer
        self._freeze_file = freeze
        self._thaw_file = thaw

    async def pause(self, id: str) -> None:
        if await self._kernel_says(id) != "thawed":
            # The shim does not see what is done from outside, and runc hangs on a cgroup that is half frozen.
            task = await self._get(id)
            if task.status in ("paused", "pausing"):
                await self._freeze_file(id)
                return
            await self._thaw_file(id)
        request = PauseTaskRequest(container_id=id)
        try:
            await self._client.call(f"freeze {id[:12]}", self._client.tasks.Pause, request, seconds=WORK_SECONDS)
        except HostFailed:
            # Thawed from outside, the shim still calls it paused and refuses.
            if (await self._get(id)).status not in ("paused", "pausing"):
                raise
            await self._freeze_file(id)

    async def resume(self, id: str) -> None:
        if await self._kernel_says(id) != "frozen":
            task = await self._look(id)
            if task is None or task.status == "stopped":
                return
            if task.status not in ("paused", "pausing"):
                await self._thaw_file(id)
                return
        request = ResumeTaskRequest(container_id=id)
        try:
            await self._client.call(f"thaw {id[:12]}", self._client.tasks.Resume, request, seconds=WORK_SECONDS)
        except NotFound:
            await self._thaw_file(id)  # its shim and its task are gone; what is frozen cannot die of that
        except HostFailed:
            if (await self._get(id)).status not in ("paused", "pausing"):
                await self._thaw_file(id)  # frozen from outside: nothing to tell the shim
                return
            # Thawed from outside: runc refuses to thaw it. Frozen for a moment more, the shim's word comes right too.
            await self._freeze_file(id)
            await self._client.call(f"thaw {id[:12]}", self._client.tasks.Resume, request, seconds=WORK_SECONDS)

    async def _kernel_says(self, id: str) -> str:
        freeze = await self._freezer(id)
        return freeze.kernel if freeze else ""

    async def _get(self, id: str) -> Task:
        task = await self._look(id)
        if task is None:
            raise NotFound(f"cannot pause {id[:12]}: it has no task")
        return task
