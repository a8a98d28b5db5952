"""What the dashboard asks of an engine: its interface, and the streams that only its socket carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from engine.model.events import Message
from engine.model.interface import EngineInterface


class Remote(EngineInterface, Protocol):
    """`engine.client.Client`, or a double of it."""

    def events(self, **query: str) -> AsyncIterator[Message]:
        """`GET /events`; `query`: since, until, filters, as in the Docker API."""
