"""Answer a registry's challenge: basic, or a token of its token server (distribution, "Token Authentication Specification")."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct
from yarl import URL

from engine.host.distribution import Credentials
from engine.model.errors import Invalid, Unauthorized

PARAMETER: Final = re.compile(r'([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', re.IGNORECASE)
LIFETIME: Final = 60.0
"""Seconds a token lasts that does not say how long."""
EARLY: Final = 10.0
"""Seconds before its end that a token is renewed: what it starts must not outlive it at once."""
CLIENT: Final = "longshore"

Fetch = Callable[[str, URL, dict[str, str], dict[str, str] | None], Awaitable[tuple[int, bytes]]]
"""Method, address, headers, form -> status, body."""


class Challenge(Struct, frozen=True):
    """One `WWW-Authenticate` (RFC 9110, section 11.6.1)."""

    scheme: str
    parameters: dict[str, str]


class _Token(Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


def challenges(headers: Iterable[str]) -> list[Challenge]:
    found = []
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        parameters = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
            for name, quoted, plain in PARAMETER.findall(rest)
        }
        found.append(Challenge(scheme.lower(), parameters))
    return found


class Login:
    """Who we are at one registry: the answer to its challenge, kept while it lasts."""

    def __init__(self, credentials: Credentials, scopes: tuple[str, ...], fetch: Fetch, secure: bool) -> None:
        self.credentials, self.scopes = credentials, scopes
        self._fetch, self._secure = fetch, secure
        self._challenge: Challenge | None = None
        self._header = f"Bearer {credentials.registry_token}" if credentials.registry_token else ""
        self._ends = float("inf")

    @property
    def anonymous(self) -> bool:
        return not (self.credentials.username or self.credentials.identity_token or self.credentials.registry_token)

    async def headers(self) -> dict[str, str]:
        """What to send along. A token that is about to end is renewed."""
        if self._challenge and time.monotonic() > self._ends:
            await self._answer(self._challenge)
        return {"Authorization": self._header} if self._header else {}

    def widen(self, scope: str) -> None:
        """From now on ask for this too."""
        if scope not in self.scopes:
            self.scopes += (scope,)
            self._ends = 0.0

    async def challenged(self, headers: Iterable[str]) -> bool:
        """The registry has refused and says what it wants. True: asking again makes sense."""
        offered = {challenge.scheme: challenge for challenge in challenges(headers)}
        challenge = offered.get("bearer") or offered.get("basic")
        if challenge is None or self.credentials.registry_token:
            return False
        before, self._challenge = self._header, challenge
        await self._answer(challenge)
        return bool(self._header) and (self._header != before or challenge.scheme == "bearer")

    async def _answer(self, challenge: Challenge) -> None:
        if challenge.scheme == "bearer":
            await self._ask_for_token(challenge)
        elif self.credentials.username:
            self._header, self._ends = basic(self.credentials), float("inf")

    async def _ask_for_token(self, challenge: Challenge) -> None:
        realm = URL(challenge.parameters.get("realm", ""))
        if realm.scheme not in ("http", "https") or not realm.host:
            raise Invalid(f"the registry names no token server: its realm is {str(realm)!r}")
        if self._secure and realm.scheme != "https" and not self.anonymous:
            raise Unauthorized(f"the registry wants the password sent to {realm.host} in the clear; it was not sent")
        service = challenge.parameters.get("service", "")
        if self.credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self.credentials.identity_token,
                "service": service,
                "client_id": CLIENT,
                "scope": " ".join(self.scopes),
            }
            status, body = await self._fetch("POST", realm, {}, form)
        else:
            query = [*(("scope", scope) for scope in self.scopes), *([("service", service)] if service else [])]
            headers = {"Authorization": basic(self.credentials)} if self.credentials.username else {}
            status, body = await self._fetch("GET", realm.extend_query(query), headers, None)
        if status in (401, 403):
            raise Unauthorized("unauthorized: incorrect username or password", "log in with docker login")
        if status != 200:
            raise Unauthorized(f"the token server {realm.host} has answered with status {status}")
        try:
            token = msgspec.json.decode(body, type=_Token)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Invalid(f"cannot read the answer of the token server {realm.host}: {error}") from error
        if not (token.token or token.access_token):
            raise Invalid(f"the token server {realm.host} has given no token")
        self._header = f"Bearer {token.token or token.access_token}"
        self._ends = time.monotonic() + max((token.expires_in or LIFETIME) - EARLY, 0)


def basic(credentials: Credentials) -> str:
    """A name and a password as a header says them (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
