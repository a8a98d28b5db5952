"""Streams: attach and exec."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec

from engine.client.connection import Connection, part
from engine.stream import Stream, take_over


class Sessions(Connection):
    async def attach(
        self,
        target: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        stream: bool = True,
        detach_keys: str = "",
    ) -> Stream:
        """Join a container's own streams. `logs`: what it has said first; `stream`: then what it says. It need not run yet.

        `detach_keys`: what leaves a terminal without ending it; empty: `ctrl-p,ctrl-q`.
        """
        asked = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "logs": logs, "stream": stream}
        query = {name: str(int(value)) for name, value in asked.items()} | {"detachKeys": detach_keys}
        return await take_over(self.path, f"/containers/{part(target)}/attach?{urlencode(query)}")

    async def resize(self, target: str, width: int, height: int) -> None:
        """Set the columns and rows of a container's terminal."""
        await self._say(f"/containers/{part(target)}/resize", w=str(width), h=str(height))

    async def exec_create(self, target: str, settings: dict[str, Any]) -> str:
        """Prepare one more process in a running container; its id. `settings`: the body of `POST /containers/x/exec`."""
        made: dict[str, str] = await self._post(f"/containers/{part(target)}/exec", settings, dict[str, str])
        return made["Id"]

    async def exec_start(
        self, exec_id: str, *, tty: bool = False, detach: bool = False, size: tuple[int, int] | None = None
    ) -> Stream | None:
        """Start it; its streams, or None when detached. `tty`: as it was created; `size`: columns and rows of its terminal."""
        asked: dict[str, Any] = {"Tty": tty, "Detach": detach}
        if size:
            asked["ConsoleSize"] = (size[1], size[0])
        if not detach:
            return await take_over(self.path, f"/exec/{part(exec_id)}/start", msgspec.json.encode(asked))
        await self._say(f"/exec/{part(exec_id)}/start", asked)
        return None

    async def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        """`GET /exec/x/json`: `Running`, `ExitCode` (None until it has ended), `Pid` and what it was created with."""
        return await self._get(f"/exec/{part(exec_id)}/json", dict[str, Any])

    async def exec_resize(self, exec_id: str, width: int, height: int) -> None:
        """Set the columns and rows of an exec's terminal."""
        await self._say(f"/exec/{part(exec_id)}/resize", w=str(width), h=str(height))
