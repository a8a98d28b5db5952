"""A message of `GET /events`: what happened to whom, in Docker's words."""

from __future__ import annotations

from msgspec import Struct, field


class Happened(Struct, frozen=True, kw_only=True):
    """One event, before it gets its time."""

    type: str
    """`container`, `image` or `network`."""
    action: str
    id: str
    attributes: dict[str, str] = {}


class Actor(Struct, frozen=True, kw_only=True):
    id: str = field(default="", name="ID")
    attributes: dict[str, str] = field(default={}, name="Attributes")


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event as Docker's clients read it (Engine API 1.43, `GET /events`)."""

    type: str = field(name="Type")
    action: str = field(name="Action")
    actor: Actor = field(name="Actor")
    # What clients from before API 1.22 read; mirrors of the above.
    status: str = ""
    id: str = ""
    from_: str = field(default="", name="from")
    scope: str
    """`local`."""
    time: int
    """Seconds since 1970."""
    time_nano: int = field(name="timeNano")
