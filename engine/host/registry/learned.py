"""Which layer is which blob, and where: `image/overlay2/distribution/v2metadata-by-diffid/`, in Docker's format.

A push need not send what it knows to be there. Nothing breaks when this is lost.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec
from msgspec import Struct

from engine.host.disk import make_directories, read_file, write_file
from engine.spec.references import Reference

KEPT: Final = 16
"""Places remembered of one layer."""


class _Place(Struct, rename="pascal", frozen=True):
    digest: str
    source_repository: str


class Learned:
    """Blocks; raises `OSError`."""

    def __init__(self, root: str) -> None:
        self._directory = os.path.join(root, "image/overlay2/distribution/v2metadata-by-diffid/sha256")

    def known(self, diff_id: str, domain: str) -> tuple[tuple[str, str], ...]:
        """Digest and path in each repository of a registry, last learned first."""
        start = domain + "/"
        return tuple(
            (place.digest, place.source_repository.removeprefix(start))
            for place in self._read(diff_id)
            if place.source_repository.startswith(start)
        )

    def learn(self, diff_id: str, digest: str, reference: Reference) -> None:
        new = _Place(digest, f"{reference.domain}/{reference.path}")
        before = self._read(diff_id)
        if before[:1] != [new]:
            places = [new, *(place for place in before if place != new)][:KEPT]
            make_directories(self._directory, 0o700)
            write_file(self._path(diff_id), msgspec.json.encode(places), 0o600)

    def _read(self, diff_id: str) -> list[_Place]:
        try:
            return msgspec.json.decode(read_file(self._path(diff_id)), type=list[_Place])
        except (FileNotFoundError, msgspec.MsgspecError):  # a damaged one is learned anew
            return []

    def _path(self, diff_id: str) -> str:
        return os.path.join(self._directory, diff_id.removeprefix("sha256:"))
