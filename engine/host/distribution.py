"""The port to registries (OCI distribution-spec), and what it speaks of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from engine.model.errors import NotFound
from engine.model.registry import Credentials as Credentials
from engine.spec.references import Reference


class Platform(Struct, frozen=True, omit_defaults=True):
    """What an image runs on, in Go's names."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(Struct, frozen=True, kw_only=True, rename="camel"):
    """A blob as a manifest names it (OCI image-spec, descriptor.md)."""

    media_type: str = ""
    size: int
    digest: str


class Manifest(Struct, frozen=True, kw_only=True):
    """One image's manifest, chosen and checked."""

    digest: str
    """Of what the reference names: the index, where there is one."""
    config: Descriptor
    layers: tuple[Descriptor, ...]


class OtherPlatform(NotFound):
    """There is such an image, and none for the platform."""


class Part(Protocol):
    """A whole and verified blob on disk."""

    def read(self) -> AsyncIterator[bytes]: ...

    def spend(self) -> None:
        """It is not needed again: the file goes when the last who holds it lets go."""


class Repository(Protocol):
    """One repository of a registry, as one person may use it. Raises `NotFound`, `Unauthorized`, `Forbidden`, `Unavailable`
    and `Invalid`, the last for answers that cannot be right."""

    async def manifest(self, reference: str, platform: Platform) -> Manifest:
        """The image of a tag or digest; of an index the one for the platform."""

    async def tags(self) -> tuple[str, ...]: ...

    async def config(self, blob: Descriptor) -> bytes:
        """The image's config, verified."""

    def blob(self, blob: Descriptor, report: Callable[[int], None]) -> AbstractAsyncContextManager[Part]:
        """The blob, fetched and verified when the context is entered. `report` is told how many bytes are there.

        What is fetched is kept when this is cancelled or fails, and taken up by the next.
        """

    async def has(self, digest: str) -> Descriptor | None: ...

    async def mount(self, digest: str, source: str) -> Descriptor | None:
        """Let the registry take a blob from another of its repositories; None when it does not."""

    async def upload(self, chunks: Callable[[], AsyncIterator[bytes]], media_type: str) -> Descriptor:
        """Send a blob. `chunks` begins anew after a cut."""

    async def put_manifest(self, reference: str, data: bytes, media_type: str) -> str:
        """Commit a manifest under a tag; its digest."""


class Registry(Protocol):
    """The registries, and what is known of them."""

    def repository(self, reference: Reference, credentials: Credentials | None, *, push: bool = False) -> Repository:
        """`credentials` None: the engine's own, from the Docker config file of its user."""

    async def login(self, server: str, credentials: Credentials) -> None:
        """Find out whether a registry takes these. Raises `Unauthorized`."""

    async def known(self, diff_id: str, domain: str) -> tuple[tuple[str, str], ...]:
        """Where a layer is known to be in a registry: digest of its blob, path of the repository; last learned first."""

    async def learn(self, diff_id: str, digest: str, reference: Reference) -> None:
        """A layer is in a repository as this blob."""
