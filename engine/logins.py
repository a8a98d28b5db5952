"""Who somebody is at a registry: the header of the API, and the Docker config file with its helpers.

The engine reads its own user's file, `longshore` that of whoever typed it.

Facts: docker-credential-helpers README (protocol of the helpers), docker-config-json(5) of podman's auth.json.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from engine.model.errors import HostFailed, Invalid
from engine.model.registry import DOCKER_IO, Credentials, host_of

INDEX: Final = "https://index.docker.io/v1/"
"""What Docker's tools call docker.io when they keep credentials."""
HELPER_SECONDS: Final = 30.0
TOKEN_USER: Final = "<token>"
"""The name a helper gives when its secret is an identity token."""
NONE_KEPT: Final = "credentials not found in native keychain"


class _Auth(Struct, omit_defaults=True):
    """One login, in the header of the API and in the config file."""

    username: str | None = None
    password: str | None = None
    auth: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None
    serveraddress: str | None = None

    def credentials(self) -> Credentials:
        user, password = self.username or "", self.password or ""
        if self.auth and not user:
            user, _, password = _decode(self.auth).decode(errors="replace").rstrip("\0").partition(":")
        return Credentials(
            username=user,
            password=password,
            identity_token=self.identitytoken or "",
            registry_token=self.registrytoken or "",
        )


class _Config(Struct, rename="camel"):
    auths: dict[str, _Auth] | None = None
    creds_store: str | None = None
    cred_helpers: dict[str, str] | None = None


class _Kept(Struct, rename="pascal"):
    """What a helper answers."""

    username: str = ""
    secret: str = ""


def from_header(text: str) -> Credentials | None:
    """`X-Registry-Auth`: JSON in base64url. None: nothing is said. Raises `Invalid`."""
    if not text:
        return None
    try:
        return msgspec.json.decode(_decode(text), type=_Auth).credentials()
    except (msgspec.MsgspecError, ValueError) as error:
        raise Invalid("cannot read the header X-Registry-Auth", "send JSON in base64url, as the docker command does") from error


def to_header(credentials: Credentials) -> str:
    """`X-Registry-Auth` for these."""
    auth = _Auth(
        username=credentials.username or None,
        password=credentials.password or None,
        identitytoken=credentials.identity_token or None,
        registrytoken=credentials.registry_token or None,
    )
    return base64.urlsafe_b64encode(msgspec.json.encode(auth)).decode()


def from_body(data: object) -> tuple[str, Credentials]:
    """The body of `POST /auth`: server and login. Raises `Invalid`."""
    try:
        given = msgspec.convert(data, _Auth)
        return given.serveraddress or INDEX, given.credentials()
    except (msgspec.MsgspecError, ValueError) as error:
        raise Invalid(f"cannot read the login: {error}") from error


async def from_file(domain: str, path: Path | None = None) -> Credentials:
    """What the Docker config file of this process's user has for a registry; its helper is asked where one is named."""
    path = path or Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", "config.json")
    try:
        config = msgspec.json.decode(await asyncio.to_thread(path.read_bytes), type=_Config)
    except (FileNotFoundError, NotADirectoryError):
        return Credentials()
    except OSError as error:
        raise HostFailed(f"cannot read {path}: {error.strerror}", errno=error.errno or 0) from error
    except msgspec.MsgspecError as error:
        raise Invalid(f"cannot read {path}: {error}", "mend the file, or log in again") from error
    server = INDEX if domain == DOCKER_IO else domain
    helper = (config.cred_helpers or {}).get(server) or (config.cred_helpers or {}).get(domain) or config.creds_store
    if helper:
        return await _ask(helper, server)
    for name, kept in (config.auths or {}).items():
        if host_of(name) == domain:
            try:
                return kept.credentials()
            except ValueError as error:
                raise Invalid(f"cannot read {path}: the login for {name} is not base64", "log in again") from error
    return Credentials()


async def _ask(helper: str, server: str) -> Credentials:
    """Ask `docker-credential-<helper> get`: the server on its standard input, JSON on its standard output."""
    if "/" in helper:
        raise Invalid(f"the credential helper {helper!r} is no name", "write the part after docker-credential-")
    program = f"docker-credential-{helper}"
    path = shutil.which(program)
    if path is None:
        raise HostFailed(f"cannot ask {program} for the login at {server}: it is not installed", "install it, or log in again")
    child = await asyncio.create_subprocess_exec(
        path, "get", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(HELPER_SECONDS):
            out, err = await child.communicate(server.encode())
    except TimeoutError as error:
        raise HostFailed(f"{program} has not answered for {HELPER_SECONDS:.0f} seconds") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    said = (out or err).decode(errors="replace").strip()
    if child.returncode:
        if NONE_KEPT in said:
            return Credentials()
        raise HostFailed(f"{program} has no login for {server}: {said}")
    try:
        kept = msgspec.json.decode(out, type=_Kept)
    except msgspec.MsgspecError as error:
        raise HostFailed(f"cannot read what {program} answers: {error}") from error
    if kept.username == TOKEN_USER:
        return Credentials(identity_token=kept.secret)
    return Credentials(username=kept.username, password=kept.secret)


def _decode(text: str) -> bytes:
    """Base64 in either alphabet, padded or not. Raises `ValueError`."""
    text = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
