"""What `commit` and `import` have in common: how the image they make is called, and who is told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from engine.model.errors import Invalid
from engine.model.image import Image
from engine.spec import references

Made = Callable[[Image, str, str], Awaitable[None]]
"""Called when an image is made, with an action of Docker's events and the name that it goes by there."""


def name_of(repository: str, tag: str) -> str:
    """The name for a new image, `repo:tag`; empty where no repository is given. Raises `Invalid`."""
    if not repository:
        return ""
    reference = references.parse(repository)
    if reference.digest:
        raise Invalid(f"cannot name an image {repository!r}: a digest is no name for something new", "give a tag")
    return references.parse(f"{reference.name}:{tag}" if tag else repository).familiar
