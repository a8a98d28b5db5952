"""What the configuration says about all containers."""

from __future__ import annotations

from msgspec import Struct

from engine.model.settings import LogConfig


class Defaults(Struct, frozen=True, kw_only=True):
    """What the configuration says about containers."""

    log: LogConfig = LogConfig(type="json-file")
    live_restore: bool = True
    """Containers outlive the engine."""
    shutdown_timeout: float = 15.0
    """Seconds all containers together get to end, where none of them asks for more."""


DEFAULTS = Defaults()
