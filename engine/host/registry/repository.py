"""One repository: manifests, blobs in and out, over the first of its registry's addresses that answers."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from engine import logins
from engine.host.distribution import Credentials, Descriptor, Manifest, Part, Platform
from engine.host.registry import manifest as manifests
from engine.host.registry.client import BACKOFF, Cut, Endpoint, bounded, pause
from engine.host.registry.parts import CHUNK, Growing, Parts
from engine.host.registry.places import Place
from engine.model.errors import EngineError, Invalid, Unavailable
from engine.spec.references import Reference

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_TAGS: Final = 16 << 20
"""Bytes of one page of tags."""
MAX_PAGES: Final = 1000
PINGS: Final = 2
"""Further tries to find a registry that does not answer at all."""


class _Tags(Struct):
    tags: tuple[str, ...] | None = None


class RemoteRepository:
    """The port `Repository`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        parts: Parts,
        places: list[Place],
        reference: Reference,
        credentials: Credentials | None,
        *,
        push: bool,
    ) -> None:
        self._session, self._parts = session, parts
        self._places = places
        self._reference, self._credentials = reference, credentials
        self._scope = f"repository:{reference.path}:{'pull,push' if push else 'pull'}"
        self._endpoint: Endpoint | None = None
        self._reaching = asyncio.Lock()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def manifest(self, reference: str, platform: Platform) -> Manifest:
        data, media_type = await self._ask(partial(self._manifest, reference))
        digest = manifests.digest_of(data)
        if ":" in reference and digest != reference:
            raise Invalid(f"manifest verification failed for digest {reference}: other bytes came")
        found = manifests.read(data, media_type)
        if isinstance(found, manifests.Index):
            entry = manifests.choose(found, platform)
            data, media_type = await self._ask(partial(self._manifest, entry.digest))
            if manifests.digest_of(data) != entry.digest:
                raise Invalid(f"manifest verification failed for digest {entry.digest}: other bytes came")
            found = manifests.read(data, media_type)
        if isinstance(found, manifests.Index):
            raise Invalid("its manifest list leads to another manifest list")
        return Manifest(digest=digest, config=found.config, layers=found.layers)

    async def tags(self) -> tuple[str, ...]:
        found: list[str] = []
        path = "tags/list?n=1000"
        for _ in range(MAX_PAGES):
            listed, path = await self._ask(partial(self._tags, path))
            found += listed
            if not path:
                break
        return tuple(found)

    async def config(self, blob: Descriptor) -> bytes:
        data = await self._ask(partial(self._small, blob))
        if manifests.digest_of(data) != blob.digest:
            raise Invalid(f"image config verification failed for digest {blob.digest}: other bytes came")
        return data

    def blob(self, blob: Descriptor, report: Callable[[int], None]) -> AbstractAsyncContextManager[Part]:
        return self._parts.hold(blob, self._bring, report)

    async def has(self, digest: str) -> Descriptor | None:
        return await self._ask(partial(self._has, digest))

    # --- writing -----------------------------------------------------------------------------------------------------

    async def mount(self, digest: str, source: str) -> Descriptor | None:
        async def ask(endpoint: Endpoint) -> bool:
            endpoint.login.widen(f"repository:{source}:pull")
            url = self._url(endpoint, f"blobs/uploads/?mount={digest}&from={quote(source)}")
            async with endpoint.request("POST", url, (201, 202)) as answer:
                if answer.status == 201:
                    return True
                begun = _location(answer)
            with suppress(EngineError):  # it would end by itself, later
                async with endpoint.request("DELETE", begun, (204, 404, 405)):
                    pass
            return False

        return await self.has(digest) if await self._ask(ask) else None

    async def upload(self, chunks: Callable[[], AsyncIterator[bytes]], media_type: str) -> Descriptor:
        return await self._ask(partial(self._upload, chunks, media_type))

    async def put_manifest(self, reference: str, data: bytes, media_type: str) -> str:
        async def ask(endpoint: Endpoint) -> None:
            url = self._url(endpoint, f"manifests/{reference}")
            async with endpoint.request("PUT", url, (201, 202), {"Content-Type": media_type}, lambda: data):
                pass

        await self._ask(ask)
        return manifests.digest_of(data)

    # --- where it is -------------------------------------------------------------------------------------------------

    async def _ask(self, work: Callable[[Endpoint], Awaitable[T]]) -> T:
        """Do it at the registry; again after a cut, and elsewhere when it was only a mirror."""
        while True:
            endpoint = await self._reach()
            try:
                return await again(partial(work, endpoint), len(BACKOFF))
            except EngineError as error:
                if not endpoint.place.mirror:
                    raise
                log.info("the mirror %s does not do for %s: %s", endpoint.place.url, self._reference.familiar, error)
                if self._endpoint is endpoint:
                    self._endpoint = None

    async def _reach(self) -> Endpoint:
        """The first address that answers."""
        async with self._reaching:
            if self._credentials is None:
                self._credentials = await logins.from_file(self._reference.domain)
            while self._endpoint is None:
                if not self._places:
                    raise Unavailable(f"no registry for {self._reference.name} answers")
                place = self._places.pop(0)
                endpoint = Endpoint(self._session, place, Credentials() if place.mirror else self._credentials, (self._scope,))
                try:
                    await again(endpoint.ping, 0 if self._places else PINGS)
                    self._endpoint = endpoint
                except EngineError as error:
                    if not self._places:
                        raise
                    log.debug("%s: %s; trying %s", place.url, error, self._places[0].url)
            return self._endpoint

    def _url(self, endpoint: Endpoint, path: str) -> URL:
        return endpoint.url(f"{self._reference.path}/{path}")

    # --- one request -------------------------------------------------------------------------------------------------

    async def _manifest(self, reference: str, endpoint: Endpoint) -> tuple[bytes, str]:
        url = self._url(endpoint, f"manifests/{reference}")
        async with endpoint.request("GET", url, headers={"Accept": manifests.ACCEPT}) as answer:
            return await bounded(answer, manifests.MAX_MANIFEST), answer.headers.get("Content-Type", "")

    async def _small(self, blob: Descriptor, endpoint: Endpoint) -> bytes:
        async with endpoint.request("GET", self._url(endpoint, f"blobs/{blob.digest}")) as answer:
            return await bounded(answer, blob.size)

    async def _tags(self, path: str, endpoint: Endpoint) -> tuple[tuple[str, ...], str]:
        """One page, and the path of the next."""
        async with endpoint.request("GET", self._url(endpoint, path)) as answer:
            data = await bounded(answer, MAX_TAGS)
            after = next((link["url"] for relation, link in answer.links.items() if relation == "next"), None)
        try:
            tags = msgspec.json.decode(data, type=_Tags).tags or ()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Invalid(f"the registry's list of tags cannot be read: {error}") from error
        return tags, f"tags/list?{URL(str(after)).raw_query_string}" if after else ""

    async def _has(self, digest: str, endpoint: Endpoint) -> Descriptor | None:
        async with endpoint.request("HEAD", self._url(endpoint, f"blobs/{digest}"), (200, 404)) as answer:
            size = answer.headers.get("Content-Length", "")
            return Descriptor(size=int(size), digest=digest) if answer.status == 200 and size.isdecimal() else None

    async def _bring(self, growing: Growing) -> None:
        """Fetch what is missing of a blob. A cut counts as a failed try only when nothing has come."""
        tries = 0
        while not growing.whole:
            before = growing.have
            try:
                await self._ask_once(partial(self._pour, growing))
            except Cut as cut:
                tries = 0 if growing.have > before else tries
                if tries == len(BACKOFF):
                    raise
                await pause(tries, cut.wait)
                tries += 1

    async def _ask_once(self, work: Callable[[Endpoint], Awaitable[None]]) -> None:
        endpoint = await self._reach()
        try:
            await work(endpoint)
        except EngineError as error:
            if not endpoint.place.mirror or isinstance(error, Cut):
                raise
            self._endpoint = None if self._endpoint is endpoint else self._endpoint
            raise Cut(f"the mirror {endpoint.place.url} does not do: {error}") from error

    async def _pour(self, growing: Growing, endpoint: Endpoint) -> None:
        """Read as much of a blob as comes, from where we are."""
        headers = {"Range": f"bytes={growing.have}-"} if growing.have else {}
        url = self._url(endpoint, f"blobs/{growing.blob.digest}")
        async with endpoint.request("GET", url, (200, 206, 416), headers) as answer:
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {growing.have}-")
            if growing.have and not (answer.status == 206 and goes_on):
                await growing.restart()
                if answer.status != 200:
                    raise Cut(f"{url.authority} cannot go on with {growing.blob.digest} where it was cut")
            held = bytearray()
            try:
                async for chunk in answer.content.iter_any():
                    held += chunk
                    if len(held) >= CHUNK:
                        full, held = bytes(held), bytearray()
                        await growing.add(full)
            finally:
                await growing.add(bytes(held))
        if not growing.whole:
            raise Cut(f"{url.authority} ended {growing.blob.digest} after {growing.have} of {growing.blob.size} bytes")

    async def _upload(self, chunks: Callable[[], AsyncIterator[bytes]], media_type: str, endpoint: Endpoint) -> Descriptor:
        """One chunk of unknown length, its digest said at the end."""
        digest, size = hashlib.sha256(), 0
        failed: Exception | None = None

        async def body() -> AsyncIterator[bytes]:
            nonlocal size, failed
            try:
                async for chunk in chunks():
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
            except Exception as error:  # the HTTP client would tell of a broken connection
                failed = error
                raise

        async with endpoint.request("POST", self._url(endpoint, "blobs/uploads/"), (202,)) as answer:
            target = _location(answer)
        try:
            headers = {"Content-Type": "application/octet-stream"}
            async with endpoint.request("PATCH", target, (202,), headers, body) as answer:
                target = _location(answer)
        except EngineError:
            if failed:
                raise failed from None
            raise
        name = f"sha256:{digest.hexdigest()}"
        mark = "&" if target.query_string else "?"
        async with endpoint.request("PUT", URL(f"{target}{mark}digest={name}", encoded=True), (201,)):
            return Descriptor(media_type=media_type, size=size, digest=name)


def _location(answer: aiohttp.ClientResponse) -> URL:
    place = answer.headers.get("Location", "")
    if not place:
        raise Invalid(f"the registry {answer.url.authority} does not say where an upload goes")
    return answer.url.join(URL(place, encoded=True))


async def again(work: Callable[[], Awaitable[T]], tries: int) -> T:
    """Do it, and up to so many times again after a cut."""
    for attempt in range(tries):
        try:
            return await work()
        except Cut as cut:
            await pause(attempt, cut.wait)
    return await work()
