"""Image references: `[domain[:port]/]path[:tag][@digest]`, as people write them and as the store keeps them.

The grammar is docker-image-py's (a port of distribution/reference). Familiar means without `docker.io/` and `library/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from docker_image import digest as lib_digest
from docker_image import reference as lib
from msgspec import Struct

from engine.model.errors import Invalid, NotFound
from engine.model.image import Image

LATEST: Final = "latest"
MAX_NAME: Final = 255
ID: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class Reference(Struct, frozen=True, kw_only=True):
    """A normalised reference. With a digest there is no tag: the digest wins."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The familiar name: what `repositories.json` calls the repository."""
        if self.domain != lib.DEFAULT_DOMAIN:
            return f"{self.domain}/{self.path}"
        official, _, short = self.path.partition("/")
        return short if official == lib.OFFICIAL_REPO_NAME and "/" not in short else self.path

    @property
    def familiar(self) -> str:
        """The name with its tag or digest, `busybox:latest`."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str) -> Reference:
    """Normalise what a person wrote. Neither tag nor digest: `latest`. Raises `Invalid`."""
    if text != text.strip():  # the library's patterns let a newline at the end pass
        raise Invalid(f"invalid reference format: {text!r} has space around it")
    try:
        parsed = lib.Reference.parse_normalized_named(text)
    except (lib.InvalidReference, lib_digest.InvalidDigest) as error:
        reason = str(error).removeprefix("invalid reference format").lstrip(": ")
        raise Invalid(f"invalid reference format: {text!r}" + (f": {reason}" if reason else "")) from error
    domain, path = parsed.domain(), parsed.path()
    if len(f"{domain}/{path}") > MAX_NAME:
        raise Invalid(f"invalid reference format: the repository name must not be more than {MAX_NAME} characters")
    digest = parsed["digest"] or ""
    return Reference(domain=domain, path=path, tag="" if digest else parsed["tag"] or LATEST, digest=digest)


def is_name_only(text: str) -> bool:
    """Has a reference neither tag nor digest? Raises `Invalid` for what is no reference."""
    parse(text)
    return ":" not in text.rpartition("/")[2] and "@" not in text


def in_full(familiar: str) -> str:
    """A familiar name with its domain and path: names in Docker's lists are in the order of these."""
    first, slash, _ = familiar.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return familiar
    return f"{lib.DEFAULT_DOMAIN}/{familiar}" if slash else f"{lib.DEFAULT_DOMAIN}/{lib.OFFICIAL_REPO_NAME}/{familiar}"


def as_id(text: str) -> str | None:
    """The image id when the text is one in full, with or without `sha256:`; else None."""
    match = ID.fullmatch(text)
    return f"sha256:{match[1]}" if match else None


def find(text: str, images: Mapping[str, Image]) -> Image:
    """Which of the images, given by id, is meant: by full id, name or digest, or a prefix that fits one id only.

    A name wins over a prefix (reference 8.9). Raises `NotFound`, `Invalid`.
    """
    id = as_id(text)
    if id is not None:
        if id in images:
            return images[id]
        raise NotFound(f"No such image: {text}")
    wanted = parse(text).familiar
    for image in images.values():
        if wanted in image.tags or wanted in image.digests:
            return image
    prefix = "sha256:" + text.removeprefix("sha256:")
    matches = [image for id, image in images.items() if id.startswith(prefix)]
    if len(matches) == 1:
        return matches[0]
    raise NotFound(f"No such image: {wanted}")
