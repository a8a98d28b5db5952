"""The connection to the engine's socket: a question, an answer, and streams of lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from engine.model.errors import EngineError, Unavailable
from engine.stream import refusal

T = TypeVar("T")

JSON = {"Content-Type": "application/json"}

CONNECT = 5.0
"""Seconds until a socket that does not answer counts as away. An answer itself may take as long as its operation."""


class Connection:
    """An engine behind a Unix socket. Nothing here reconnects."""

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
            async for line in split(answer.content):
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


async def split(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: a snapshot is longer than what `readline` takes."""
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        first, *rest = chunk.split(b"\n")
        parts.append(first)
        for piece in rest:
            if line := b"".join(parts).strip():
                yield line
            parts = [piece]


def part(name: str) -> str:
    """As one part of a path, whatever is in it."""
    return quote(name, safe="")


def stamp(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
