"""Speak HTTP with one registry: where it answers, who we are, redirects, retries, and errors as sentences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from engine import __version__
from engine.host.distribution import Credentials
from engine.host.registry.auth import Login, basic
from engine.host.registry.places import Place, proxy_for
from engine.model.errors import EngineError, Forbidden, Invalid, NotFound, Unauthorized, Unavailable

BACKOFF: Final = (0.2, 1.0, 3.0, 8.0)
"""Seconds to wait before each further try."""
LONGEST_WAIT: Final = 30.0
"""Seconds that a registry may ask us to wait (`Retry-After`)."""
TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60)
MAX_HOPS: Final = 10
MAX_TOLD: Final = 64 << 10
"""Bytes of an error that are read."""
TRANSIENT: Final = (408, 429, 500, 502, 503, 504)

Body = Callable[[], Any] | None
"""Makes what is sent; called once for each try."""


class _Said(Struct):
    code: str = ""
    message: str = ""


class _Errors(Struct):
    errors: list[_Said] | None = None


class Cut(Unavailable):
    """The connection ended, or the registry is busy: another try may help. `wait`: seconds it has asked for."""

    def __init__(self, message: str, hint: str = "", wait: float = 0.0) -> None:
        super().__init__(message, hint)
        self.wait = wait


def open_session() -> aiohttp.ClientSession:
    """Bytes come as they were sent, and no cookie is kept."""
    headers = {"User-Agent": f"longshore/{__version__}", "Docker-Distribution-Api-Version": "registry/2.0"}
    return aiohttp.ClientSession(
        timeout=TIMEOUT,
        auto_decompress=False,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
    )


class Endpoint:
    """One registry at one address, as one person may use it."""

    def __init__(self, session: aiohttp.ClientSession, place: Place, credentials: Credentials, scopes: tuple[str, ...]) -> None:
        self.place = place
        self._session = session
        self.login = Login(credentials, scopes, self._fetch, secure=place.verify and place.url.scheme == "https")

    def url(self, path: str) -> URL:
        return URL(f"{self.place.url}/v2/{path}", encoded=True)

    async def ping(self) -> None:
        """Is this a registry, and who does it want us to be? Raises `Cut` where nobody answers."""
        async with self._send("GET", self.url(""), {}, None) as answer:
            if answer.status == 401:
                await self._challenged(answer)
            elif answer.status != 200:
                await self.refuse(answer)

    async def _challenged(self, answer: aiohttp.ClientResponse) -> bool:
        return await self.login.challenged(answer.headers.getall("WWW-Authenticate", []))

    @asynccontextmanager
    async def request(
        self, method: str, url: URL, ok: tuple[int, ...] = (200,), headers: dict[str, str] | None = None, body: Body = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request. A challenge is answered once. Raises what the registry says, `Cut` when it is away."""
        for again in (True, False):
            own = await self.login.headers() if url.origin() == self.place.url.origin() else {}
            async with self._send(method, url, own | (headers or {}), body) as answer:
                if answer.status == 401 and again and await self._challenged(answer):
                    continue
                if answer.status not in ok:
                    await self.refuse(answer)
                yield answer
                return

    @asynccontextmanager
    async def _send(self, method: str, url: URL, headers: dict[str, str], body: Body) -> AsyncIterator[aiohttp.ClientResponse]:
        """Follow redirects ourselves: neither login nor password goes to another host, and each hop has its own proxy."""
        with speaking_with(url):
            for _ in range(MAX_HOPS):
                proxy = proxy_for(url)
                admitted = _to_proxy(proxy)
                async with self._session.request(
                    method,
                    url,
                    headers=headers | admitted if url.scheme == "http" else headers,  # behind TLS the proxy reads no header
                    data=body() if body else None,
                    ssl=self.place.verify,  # the system's authorities, or those of SSL_CERT_FILE
                    allow_redirects=False,
                    proxy=proxy and proxy.with_user(None),
                    proxy_headers=admitted or None,
                ) as answer:
                    place = answer.headers.get("Location")
                    if answer.status not in (301, 302, 303, 307, 308) or not place or body:
                        yield answer
                        return
                    target = url.join(URL(place))
                kept = ("https",) if self.place.verify and url.scheme == "https" else ("http", "https")
                if target.scheme not in kept or not target.host:
                    raise Invalid(f"the registry {url.authority} sends us to {target.scheme}://{target.host}, which is refused")
                if target.origin() != url.origin():
                    headers = {name: value for name, value in headers.items() if name != "Authorization"}
                url = target
        raise Invalid(f"the registry {url.authority} sends us from one place to another without end")

    async def _fetch(self, method: str, url: URL, headers: dict[str, str], form: dict[str, str] | None) -> tuple[int, bytes]:
        """For the login: what a token server says."""
        async with self._send(method, url, headers, (lambda: form) if form else None) as answer:
            return answer.status, await bounded(answer, 1 << 20)

    async def refuse(self, answer: aiohttp.ClientResponse) -> None:
        """Raise what an answer says is wrong."""
        said = ""
        try:
            errors = msgspec.json.decode(await bounded(answer, MAX_TOLD), type=_Errors).errors or []
            said = "; ".join(f"{each.code.lower().replace('_', ' ')}: {each.message}" for each in errors)
        except (msgspec.MsgspecError, UnicodeDecodeError, EngineError):
            pass  # no registry's words: the status says it all
        said = said or f"{self.place.url.authority} has answered with status {answer.status} {answer.reason or ''}".rstrip()
        match answer.status:
            case 401:
                raise Unauthorized(said)
            case 403:
                raise Forbidden(said)
            case 404:
                raise NotFound(said)
            case status if status in TRANSIENT:
                wait = answer.headers.get("Retry-After", "")
                raise Cut(said, "try again later", float(wait) if wait.isdecimal() and wait.isascii() else 0.0)
            case status if 400 <= status < 500:
                raise Invalid(said)
            case _:
                raise EngineError(said)


def _to_proxy(proxy: URL | None) -> dict[str, str]:
    """What a proxy is told of who we are, where its address says so."""
    if not proxy or not proxy.user:
        return {}
    return {"Proxy-Authorization": basic(Credentials(username=proxy.user, password=proxy.password or ""))}


async def bounded(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body. Raises `Invalid` when it is longer than `most` bytes."""
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > most:
            raise Invalid(f"{answer.url.authority} has answered with more than {most} bytes")
    return bytes(data)


@contextmanager
def speaking_with(url: URL) -> Iterator[None]:
    """Turn a connection's failures into `Cut`, or into what no further try can mend."""
    who = url.authority
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        remedy = "check its certificate, or name it with --insecure-registry"
        raise NotTrusted(f"cannot trust the registry {who}: {_reason(error)}", remedy) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise Unavailable(f"cannot find the registry {who}: {_reason(error)}", "check its name") from error
    except aiohttp.InvalidURL as error:
        raise Invalid(f"the registry {who} names an address that is none: {error}") from error
    except TimeoutError as error:
        raise Cut(f"the registry {who} does not answer", "check the network") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Cut(f"cannot go on with the registry {who}: {_reason(error)}", "check the network") from error


class NotTrusted(Unavailable):
    """There is no TLS, or its certificate is not to be trusted."""


def _reason(error: BaseException) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or inner or type(inner).__name__)


async def pause(attempt: int, asked: float) -> None:
    """Wait before another try."""
    await asyncio.sleep(min(max(BACKOFF[attempt], asked), LONGEST_WAIT))
