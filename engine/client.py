"""The engine's interface over its socket: what the dashboard holds instead of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from engine.model.container import Container, Probe
from engine.model.errors import EngineError, HostFailed, Unavailable
from engine.model.events import Message
from engine.model.frames import Frame
from engine.model.image import Image
from engine.model.interface import NO_PARAMS, Done, LogLine, Params, Top
from engine.model.run import Move, Plan
from engine.model.tree import Change, Comparison, Content, Listing, Stack
from engine.model.world import ContainerRow
from engine.stream import Stream, refusal, take_over

T = TypeVar("T")

JSON = {"Content-Type": "application/json"}

CONNECT = 5.0
"""Seconds until a socket that does not answer counts as away. An answer itself may take as long as its operation."""


class Client:
    """An engine behind a Unix socket. Errors are the engine's own; `Unavailable` when it is away.

    Nothing here reconnects: a stream that breaks raises `Unavailable`, and whoever holds it decides what to do.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()
            self._opened = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *ended: object) -> None:
        await self.close()

    # --- the interface -----------------------------------------------------------------------------------------------

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
        return await self._get(f"/longshore/steps/{_part(target)}", Plan)

    async def inspect(self, target: str) -> Container:
        return await self._get(f"/longshore/containers/{_part(target)}", Container)

    async def containers(self) -> list[ContainerRow]:
        return await self._get("/longshore/rows", list[ContainerRow])

    async def images(self) -> list[Image]:
        return await self._get("/longshore/images", list[Image])

    async def wait(self, target: str, condition: str = "not-running") -> int:
        return await self._get(f"/longshore/wait/{_part(target)}", int, condition=condition)

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
            "since": _time(since),
            "until": _time(until),
        }
        query = {name: value for name, value in asked.items() if value}
        async with aclosing(self._lines(f"/longshore/logs/{_part(target)}", LogLine, **query)) as lines:
            async for line in lines:
                yield line

    async def top(self, target: str, arguments: str = "-ef") -> Top:
        return await self._get(f"/longshore/top/{_part(target)}", Top, arguments=arguments)

    async def signal(self, target: str, pid: int, signal: str) -> None:
        await self._say("/longshore/signal", {"target": target, "pid": pid, "signal": signal})

    async def probe(self, target: str) -> Probe:
        return await self._post("/longshore/probe", {"target": target}, Probe)

    # --- layers and files --------------------------------------------------------------------------------------------

    async def stack(self, target: str) -> Stack:
        return await self._get("/longshore/tree/stack", Stack, target=target)

    async def listing(self, target: str, path: str = "/") -> Listing:
        return await self._get("/longshore/tree/listing", Listing, target=target, path=path)

    async def content(self, target: str, path: str) -> Content:
        return await self._get("/longshore/tree/content", Content, target=target, path=path)

    async def changes(self, target: str) -> tuple[Change, ...]:
        return await self._get("/longshore/tree/changes", tuple[Change, ...], target=target)

    async def compare(self, first: str, second: str) -> Comparison:
        return await self._get("/longshore/tree/compare", Comparison, first=first, second=second)

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
        return await self._get(f"/containers/{_part(target)}/json", dict[str, Any], **query)

    async def image_json(self, name: str) -> dict[str, Any]:
        """`GET /images/x/json`."""
        return await self._get(f"/images/{_part(name)}/json", dict[str, Any])

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
            async with self._request("POST", f"/containers/{_part(target)}/wait", params={"condition": condition}) as answer:
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

    async def pull(self, reference: str, platform: str = "") -> AsyncIterator[dict[str, Any]]:
        """`POST /images/create`: fetch an image; what the engine says of its progress. Raises `EngineError` when it fails."""
        name, _, tag = reference.partition("@") if "@" in reference else reference.rpartition(":")
        query = {"fromImage": name, "tag": tag} | ({"platform": platform} if platform else {})
        async with self._request("POST", "/images/create", params=query) as answer:
            async for line in _split(answer.content):
                told = msgspec.json.decode(line, type=dict[str, Any])
                if "error" in told:
                    raise EngineError(told["error"])
                yield told

    async def images_load(self, path: str) -> list[str]:
        """Load a `docker save` archive; the lines the engine says. Raises `EngineError` for one that is none."""
        try:
            archive = open(path, "rb")  # noqa: ASYNC230, SIM115 - a local file; read in pieces by the upload
        except OSError as error:
            raise HostFailed(f"cannot read {path}: {error.strerror}", "give an archive made by docker save") from error
        with archive:
            headers = {"Content-Type": "application/x-tar"}
            async with self._request("POST", "/images/load", data=archive, headers=headers) as answer:
                said = [msgspec.json.decode(line, type=dict[str, Any]) async for line in _split(answer.content)]
        if broken := next((line["error"] for line in said if "error" in line), ""):
            raise EngineError(broken)
        return [line["stream"].strip() for line in said if "stream" in line]

    # --- streams -----------------------------------------------------------------------------------------------------

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
        return await take_over(self.path, f"/containers/{_part(target)}/attach?{urlencode(query)}")

    async def resize(self, target: str, width: int, height: int) -> None:
        """Set the columns and rows of a container's terminal."""
        await self._say(f"/containers/{_part(target)}/resize", w=str(width), h=str(height))

    async def exec_create(self, target: str, settings: dict[str, Any]) -> str:
        """Prepare one more process in a running container; its id. `settings`: the body of `POST /containers/x/exec`."""
        made: dict[str, str] = await self._post(f"/containers/{_part(target)}/exec", settings, dict[str, str])
        return made["Id"]

    async def exec_start(
        self, exec_id: str, *, tty: bool = False, detach: bool = False, size: tuple[int, int] | None = None
    ) -> Stream | None:
        """Start it; its streams, or None when detached. `tty`: as it was created; `size`: columns and rows of its terminal."""
        asked: dict[str, Any] = {"Tty": tty, "Detach": detach}
        if size:
            asked["ConsoleSize"] = (size[1], size[0])
        if not detach:
            return await take_over(self.path, f"/exec/{_part(exec_id)}/start", msgspec.json.encode(asked))
        await self._say(f"/exec/{_part(exec_id)}/start", asked)
        return None

    async def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        """`GET /exec/x/json`: `Running`, `ExitCode` (None until it has ended), `Pid` and what it was created with."""
        return await self._get(f"/exec/{_part(exec_id)}/json", dict[str, Any])

    async def exec_resize(self, exec_id: str, width: int, height: int) -> None:
        """Set the columns and rows of an exec's terminal."""
        await self._say(f"/exec/{_part(exec_id)}/resize", w=str(width), h=str(height))

    # --- the wire ----------------------------------------------------------------------------------------------------

    async def _get(self, path: str, kind: type[T], /, **query: str) -> T:
        async with self._request("GET", path, params=query) as answer:
            return msgspec.json.decode(await answer.read(), type=kind)

    async def _post(self, path: str, value: Any, kind: type[T], **query: str) -> T:
        async with self._request("POST", path, params=query, data=msgspec.json.encode(value), headers=JSON) as answer:
            return msgspec.json.decode(await answer.read(), type=kind)

    async def _say(self, path: str, value: Any = None, **query: str) -> None:
        """A POST whose answer is only that it was done."""
        async with self._request("POST", path, params=query, data=msgspec.json.encode(value), headers=JSON):
            return

    async def _lines(self, path: str, kind: Any, **query: str) -> AsyncGenerator[Any, None]:
        decoder = msgspec.json.Decoder(kind)
        async with self._request("GET", path, params=query) as answer:
            async for line in _split(answer.content):
                yield decoder.decode(line)

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and turn what is no success into the engine's error."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                "http://longshore",
                connector=aiohttp.UnixConnector(self.path, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            )
        try:
            async with self._opened.request(method, path, **options) as answer:
                if answer.status >= 300:
                    raise refusal(answer.status, await answer.read())
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise self._away(str(error)) from error
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise EngineError(f"cannot understand the engine at {self.path}: {error}", "is it of the same version?") from error

    def _away(self, why: str) -> Unavailable:
        return Unavailable(f"cannot reach the engine at {self.path}: {why}", "start it with longshored")


async def _split(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: a snapshot is longer than what `readline` takes."""
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        first, *rest = chunk.split(b"\n")
        parts.append(first)
        for piece in rest:
            if line := b"".join(parts).strip():
                yield line
            parts = [piece]


def _part(name: str) -> str:
    """As one part of a path, whatever is in it."""
    return quote(name, safe="")


def _time(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
