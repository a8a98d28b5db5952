"""Times and settings as Docker writes them in JSON. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.model.container import NEVER
from engine.model.settings import Config

Json = dict[str, Any]


def go_time(moment: datetime) -> str:
    """RFC 3339 with the fraction's trailing zeros cut, as Go's `RFC3339Nano` writes it."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") if moment != NEVER else "0001-01-01T00:00:00"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"


def go_written(text: str) -> str:
    """A time that is written already, as Go reads and writes it again: no digit is lost, but trailing zeros."""
    if not text:
        return go_time(NEVER)
    found = re.sub(r"\.([0-9]*?)0*(?=Z|[+-][0-9:]+$)", lambda match: f".{match[1]}" if match[1] else "", text)
    return re.sub(r"[+-]00:00$", "Z", found)


OMITTED_WHEN_EMPTY = frozenset(
    ("ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell")
)


def config(c: Config) -> Json:
    """`Config`, without the keys Docker leaves out where they say nothing. A stop timeout of 0 says something."""
    shown: Json = msgspec.to_builtins(c)
    if c.healthcheck:
        shown["Healthcheck"] = {key: value for key, value in shown["Healthcheck"].items() if value}
    return {
        key: value
        for key, value in shown.items()
        if key not in OMITTED_WHEN_EMPTY or value or (key == "StopTimeout" and value is not None)
    }
