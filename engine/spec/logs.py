"""A container's streams and its log, as its settings ask for them. Pure."""

from __future__ import annotations

from engine.host.things import Output
from engine.model.container import Container


def output(c: Container) -> Output:
    """How its process is connected."""
    return Output(
        stdin=c.config.open_stdin,
        terminal=c.config.tty,
        driver=c.host_config.log_config.type or "json-file",
        options=c.host_config.log_config.config or {},
    )
