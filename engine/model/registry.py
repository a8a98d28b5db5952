"""Registries: how they are called, and who somebody is at one."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

DOCKER_IO: Final = "docker.io"
OFFICIAL: Final = "registry-1.docker.io"
"""The host that serves docker.io."""
ITS_NAMES: Final = (DOCKER_IO, "index.docker.io", OFFICIAL)


class Credentials(Struct, frozen=True, kw_only=True):
    """Who somebody is at a registry. All empty: nobody in particular."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    """In place of the password: what an earlier login was given (OAuth 2 refresh token)."""
    registry_token: str = ""
    """A bearer token that is sent as it is."""


def host_of(server: str) -> str:
    """The registry's name in what people and files call it: a name, or a URL with a path."""
    host = server.partition("://")[2] or server
    host = host.partition("/")[0]
    return DOCKER_IO if host in ITS_NAMES else host


def registry_of(image: str) -> str:
    """The registry that an image's name begins with: a host has a dot, a port or a capital letter, or is `localhost`."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    return host_of(first) if is_host else DOCKER_IO
