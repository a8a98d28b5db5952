"""Read a request: query values, times, JSON bodies. What cannot be read is an `Invalid` with a sentence."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiohttp import hdrs, web

from engine.model.errors import EngineError, Invalid, TooLarge

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a JSON body. The longest honest one, a create with a seccomp profile, is some 100 kB."""

FALSE = ("", "0", "no", "false", "none")


def flag(request: web.Request, name: str) -> bool:
    """A boolean as dockerd reads it: everything but "", 0, no, false and none is true."""
    return request.query.get(name, "").strip().lower() not in FALSE


def integer(request: web.Request, name: str) -> int | None:
    """A whole number, or None when it is not given. Errors: plain 500, as dockerd answers an unparsable number."""
    text = request.query.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise EngineError(f"cannot read {name}={text!r} as a whole number", "give seconds or a count such as 10")
    return int(text)


def screen(request: web.Request) -> tuple[int, int]:
    """Rows and columns of a terminal, `h` and `w`. Raises `Invalid`."""
    found = []
    for name in ("h", "w"):
        text = request.query.get(name, "")
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise Invalid(f"cannot read {name}={text!r} as a terminal's size", "give h and w, its rows and columns")
        found.append(int(text))
    return found[0], found[1]


NANO = 1_000_000_000
_PARTS = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(h|ms|m|s|us|µs|ns)")
_UNITS = {"h": 3600 * NANO, "m": 60 * NANO, "s": NANO, "ms": 1_000_000, "us": 1_000, "µs": 1_000, "ns": 1}


def moment(text: str, now: int) -> int | None:
    """A point in time: unix seconds with a fraction, RFC 3339, or a Go duration before `now`. None for "".

    All in nanoseconds since 1970. Raises `Invalid`.
    """
    if not text:
        return None
    if match := re.fullmatch(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?", text):
        return int(match[1]) * NANO + int((match[2] or "").ljust(9, "0"))
    length = text.removeprefix("-")
    if length and not _PARTS.sub("", length):
        span = sum(round(float(number) * _UNITS[unit]) for number, unit in _PARTS.findall(length))
        return now + span if text.startswith("-") else now - span
    try:
        if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            raise ValueError("not a date")  # `fromisoformat` would take a long row of digits for one
        parsed = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text))
    except ValueError as error:
        raise Invalid(
            f"{text!r} is no point in time", "give seconds since 1970, a date as 2026-01-31T12:00:00Z, or a span such as 10m"
        ) from error
    return nanoseconds(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


def nanoseconds(moment: datetime) -> int:
    """Since 1970, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


EPOCH = datetime.fromtimestamp(0, UTC)


async def raw(request: web.Request) -> bytes:
    """The whole body. Raises `TooLarge` beyond `MAX_BODY`."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge(
            f"the request's body is longer than {MAX_BODY // 1024 // 1024} MiB", "send settings; archives go to /images/load"
        ) from error


async def body(request: web.Request) -> Any:
    """The JSON value of the body. Raises `Invalid` when it is empty, not declared as JSON, or not one JSON value."""
    data = await raw(request)
    if not data.strip():
        raise Invalid("invalid JSON: got EOF while reading request body", "send the settings as a JSON object")
    given = request.headers.get(hdrs.CONTENT_TYPE, "")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise Invalid(f"unsupported Content-Type header ({given}): must be 'application/json'")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"invalid JSON: {error}") from error
