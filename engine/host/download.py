"""A file of the web, read as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
from yarl import URL

from engine.host.registry.client import open_session
from engine.host.registry.places import proxy_for
from engine.model.errors import Invalid, NotFound, Unavailable


class Source(NamedTuple):
    url: str
    size: int
    """Bytes; 0: not known."""
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Source]:
    """A file by its URL; `http://` where no scheme is given. Raises `Invalid`, `NotFound`, `Unavailable`."""
    try:
        url = URL(address if "://" in address else f"http://{address}")
    except ValueError as error:
        raise Invalid(f"{address!r} is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise Invalid(f"{address!r} is no URL that can be fetched", "give one that begins with http:// or https://")
    try:
        async with open_session() as session, session.get(url, proxy=proxy_for(url)) as answer:
            if answer.status >= 400:
                refusal = f"failed to GET {url} with status {answer.status} {answer.reason}"
                raise NotFound(refusal) if answer.status == 404 else Unavailable(refusal)
            yield Source(str(url), answer.content_length or 0, answer.content.iter_any())
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"cannot fetch {url}: {error}", "is the address right, and can this host reach it?") from error
