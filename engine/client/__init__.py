"""The engine's interface over its socket: what the dashboard holds instead of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec

from engine.client.connection import part, stamp
from engine.client.files import Files
from engine.client.images import Images
from engine.client.networks import Networks
from engine.client.sessions import Sessions
from engine.model.container import Container, Probe
from engine.model.errors import EngineError
from engine.model.events import Message
from engine.model.frames import Frame
from engine.model.interface import NO_PARAMS, Done, LogLine, Params, Top
from engine.model.run import Move, Plan
from engine.model.world import ContainerRow


class Client(Images, Networks, Files, Sessions):
    """An engine behind a Unix socket. Errors are the engine's own; `Unavailable` when it is away.

    Nothing here reconnects: a stream that breaks raises `Unavailable`, and whoever holds it decides what to do.
    """

    async def watch(self) -> AsyncIterator[Frame]:
        async with aclosing(self._lines("/longshore/watch", Frame)) as frames:
            async for frame in frames:
                yield frame
        raise self._away("it has ended")

    async def do(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Done:
        return await self._post("/longshore/do", {"verb": verb, "target": target, "params": dict(params)}, Done)

    async def plan(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        return await self._post("/longshore/plan", {"verb": verb, "target": target, "params": dict(params)}, Plan)

    async def begin(self, verb: str, target: str = "", params: Params = NO_PARAMS) -> Plan:
        return await self._post("/longshore/begin", {"verb": verb, "target": target, "params": dict(params)}, Plan)

    async def advance(self, target: str, move: Move) -> Plan:
        return await self._post("/longshore/advance", {"target": target, "move": move}, Plan)

    async def steps(self, target: str) -> Plan:
        return await self._get(f"/longshore/steps/{part(target)}", Plan)

    async def inspect(self, target: str) -> Container:
        return await self._get(f"/longshore/containers/{part(target)}", Container)

    async def containers(self) -> list[ContainerRow]:
        return await self._get("/longshore/rows", list[ContainerRow])

    async def wait(self, target: str, condition: str = "not-running") -> int:
        return await self._get(f"/longshore/wait/{part(target)}", int, condition=condition)

    async def logs(
        self,
        target: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[LogLine]:
        asked = {
            "follow": "1" if follow else "",
            "tail": "" if tail is None else str(tail),
            "since": stamp(since),
            "until": stamp(until),
        }
        query = {name: value for name, value in asked.items() if value}
        async with aclosing(self._lines(f"/longshore/logs/{part(target)}", LogLine, **query)) as lines:
            async for line in lines:
                yield line

    async def top(self, target: str, arguments: str = "-ef") -> Top:
        return await self._get(f"/longshore/top/{part(target)}", Top, arguments=arguments)

    async def signal(self, target: str, pid: int, signal: str) -> None:
        await self._say("/longshore/signal", {"target": target, "pid": pid, "signal": signal})

    async def probe(self, target: str) -> Probe:
        return await self._post("/longshore/probe", {"target": target}, Probe)

    async def shutdown(self, *, containers: bool = False) -> None:
        """End the engine. `containers`: end and take down all that is its own too, the containers' records excepted."""
        await self._post("/longshore/shutdown", {"containers": containers}, dict[str, Any])

    # --- more of the Docker API --------------------------------------------------------------------------------------

    async def version(self) -> dict[str, Any]:
        return await self._get("/version", dict[str, Any])

    async def info(self) -> dict[str, Any]:
        return await self._get("/info", dict[str, Any])

    async def events(self, **query: str) -> AsyncIterator[Message]:
        """`GET /events`; `query`: since, until, filters, as in the Docker API."""
        async with aclosing(self._lines("/events", Message, **query)) as messages:
            async for message in messages:
                yield message

    async def containers_json(self, **query: str) -> list[dict[str, Any]]:
        """`GET /containers/json`; `query`: all, limit, filters, size, as in the Docker API."""
        return await self._get("/containers/json", list[dict[str, Any]], **query)

    async def container_json(self, target: str, **query: str) -> dict[str, Any]:
        """`GET /containers/x/json`; `query`: size."""
        return await self._get(f"/containers/{part(target)}/json", dict[str, Any], **query)

    async def stats(self, target: str) -> dict[str, Any]:
        """`GET /containers/x/stats`, one look: what was counted by now, and nothing to compare it with."""
        query = {"stream": "0", "one-shot": "1"}
        return await self._get(f"/containers/{part(target)}/stats", dict[str, Any], **query)

    async def create(self, body: dict[str, Any], name: str = "", platform: str = "") -> Done:
        """`POST /containers/create`. `platform`: what the image must be for. Raises `NotFound` where there is no such image."""
        asked = {"name": name, "platform": platform}
        query = {key: value for key, value in asked.items() if value}
        made = await self._post("/containers/create", body, dict[str, Any], **query)
        return Done(id=made["Id"], warnings=tuple(made["Warnings"]))

    async def arm(self, target: str, condition: str = "not-running") -> asyncio.Task[int]:
        """`wait` in two: once this has answered nothing is missed. The task's result is the exit code; cancel it to leave."""
        armed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def wait() -> int:
            async with self._request("POST", f"/containers/{part(target)}/wait", params={"condition": condition}) as answer:
                armed.set_result(None)
                told = msgspec.json.decode(await answer.read(), type=dict[str, Any])
            if error := told.get("Error"):
                raise EngineError(error["Message"])
            return int(told["StatusCode"])

        task = asyncio.create_task(wait())
        try:
            await asyncio.wait((armed, task), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not armed.done():
            await task  # it has failed
        return task
